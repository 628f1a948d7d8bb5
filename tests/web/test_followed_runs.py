"""Runs followed over the WebSocket: the latest state wins, and cuts lose nothing."""

from typing import Any

import pytest

from server.core.errors import StorageFailed
from server.web.keys import RUNS, SESSIONS
from tests.support.dialogue import Dialogue
from tests.web.conftest import StartWithFake
from tests.web.gateway import Gateway
from tests.web.speaking import speaking
from tests.wire.gateway import gateway as small_gateway
from tests.wire.gateway import speaking as hearing
from tests.wire.gateway import until

HOLDING: dict[str, Any] = {"hold_after": 1, "answer_tokens": 3}


async def begun(gateway: Gateway, prompts: int = 2, name: str = "") -> str:
    """Begin a run of so many prompts; return its id."""
    lines = "\n".join(f"Prompt {number}?" for number in range(prompts)).encode()
    kept = await gateway.ask("PUT", "/prompt-sets?form=lines", data=lines)
    given = {"prompt_set": kept.json["id"], "targets": [{"model": "m"}], "name": name}
    reply = await gateway.post("/runs", given)
    assert reply.status == 201, reply.text
    run: str = reply.json["id"]
    return run


async def told(client: Dialogue, run: str, state: str, *, skip: int = 0) -> dict[str, Any]:
    """Return a run once it is told that it is in this state."""
    event = await client.until(
        lambda e: e["type"] == "run" and e["run"]["id"] == run and e["run"]["state"] == state,
        skip=skip,
    )
    found: dict[str, Any] = event["run"]
    return found


def states(client: Dialogue, run: str) -> list[dict[str, Any]]:
    """Return what was told of a run."""
    return [e["run"] for e in client.events if e["type"] == "run" and e["run"]["id"] == run]


async def test_a_run_is_followed_from_its_present_state_to_its_end(
    before_fake: StartWithFake,
) -> None:
    gateway, fake = await before_fake(**HOLDING)
    run = await begun(gateway)
    await fake.state.reaches(started=1)
    async with speaking(gateway) as client:
        assert await client.say(type="follow_runs", runs=[run]) == {}
        first = await told(client, run, "running")
        assert first == (await gateway.get(f"/runs/{run}")).json
        assert first["answered"] == 0
        fake.state.release()
        last = await told(client, run, "done")
        assert last["answered"] == last["total"] == 2
        counts = [one["answered"] for one in states(client, run)]
        assert counts == sorted(counts)
        kinds = [event["type"] for event in client.events]
        assert kinds.index("result") < kinds.index("run")


async def test_all_runs_are_followed_also_those_that_begin_later(
    before_fake: StartWithFake,
) -> None:
    gateway, _ = await before_fake(answer_tokens=2)
    old = await begun(gateway, name="old")
    await gateway.get(f"/runs/{old}/events")
    async with speaking(gateway) as client:
        await client.say(type="follow_runs")
        assert (await told(client, old, "done"))["name"] == "old"
        new = await begun(gateway)
        await told(client, new, "done")
        await gateway.ask("PATCH", f"/runs/{old}", {"name": "renamed"})
        await client.until(lambda e: e["type"] == "run" and e["run"]["name"] == "renamed")


async def test_only_the_runs_named_last_are_followed(before_fake: StartWithFake) -> None:
    gateway, _ = await before_fake(answer_tokens=2)
    first, second = await begun(gateway), await begun(gateway)
    async with speaking(gateway) as client:
        await client.say(type="follow_runs", runs=[first, first])
        await told(client, first, "done")
        await client.say(type="follow_runs", runs=[second])
        seen = len(client.events)
        await gateway.ask("PATCH", f"/runs/{first}", {"name": "unseen"})
        await gateway.ask("PATCH", f"/runs/{second}", {"name": "seen"})
        await client.until(lambda e: e["type"] == "run" and e["run"]["name"] == "seen", skip=seen)
        await client.say(type="follow_runs", runs=[])
        await gateway.ask("PATCH", f"/runs/{second}", {"name": "unseen"})
        await client.say(type="ping")
        assert "unseen" not in [e["run"]["name"] for e in client.events if e["type"] == "run"]


async def test_a_followed_run_that_is_deleted_is_told(before_fake: StartWithFake) -> None:
    gateway, fake = await before_fake(**HOLDING)
    run = await begun(gateway)
    await fake.state.reaches(started=1)
    async with speaking(gateway) as one, speaking(gateway) as every:
        await one.say(type="follow_runs", runs=[run])
        await every.say(type="follow_runs")
        assert (await gateway.ask("DELETE", f"/runs/{run}")).status == 204
        for client in (one, every):
            removed = await client.until(lambda e: e["type"] == "run_removed")
            assert removed == {"type": "run_removed", "run": run}
            await client.say(type="ping")
            after = client.events[client.events.index(removed) + 1 :]
            assert not [event for event in after if event["type"].startswith("run")]
        failed = await one.try_to(type="follow_runs", runs=[run])
        assert failed["error"]["code"] == "unknown_run"


