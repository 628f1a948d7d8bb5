"""Runs that are shared: others read and vote, change nothing, and see nothing once it is over."""

import asyncio
import json
from typing import Any

import pytest

from server.settings.models import ModelSettings
from server.web.entry.gate import GATE
from tests.access.conftest import Open
from tests.access.keyed_gateway import KeyedGateway, until

READ = (
    *("", "/rows", "/prompts/0", "/results", "/votes", "/judges", "/export?form=csv"),
    *("/events", "/prompts/0/events"),
)
CHANGES: tuple[tuple[str, str, Any], ...] = (
    ("PATCH", "", {"name": "mine"}),
    ("PATCH", "", {"shared_with": ["*"]}),
    ("PATCH", "", {}),
    ("POST", "/pause", None),
    ("POST", "/cancel", None),
    ("POST", "/continue", None),
    ("POST", "/extend", {"repeats": 2}),
    ("POST", "/judges", {"model": "m", "criteria": "well?"}),
    ("POST", "/judges/j_no/continue", None),
    ("DELETE", "/judges/j_no", None),
    ("DELETE", "", None),
)
VOTE = {"among": [0, 1], "winners": [1], "blind": True}


@pytest.fixture
async def keyed(open_keyed: Open) -> KeyedGateway:
    """Run a gateway with the keys `op`, `use` and `third`, each with its own runs."""
    keyed = await open_keyed(text="Paris.")
    await keyed.add("third", "user")
    return keyed


async def a_run(keyed: KeyedGateway, key: str = "use", model: str = "m") -> str:
    """Have two targets answer two prompts; return the run's id."""
    prompts = {"prompts": ["Of France?", "Of Peru?"]}
    kept = (await keyed.ask("POST", "/prompt-sets", key=key, json=prompts)).json["id"]
    targets = [{"model": model}, {"model": model, "name": "other"}]
    body = {"prompt_set": kept, "targets": targets}
    run: str = (await keyed.ask("POST", "/runs", key=key, json=body)).json["id"]
    await keyed.ask("GET", f"/runs/{run}/events", key=key)
    return run


async def share(keyed: KeyedGateway, run: str, *names: str, key: str = "use") -> dict[str, Any]:
    """Share a run with the keys of these names, and nobody else."""
    reply = await keyed.ask("PATCH", f"/runs/{run}", key=key, json={"shared_with": names})
    assert reply.status == 200, reply.text
    shared: dict[str, Any] = reply.json
    return shared


async def test_nobody_else_knows_a_run_that_is_not_shared(keyed: KeyedGateway) -> None:
    run = await a_run(keyed)
    tried = [("GET", path, None) for path in READ] + list(CHANGES)
    for method, path, body in [*tried, ("PUT", "/prompts/0/vote", VOTE)]:
        reply = await keyed.ask(method, f"/runs/{run}{path}", key="third", json=body)
        assert (reply.status, reply.json["error"]["code"]) == (404, "unknown_run"), path
    assert (await keyed.ask("GET", "/runs", key="third")).json["runs"] == []


@pytest.mark.parametrize("names", [("third",), ("*",)])
async def test_others_read_a_shared_run_and_change_nothing(
    keyed: KeyedGateway, names: tuple[str, ...]
) -> None:
    run = await a_run(keyed)
    mine = await share(keyed, run, *names)
    assert (mine["shared_with"], mine["is_mine"], mine["owner_name"]) == ([*names], True, "use")
    (listed,) = (await keyed.ask("GET", "/runs", key="third")).json["runs"]
    assert (listed["id"], listed["is_mine"], listed["owner_name"]) == (run, False, "use")
    assert listed["shared_with"] == []
    for path in READ:
        reply = await keyed.ask("GET", f"/runs/{run}{path}", key="third")
        assert reply.status == 200, f"{path}: {reply.text}"
    for method, path, body in CHANGES:
        reply = await keyed.ask(method, f"/runs/{run}{path}", key="third", json=body)
        assert (reply.status, reply.json["error"]["code"]) == (403, "forbidden"), (method, path)
    seen_by_op = await keyed.ask("GET", f"/runs/{run}", key="op")
    assert seen_by_op.status == (200 if names == ("*",) else 404)
    kept = (await keyed.ask("GET", f"/runs/{run}", key="use")).json
    assert (kept["state"], kept["answered"], kept["name"]) == ("done", 4, mine["name"])


