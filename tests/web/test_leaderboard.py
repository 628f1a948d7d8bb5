"""The leaderboard over runs and chats: what counts, what does not, and what is told of it."""

from typing import Any

import pytest

from server.runs.board import Leaderboards
from server.web.keys import ARCHIVE, RUNS
from tests.conftest import StartFake
from tests.web.conftest import Start
from tests.web.gateway import Gateway, remote

PROMPTS = [
    {"prompt": "Of France?", "expected": "Paris", "tags": ["europe"]},
    {"prompt": "Of Peru?", "expected": "Lima"},
    {"prompt": "Of Chad?", "expected": "N'Djamena"},
]
CHECKS = [{"type": "contains", "value": "{{expected}}"}]


@pytest.fixture
async def gateway(fake_tgi: StartFake, start_gateway: Start) -> Gateway:
    """Run a gateway with the models `right`, `wrong` and `judge`."""
    one, two = await fake_tgi(text="Paris, Lima."), await fake_tgi(text="Oslo.")
    judge = await fake_tgi(text='{"reason": "Sure.", "better": "first"}')
    models = {"right": remote(one.url), "wrong": remote(two.url), "judge": remote(judge.url)}
    return await start_gateway(models)


async def a_run(gateway: Gateway, *targets: Any, **words: Any) -> dict[str, Any]:
    """Have targets, by default both models, asked of three prompts; return the run."""
    given = {"name": "Capitals", "prompts": PROMPTS, "checks": CHECKS, **words}
    kept = (await gateway.post("/prompt-sets", given)).json["id"]
    asked = [one if isinstance(one, dict) else {"model": one} for one in targets]
    body = {"prompt_set": kept, "targets": asked or [{"model": "right"}, {"model": "wrong"}]}
    run = await gateway.post("/runs", body)
    assert run.status == 201, run.text
    await gateway.get(f"/runs/{run.json['id']}/events")
    found: dict[str, Any] = run.json
    return found


async def vote(gateway: Gateway, run: dict[str, Any], prompt: int, **given: Any) -> None:
    """Vote blind that the first of two targets is better, or as `given` says."""
    body = {"among": [0, 1], "winners": [0], "blind": True, **given}
    reply = await gateway.ask("PUT", f"/runs/{run['id']}/prompts/{prompt}/vote", body)
    assert reply.status == 200, reply.text


async def board(gateway: Gateway, query: str = "") -> dict[str, Any]:
    reply = await gateway.get(f"/leaderboard{query}")
    assert reply.status == 200, reply.text
    found: dict[str, Any] = reply.json
    return found


def earlier(number: int, winner: str, *, blind: bool = True) -> dict[str, Any]:
    """Return a vote on a chat between both models."""
    candidates = [{"model": name, "won": name == winner} for name in ("right", "wrong")]
    verdict = "better" if winner else "tie"
    return {"id": f"v{number}", "verdict": verdict, "candidates": candidates, "blind": blind}


async def test_nothing_is_no_error(gateway: Gateway) -> None:
    found = await board(gateway)
    assert (found["entries"], found["runs"], found["votes"]) == ([], [], 0)


async def test_blind_votes_and_checks_of_runs_count(gateway: Gateway) -> None:
    run = await a_run(gateway)
    for prompt in (0, 1):
        await vote(gateway, run, prompt)
    await vote(gateway, run, 2, blind=False, winners=[1])
    found = await board(gateway)
    first, second = found["entries"]
    assert (first["model"], first["votes"], first["rank"]["wins"]) == ("right", 2, 2)
    assert (second["model"], second["rank"]["losses"]) == ("wrong", 2)
    assert first["rank"]["strength"] > second["rank"]["strength"]
    passed = [(one["passed"]["passed"], one["passed"]["total"]) for one in found["entries"]]
    assert passed == [(2, 3), (0, 3)]
    assert (first["runs"], first["prompts"]) == (1, 3)
    assert first["passed"]["interval"][0] < 2 / 3 < first["passed"]["interval"][1]
    assert (found["votes"], found["other_votes"], found["left_out"]) == (2, 1, False)
    (made_of,) = found["runs"]
    assert (made_of["id"], made_of["votes"], made_of["other_votes"]) == (run["id"], 2, 1)
    assert made_of["checked"] == 6
    assert found["voters"] == [{"voter": "local", "is_me": True, "votes": 2, "other_votes": 1}]


