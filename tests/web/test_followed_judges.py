"""Judges and votes of a run, followed over the WebSocket and as server-sent events."""

import asyncio
import json
from typing import Any

import pytest

from tests.conftest import StartFake
from tests.fakes.tgi import Fake
from tests.support.dialogue import Dialogue
from tests.web.conftest import Start
from tests.web.gateway import Gateway, remote
from tests.web.speaking import speaking
from tests.web.test_judges import a_run

GRADE = '{"reason": "It is.", "grade": 4}'
GIVEN = {"model": "judge", "criteria": "Is the capital right?"}


@pytest.fixture
async def judging(fake_tgi: StartFake, start_gateway: Start) -> tuple[Gateway, Fake, str]:
    """Return a gateway, a judge that is held up until it is released, and a run that is over."""
    one, judge = await fake_tgi(text="Paris."), await fake_tgi(text=GRADE, hold_after=1)
    models = {"m": remote(one.url), "judge": remote(judge.url, max_concurrent=1)}
    gateway = await start_gateway(models)
    return gateway, judge, await a_run(gateway)


async def told(client: Dialogue, judge: str, state: str) -> dict[str, Any]:
    """Return the run once it is told that a judge is in this state."""

    def is_so(event: dict[str, Any]) -> bool:
        if event["type"] != "run":
            return False
        states = {one["id"]: one["state"] for one in event["run"]["judges"]}
        return states.get(judge) == state

    event = await client.until(is_so, skip=len(client.events))
    found: dict[str, Any] = event["run"]
    return found


async def test_a_judge_and_votes_are_followed_over_the_socket(
    judging: tuple[Gateway, Fake, str],
) -> None:
    gateway, judge, run = judging
    async with speaking(gateway) as client:
        await client.say(type="follow_runs", runs=[run])
        first = await client.until(lambda e: e["type"] == "run")
        assert (first["run"]["judges"], first["run"]["votes"]) == ([], 0)
        begun = (await gateway.post(f"/runs/{run}/judges", GIVEN)).json
        shown = (await told(client, begun["id"], "running"))["judges"]
        assert shown == [
            {
                "id": begun["id"],
                "model": "judge",
                "mode": "grades",
                "state": "running",
                "judged": 0,
                "total": 4,
            }
        ]
        judge.state.release()
        last = await told(client, begun["id"], "done")
        assert [one["judged"] for one in last["judges"]] == [4]
        seen = [
            one["run"]["judges"][0]["judged"]
            for one in client.events
            if one["type"] == "run" and one["run"]["judges"]
        ]
        assert seen == sorted(seen)
        vote = {"among": [0, 1], "winners": [1]}
        await gateway.ask("PUT", f"/runs/{run}/prompts/0/vote", vote)
        await client.until(lambda e: e["type"] == "run" and e["run"]["votes"] == 1)
        await gateway.ask("DELETE", f"/runs/{run}/prompts/0/vote")
        skip = len(client.events)
        await client.until(lambda e: e["type"] == "run" and e["run"]["votes"] == 0, skip=skip)
        await gateway.ask("DELETE", f"/runs/{run}/judges/{begun['id']}")
        await client.until(
            lambda e: e["type"] == "run" and not e["run"]["judges"], skip=len(client.events)
        )
    assert (await gateway.get(f"/runs/{run}")).json["judges"] == []
    assert (await gateway.get("/runs")).json["runs"][0]["votes"] == 0


async def test_a_stream_of_events_ends_with_the_run_or_if_wished_with_its_judges(
    judging: tuple[Gateway, Fake, str],
) -> None:
    gateway, judge, run = judging
    begun = (await gateway.post(f"/runs/{run}/judges", GIVEN)).json
    await judge.state.reaches(started=1)
    (only,) = events((await gateway.get(f"/runs/{run}/events")).text)
    assert [one["state"] for one in only["judges"]] == ["running"]
    following = asyncio.create_task(gateway.get(f"/runs/{run}/events?judges=1"))
    judge.state.release()
    states = events((await following).text)
    assert states[-1]["judges"][0]["state"] == "done"
    assert states[-1]["judges"][0]["judged"] == 4
    assert states[-1] == (await gateway.get(f"/runs/{run}")).json
    judge.state.released.clear()
    await gateway.post(f"/runs/{run}/judges", {**GIVEN, "criteria": "Is it short?"})
    async with asyncio.timeout(20):
        following = asyncio.create_task(gateway.get(f"/runs/{run}/events?judges=1"))
        await judge.state.reaches(started=5)
        await gateway.ask("DELETE", f"/runs/{run}")
        (*_, gone) = events((await following).text)
    assert gone["error"]["code"] == "unknown_run"
    assert begun["state"] == "running"


async def test_a_stream_of_events_refuses_what_is_no_choice(
    judging: tuple[Gateway, Fake, str],
) -> None:
    gateway, _, run = judging
    reply = await gateway.get(f"/runs/{run}/events?judges=perhaps")
    assert (reply.status, reply.json["error"]["code"]) == (400, "invalid_command")
    assert "judges" in reply.json["error"]["message"]


def events(text: str) -> list[dict[str, Any]]:
    """Return the events of a stream."""
    lines = [line for line in text.splitlines() if line.startswith("data: ")]
    return [json.loads(line.removeprefix("data: ")) for line in lines]