async def test_votes_of_all_voters_count_and_stay(keyed: KeyedGateway) -> None:
    run = await a_run(keyed)
    await share(keyed, run, "*")
    addresses = [f"/runs/{run}/prompts/{prompt}/vote" for prompt in (0, 1)]
    voters = ("use", "third", "op")
    given = await asyncio.gather(
        *(
            keyed.ask("PUT", address, key=key, json=VOTE)
            for address in addresses
            for key in voters
            for _ in range(3)
        )
    )
    assert {reply.status for reply in given} == {200}
    votes = (await keyed.ask("GET", f"/runs/{run}/votes", key="third")).json["votes"]
    assert [vote["prompt"] for vote in votes] == [0] * 3 + [1] * 3
    assert len({vote["voter"] for vote in votes}) == 3
    assert (await keyed.ask("DELETE", addresses[0], key="third")).status == 204
    results = (await keyed.ask("GET", f"/runs/{run}/results", key="use")).json
    assert (results["votes"], results["ranking"][0]["wins"]) == (5, 5)
    secret = keyed.keys["third"]
    keyed.remove("third")
    keyring = keyed.gateway.app[GATE].keyring
    await until(lambda: keyring.find(secret) is None)
    await share(keyed, run)
    assert (await keyed.ask("GET", f"/runs/{run}/results", key="use")).json["votes"] == 5


async def test_a_vote_cannot_be_given_once_a_run_is_no_longer_shared(keyed: KeyedGateway) -> None:
    run = await a_run(keyed)
    await share(keyed, run, "third")
    address = f"/runs/{run}/prompts/0/vote"
    assert (await keyed.ask("PUT", address, key="third", json=VOTE)).status == 200
    assert (await share(keyed, run))["shared_with"] == []
    for method, body in (("PUT", VOTE), ("DELETE", None)):
        assert (await keyed.ask(method, address, key="third", json=body)).status == 404
    assert (await keyed.ask("GET", f"/runs/{run}/results", key="use")).json["votes"] == 1


@pytest.mark.parametrize("events", ["/events", "/prompts/0/events"])
async def test_who_follows_a_run_hears_no_more_once_it_is_not_shared(
    open_keyed: Open, events: str
) -> None:
    keyed = await open_keyed(text="one two three", hold_after=1)
    await keyed.add("third", "user")
    kept = (await keyed.ask("POST", "/prompt-sets", key="use", json={"prompts": ["a"]})).json["id"]
    body = {"prompt_set": kept, "targets": [{"model": "m"}]}
    run = (await keyed.ask("POST", "/runs", key="use", json=body)).json["id"]
    await share(keyed, run, "third")
    await keyed.fake.state.reaches(tokens=1)
    url = f"{keyed.gateway.url}/runs/{run}{events}"
    async with keyed.gateway.http.get(url, headers=keyed.bearer("third")) as followed:
        assert (await followed.content.readline()).startswith(b"data: ")
        await share(keyed, run)
        last = (await followed.read()).decode().strip().splitlines()[-1]
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "unknown_run"
    keyed.fake.state.release()


async def test_a_run_is_not_shared_with_a_key_that_is_not_there(keyed: KeyedGateway) -> None:
    run = await a_run(keyed)
    await share(keyed, run, "third")
    for names, status in (
        (["nobody"], 400),
        (["third", "nobody"], 400),
        ([""], 400),
        ("third", 400),
        ([7], 400),
        (["x"] * 1001, 400),
    ):
        reply = await keyed.ask("PATCH", f"/runs/{run}", key="use", json={"shared_with": names})
        assert reply.status == status, reply.text
    assert (await keyed.ask("GET", f"/runs/{run}", key="use")).json["shared_with"] == ["third"]
    refused = {"name": "other", "shared_with": ["nobody"]}
    assert (await keyed.ask("PATCH", f"/runs/{run}", key="use", json=refused)).status == 400
    assert (await keyed.ask("GET", f"/runs/{run}", key="use")).json["name"] != "other"


async def test_a_later_key_of_the_same_name_is_somebody_else(keyed: KeyedGateway) -> None:
    run = await a_run(keyed)
    await share(keyed, run, "third")
    keyed.remove("third")
    await keyed.add("third", "user")
    assert (await keyed.ask("GET", f"/runs/{run}", key="third")).status == 404
    (gone,) = (await keyed.ask("GET", f"/runs/{run}", key="use")).json["shared_with"]
    assert gone != "third"
    both = await share(keyed, run, "third", gone)
    assert sorted(both["shared_with"]) == sorted(["third", gone])
    assert (await keyed.ask("GET", f"/runs/{run}", key="third")).status == 200


async def test_lines_of_a_server_s_log_are_told_to_operators_only(open_keyed: Open) -> None:
    failing = ModelSettings(runner="command", command="sh -c 'echo private; exit 3' {port}")
    keyed = await open_keyed(models={"m": failing})
    run = await a_run(keyed, key="op")
    await share(keyed, run, "*", key="op")
    for path in ("", "/results", "/export?form=jsonl"):
        told = {}
        for key in ("op", "use"):
            reply = await keyed.ask("GET", f"/runs/{run}{path}", key=key)
            assert reply.status == 200
            told[key] = '"log":["private"]' in reply.text
        assert told == {"op": True, "use": False}, path