async def test_few_votes_tell_nobody_apart(gateway: Gateway) -> None:
    run = await a_run(gateway)
    await vote(gateway, run, 0)
    await vote(gateway, run, 1, winners=[1])
    ranks = [one["rank"] for one in (await board(gateway))["entries"]]
    assert [rank["places"] for rank in ranks] == [[1, 2], [1, 2]]


async def test_rounds_of_chats_count_beside_runs(gateway: Gateway) -> None:
    run = await a_run(gateway)
    await vote(gateway, run, 0)
    votes = [earlier(1, "wrong"), earlier(2, ""), earlier(3, "wrong", blind=False)]
    assert (await gateway.post("/votes/import", {"votes": votes})).json == {"votes": 3}
    found = await board(gateway)
    assert (found["votes"], found["chat_votes"], found["other_chat_votes"]) == (3, 2, 1)
    ranks = {one["model"]: one["rank"] for one in found["entries"]}
    assert [ranks["right"][name] for name in ("wins", "losses", "ties")] == [1, 1, 1]
    chats = await board(gateway, "?over=chats")
    assert (chats["votes"], chats["runs"]) == (2, [])
    assert chats["entries"][0]["model"] == "wrong"
    assert chats["entries"][0]["passed"] is None
    runs = await board(gateway, "?over=runs")
    assert (runs["votes"], runs["chat_votes"]) == (1, 0)


async def test_a_set_and_a_tag_choose_what_counts(gateway: Gateway) -> None:
    run = await a_run(gateway)
    other = await a_run(gateway, name="Others", tags=["others"], prompts=PROMPTS[1:])
    for prompt in (0, 1):
        await vote(gateway, run, prompt)
        await vote(gateway, other, prompt, winners=[1])
    await gateway.post("/votes/import", {"votes": [earlier(1, "wrong")]})
    of_set = await board(gateway, f"?set={run['prompt_set']}")
    assert ([one["id"] for one in of_set["runs"]], of_set["votes"]) == ([run["id"]], 2)
    assert of_set["chat_votes"] == 0
    of_tag = await board(gateway, "?tag=others")
    assert ([one["id"] for one in of_tag["runs"]], of_tag["votes"]) == ([other["id"]], 2)
    of_prompt = await board(gateway, "?tag=europe")
    assert ([one["id"] for one in of_prompt["runs"]], of_prompt["votes"]) == ([run["id"]], 1)
    assert [one["prompts"] for one in of_prompt["entries"]] == [1, 1]
    passed = {one["model"]: one["passed"] for one in of_prompt["entries"]}
    assert (passed["right"]["passed"], passed["right"]["total"]) == (1, 1)
    nothing = await board(gateway, "?tag=none")
    assert (nothing["runs"], nothing["entries"]) == ([], [])


async def test_the_same_prompt_in_two_runs_is_one(gateway: Gateway) -> None:
    first = await a_run(gateway)
    body = {"prompt_set": first["prompt_set"], "targets": [{"model": "right"}]}
    again = (await gateway.post("/runs", body)).json
    await gateway.get(f"/runs/{again['id']}/events")
    (right, _) = (await board(gateway))["entries"]
    assert (right["passed"]["total"], right["passed"]["prompts"], right["runs"]) == (6, 3, 2)


