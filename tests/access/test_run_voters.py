"""Who voted on a shared run: names for those who may know them, and ids of keys for nobody."""

import json

from server.web.entry.gate import GATE
from server.web.keys import RUNS
from tests.access.keyed_gateway import KeyedGateway, until
from tests.access.test_shared_runs import VOTE, a_run, keyed, share

__all__ = ["keyed"]


async def told(keyed: KeyedGateway, run: str, key: str) -> dict[str, tuple[int, int, bool]]:
    """Return who voted, as the results and the export tell it to the holder of a key."""
    results = (await keyed.ask("GET", f"/runs/{run}/results", key=key)).json
    export = (await keyed.ask("GET", f"/runs/{run}/export", key=key)).text
    report = (await keyed.ask("GET", f"/runs/{run}/export?form=html", key=key)).text
    lines = [json.loads(line) for line in export.splitlines()]
    assert lines[0]["voters"] == results["voters"]
    names = [one["name"] for one in results["voters"]]
    assert {line["voter"] for line in lines if line.get("kind") == "vote"} == set(names)
    for name in names:
        assert f">{name}</th>" in report
    votes = await keyed.gateway.app[RUNS].store.votes.of_run(1)
    run_owner = results["run"]["owner"]
    for vote in votes:
        # Who began a run is told in it, as ever.
        if vote.voter != run_owner:
            assert vote.voter not in json.dumps(results) + export + report
    return {one["name"]: (one["votes"], one["blind"], one["is_me"]) for one in results["voters"]}


async def test_the_owner_is_told_all_names_and_others_are_told_their_own(
    keyed: KeyedGateway,
) -> None:
    run = await a_run(keyed)
    await share(keyed, run, "*")
    for key, prompts, blind in (("third", (0, 1), True), ("op", (0,), False), ("use", (1,), True)):
        for prompt in prompts:
            address = f"/runs/{run}/prompts/{prompt}/vote"
            reply = await keyed.ask("PUT", address, key=key, json={**VOTE, "blind": blind})
            assert reply.status == 200, reply.text
    for _ in range(2):  # what is kept of results is no reader's
        assert await told(keyed, run, "use") == {
            "third": (2, 2, False),
            "op": (1, 0, False),
            "use": (1, 1, True),
        }
        assert await told(keyed, run, "third") == {
            "third": (2, 2, True),
            "voter 2": (1, 0, False),
            "use": (1, 1, False),
        }
        assert await told(keyed, run, "op") == {
            "voter 1": (2, 2, False),
            "op": (1, 0, True),
            "use": (1, 1, False),
        }
    secret = keyed.keys["third"]
    keyed.remove("third")
    keyring = keyed.gateway.app[GATE].keyring
    await until(lambda: keyring.find(secret) is None)
    assert await told(keyed, run, "use") == {
        "voter 1": (2, 2, False),
        "op": (1, 0, False),
        "use": (1, 1, True),
    }


async def test_no_list_of_votes_tells_others_keys(keyed: KeyedGateway) -> None:
    run = await a_run(keyed)
    await share(keyed, run, "*")
    ids = {}
    for key in ("third", "op", "use"):
        reply = await keyed.ask("PUT", f"/runs/{run}/prompts/0/vote", key=key, json=VOTE)
        ids[key] = reply.json["voter"]

    async def listed(key: str, query: str = "") -> set[str]:
        reply = await keyed.ask("GET", f"/runs/{run}/votes{query}", key=key)
        return {vote["voter"] for vote in reply.json["votes"]}

    assert await listed("use") == {*ids.values()}
    assert await listed("third") == {ids["third"], "voter 2", "use"}
    assert await listed("op") == {"voter 1", ids["op"], "use"}
    for key, own in ids.items():
        assert await listed(key, "?mine=1") == {own}


async def test_a_leaderboard_tells_keys_of_voters_to_the_owner_of_the_runs_alone(
    keyed: KeyedGateway,
) -> None:
    run = await a_run(keyed)
    await share(keyed, run, "*")
    ids = {}
    for key in ("third", "op", "use"):
        reply = await keyed.ask("PUT", f"/runs/{run}/prompts/0/vote", key=key, json=VOTE)
        ids[key] = reply.json["voter"]

    async def listed(key: str) -> set[str]:
        return {
            one["voter"] + " (me)" * one["is_me"]
            for one in (await keyed.ask("GET", "/leaderboard", key=key)).json["voters"]
        }

    assert await listed("use") == {ids["third"], ids["op"], ids["use"] + " (me)"}
    # The owner of a run is told in it.
    (number,) = await listed("third") - {ids["third"] + " (me)", ids["use"]}
    assert number in {"voter 1", "voter 2", "voter 3"}
    # Who voted on another's run, too, is told of neither.
    other = await a_run(keyed, key="op")
    await share(keyed, other, "*", key="op")
    await keyed.ask("PUT", f"/runs/{other}/prompts/0/vote", key="third", json=VOTE)
    assert ids["third"] not in await listed("use")
    assert ids["op"] in await listed("use")