async def test_an_unknown_run_is_refused_and_those_before_are_still_followed(
    before_fake: StartWithFake,
) -> None:
    gateway, _ = await before_fake(answer_tokens=2)
    run = await begun(gateway)
    async with speaking(gateway) as client:
        await client.say(type="follow_runs", runs=[run])
        await told(client, run, "done")
        failed = await client.try_to(type="follow_runs", runs=["r_no", run, "r_never"])
        assert failed["error"]["code"] == "unknown_run"
        assert failed["error"]["details"] == {"runs": ["r_no", "r_never"]}
        await gateway.ask("PATCH", f"/runs/{run}", {"name": "still"})
        await client.until(lambda e: e["type"] == "run" and e["run"]["name"] == "still")
        bad: list[Any] = ["r_1", ["a b"], [""], [1], ["r"] * 65, {}]
        for wrong in bad:
            failed = await client.try_to(type="follow_runs", runs=wrong)
            assert failed["error"]["code"] == "invalid_command", wrong


async def test_after_a_cut_the_same_runs_are_followed_as_they_are_now(
    before_fake: StartWithFake,
) -> None:
    gateway, fake = await before_fake(**HOLDING)
    kept, deleted = await begun(gateway), await begun(gateway)
    await fake.state.reaches(started=1)
    async with speaking(gateway) as client:
        session = (await client.say(type="hello"))["session"]
        await client.say(type="follow_runs", runs=[kept, deleted])
        await told(client, kept, "running")
    await gateway.ask("DELETE", f"/runs/{deleted}")
    fake.state.release()
    await gateway.get(f"/runs/{kept}/events")
    async with speaking(gateway) as client:
        assert (await client.say(type="hello", session=session))["resumed"]
        assert client.events[0]["type"] == "result"
        assert (await told(client, kept, "done"))["answered"] == 2
        await client.until(lambda e: e == {"type": "run_removed", "run": deleted})
        assert len(states(client, kept)) == 1, "the present state, once"
        seen = len(client.events)
        await gateway.post(f"/runs/{kept}/continue")
        await told(client, kept, "running", skip=seen)
        await client.say(type="follow_runs", runs=[])
    async with speaking(gateway) as client:
        # Nothing is followed and nothing was generated: there is no session to come back to.
        assert not (await client.say(type="hello", session=session))["resumed"]
        await gateway.ask("PATCH", f"/runs/{kept}", {"name": "unseen"})
        await client.say(type="ping")
        assert not states(client, kept)


async def test_what_cannot_be_read_after_a_cut_is_told_and_changes_still_come(
    before_fake: StartWithFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, _ = await before_fake(answer_tokens=2)
    run = await begun(gateway)
    await gateway.get(f"/runs/{run}/events")
    store = gateway.app[RUNS].store

    async def broken(*_: object) -> None:
        raise StorageFailed("the disk is gone")

    async with speaking(gateway) as client:
        session = (await client.say(type="hello"))["session"]
        await client.say(type="follow_runs")
        await told(client, run, "done")
        with monkeypatch.context() as patched:
            patched.setattr(store, "last_changed", broken)
            failed = await client.try_to(type="follow_runs")
            assert failed["error"]["code"] == "storage_failed"
    async with speaking(gateway) as client:
        with monkeypatch.context() as patched:
            patched.setattr(store, "last_changed", broken)
            await client.say(type="hello", session=session)
            failed = await client.until(lambda e: e["type"] == "error")
        assert "id" not in failed
        assert failed["error"]["code"] == "storage_failed"
        await gateway.ask("PATCH", f"/runs/{run}", {"name": "later"})
        await client.until(lambda e: e["type"] == "run" and e["run"]["name"] == "later")


async def test_a_client_that_reads_nothing_gets_the_latest_state_of_each_run_once(
    before_fake: StartWithFake,
) -> None:
    gateway, _ = await before_fake(answer_tokens=2)
    runs = [await begun(gateway) for _ in range(20)]
    for run in runs:
        await gateway.get(f"/runs/{run}/events")
    async with speaking(gateway) as client:
        # Frames come no more often than five times a second.
        await client.say(type="hello", pace_ms=200)
        await client.say(type="follow_runs", runs=runs)
        for run in runs:
            await told(client, run, "done")
        seen = len(client.events)
        service = gateway.app[RUNS]
        shown = await service.reading.view_with_ids(await service.store.run("local", runs[0]))
        for _ in range(1000):
            service.following.tell(shown)
        await client.say(type="ping")
        assert [e["type"] for e in client.events[seen:]].count("run") == 1


async def test_where_runs_are_switched_off_they_cannot_be_followed() -> None:
    async with small_gateway({}) as running, hearing(running.url) as speaker:
        failed = await speaker.ask("follow_runs")
        assert failed["error"]["code"] == "runs_off"
        assert (await speaker.ask("ping"))["type"] == "result"


async def test_a_socket_that_is_gone_leaves_no_watcher(before_fake: StartWithFake) -> None:
    gateway, _ = await before_fake(answer_tokens=2)
    run = await begun(gateway)
    following = gateway.app[RUNS].following
    for _ in range(3):
        async with speaking(gateway) as client:
            await client.say(type="follow_runs")
            await client.say(type="follow_runs", runs=[run])
            await told(client, run, "done")
        await until(lambda: not following._watches, "nobody watches")
    assert len(gateway.app[SESSIONS]) == 3