async def test_what_is_counted_as_one_model_is_told(gateway: Gateway) -> None:
    warm = {"model": "right", "parameters": {"temperature": 0.5}, "name": "warm"}
    brief = {"model": "right", "system": "Be brief."}
    run = await a_run(gateway, "right", warm, brief, "wrong")
    await vote(gateway, run, 0, among=[0, 1, 3], winners=[1])
    found = await board(gateway)
    (right, _) = found["entries"]
    told = [(one["parameters"], one["system"], one["runs"]) for one in right["variants"]]
    assert ({}, None, 1) in told
    assert ({"temperature": 0.5}, None, 1) in told
    assert ({}, "Be brief.", 1) in told
    assert right["variants_count"] == 3
    assert (found["same_model"], right["rank"]["wins"], right["votes"]) == (1, 1, 1)
    assert right["passed"]["total"] == 9


async def test_judges_have_a_ranking_of_their_own(gateway: Gateway) -> None:
    run = await a_run(gateway)
    given = {"model": "judge", "criteria": "Right?", "mode": "pairs"}
    await gateway.post(f"/runs/{run['id']}/judges", given)
    while (await _judge(gateway, run))["state"] == "running":
        pass
    found = await board(gateway)
    (told,) = found["judges"]
    assert (told["model"], told["judges"], told["pairs"]) == ("judge", 1, 3)
    assert told["inconsistent"] == 3
    assert [one["ties"] for one in told["ranking"]] == [3, 3]
    assert (found["votes"], [one["rank"] for one in found["entries"]]) == (0, [None, None])


async def _judge(gateway: Gateway, run: dict[str, Any]) -> dict[str, Any]:
    (found,) = (await gateway.get(f"/runs/{run['id']}/judges")).json["judges"]
    judge: dict[str, Any] = found["judge"]
    return judge


async def test_a_failed_answer_passed_none_of_the_checks_of_its_prompt(
    fake_tgi: StartFake, start_gateway: Start
) -> None:
    one, bad = await fake_tgi(text="Paris."), await fake_tgi(error_after=1)
    gateway = await start_gateway({"right": remote(one.url), "wrong": remote(bad.url)})
    await a_run(gateway)
    passed = {one["model"]: one["passed"] for one in (await board(gateway))["entries"]}
    assert (passed["wrong"]["passed"], passed["wrong"]["total"]) == (0, 3)


async def test_the_latest_runs_and_votes_are_taken_and_that_there_are_more_is_told(
    gateway: Gateway,
) -> None:
    runs = [await a_run(gateway) for _ in range(3)]
    for prompt in (0, 1):
        await vote(gateway, runs[2], prompt)
    app = gateway.app
    store, rounds = app[RUNS].store.board, app[ARCHIVE].votes.rounds
    few = Leaderboards(store, rounds, max_runs=2)
    found = await few.show("local", over="all", set_id="", tag="")
    assert found.left_out
    assert [one.id for one in found.runs] == [runs[2]["id"], runs[1]["id"]]
    fewer = Leaderboards(store, rounds, max_votes=1)
    found = await fewer.show("local", over="all", set_id="", tag="")
    assert (found.left_out, found.votes, len(found.runs)) == (True, 1, 3)


async def test_a_deleted_run_and_a_vote_taken_back_no_longer_count(gateway: Gateway) -> None:
    run, other = await a_run(gateway), await a_run(gateway)
    await vote(gateway, run, 0)
    await vote(gateway, other, 0)
    await gateway.ask("DELETE", f"/runs/{run['id']}/prompts/0/vote")
    assert (await board(gateway))["votes"] == 1
    await gateway.ask("DELETE", f"/runs/{other['id']}")
    found = await board(gateway)
    assert (found["votes"], len(found["runs"])) == (0, 1)


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("?over=some", 400, "invalid_command"),
        ("?set=p_no", 404, "unknown_prompt_set"),
        ("?over=chats&set=p_no", 409, "invalid_command"),
        (f"?tag={'x' * 51}", 400, "invalid_command"),
    ],
)
async def test_what_is_wrong_is_refused(
    gateway: Gateway, query: str, status: int, code: str
) -> None:
    reply = await gateway.get(f"/leaderboard{query}")
    assert (reply.status, reply.json["error"]["code"]) == (status, code), reply.text
