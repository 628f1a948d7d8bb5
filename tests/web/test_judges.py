"""Judges of a run over HTTP: their replies are read, kept and summed up, whatever they say."""

import json
from pathlib import Path
from typing import Any

import pytest

from server.runs import judging
from server.settings.tables import Settings
from server.web.keys import RUNS
from tests.conftest import StartFake
from tests.fakes.tgi import Fake
from tests.web.conftest import Start
from tests.web.gateway import Gateway, remote, running, server_settings

CRITERIA = "Is the capital right?"


async def judged(gateway: Gateway, run: str, judge: str) -> dict[str, Any]:
    """Return a judge with its results, once it is over; continuing one that runs waits for it."""
    while True:
        listing = (await gateway.get(f"/runs/{run}/judges")).json["judges"]
        (found,) = [one for one in listing if one["judge"]["id"] == judge]
        if found["judge"]["state"] != "running":
            result: dict[str, Any] = found
            return result


async def a_run(gateway: Gateway) -> str:
    """Have two targets answer two prompts; return the run's id."""
    prompts = [{"prompt": "Of France?", "expected": "Paris"}, "Of Peru?"]
    kept = (await gateway.post("/prompt-sets", {"prompts": prompts})).json
    targets = [{"model": "m", "name": "one"}, {"model": "m", "name": "two"}]
    run = (await gateway.post("/runs", {"prompt_set": kept["id"], "targets": targets})).json
    await gateway.get(f"/runs/{run['id']}/events")
    name: str = run["id"]
    return name


@pytest.fixture
async def before_judge(fake_tgi: StartFake, start_gateway: Start) -> Any:
    """Return `gateway, fake = await before_judge(reply)`: `m` answers, `judge` says that."""

    async def start(reply: str, **options: Any) -> tuple[Gateway, Fake]:
        one, judge = await fake_tgi(text="Paris."), await fake_tgi(text=reply, **options)
        models = {"m": remote(one.url), "judge": remote(judge.url, max_concurrent=1)}
        return await start_gateway(models), judge

    return start


async def test_a_judge_grades_every_answer_by_criteria_that_it_is_shown(before_judge: Any) -> None:
    gateway, judge = await before_judge('{"reason": "It is.", "grade": 4}')
    run = await a_run(gateway)
    given = {"model": "judge", "criteria": CRITERIA}
    begun = await gateway.post(f"/runs/{run}/judges", given)
    assert begun.status == 201, begun.text
    found = await judged(gateway, run, begun.json["id"])
    assert (found["judge"]["state"], found["judge"]["judged"]) == ("done", 4)
    assert found["judge"]["total"] == 4
    assert [one["grades"]["mean"] for one in found["grades"]] == [4.0, 4.0]
    said = (await gateway.get(f"/runs/{run}/judges/{begun.json['id']}?count=1")).json["judgements"]
    assert [(one["first"], one["grade"], one["reason"]) for one in said] == [
        (0, 4, "It is."),
        (1, 4, "It is."),
    ]
    asked = json.dumps(said[0]["asked"])
    assert CRITERIA in asked
    assert "Paris." in asked
    again = await gateway.post(f"/runs/{run}/judges/{begun.json['id']}/continue")
    assert again.status == 200
    await judged(gateway, run, begun.json["id"])
    assert len(judge.state.requests) == 4


async def test_a_judge_that_prefers_what_it_reads_first_contradicts_itself(
    before_judge: Any,
) -> None:
    gateway, judge = await before_judge('{"reason": "Sure.", "better": "first"}')
    run = await a_run(gateway)
    given = {"model": "judge", "criteria": CRITERIA, "mode": "pairs"}
    begun = (await gateway.post(f"/runs/{run}/judges", given)).json
    found = await judged(gateway, run, begun["id"])
    assert (found["judge"]["judged"], found["inconsistent"]) == (4, 2)
    assert found["judge"]["total"] == 4
    assert [(one["wins"], one["ties"]) for one in found["ranking"]] == [(0, 2), (0, 2)]
    assert len(judge.state.requests) == 4


async def test_nonsense_of_a_judge_is_counted_and_shown(before_judge: Any) -> None:
    gateway, _ = await before_judge("I would rather not say.")
    run = await a_run(gateway)
    begun = (await gateway.post(f"/runs/{run}/judges", {"model": "judge", "criteria": "x"})).json
    found = await judged(gateway, run, begun["id"])
    assert (found["judge"]["judged"], found["judge"]["unreadable"]) == (4, 4)
    assert found["grades"][0]["grades"]["mean"] is None
    (said, *_) = (await gateway.get(f"/runs/{run}/judges/{begun['id']}")).json["judgements"]
    assert "neither JSON" in said["reason"]
    assert said["reply"] == "I would rather not say."


async def test_a_judge_is_paused_continued_and_deleted(before_judge: Any) -> None:
    gateway, judge = await before_judge('{"reason": "x", "grade": 1}', hold_after=1)
    run = await a_run(gateway)
    begun = (await gateway.post(f"/runs/{run}/judges", {"model": "judge", "criteria": "x"})).json
    address = f"/runs/{run}/judges/{begun['id']}"
    await judge.state.reaches(started=1)
    judge.state.release()
    paused = (await gateway.post(f"{address}/pause")).json
    assert paused["judged"] == len(judge.state.requests)
    if paused["state"] != "done":
        assert paused["state"] == "paused"
    await gateway.post(f"{address}/continue")
    assert (await judged(gateway, run, begun["id"]))["judge"]["judged"] == 4
    assert len(judge.state.requests) == 4
    assert (await gateway.ask("DELETE", address)).status == 204
    assert (await gateway.get(address)).status == 404


async def test_many_judgements_are_told_whole_and_in_order_piece_by_piece(
    before_judge: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, _ = await before_judge('{"reason": "Sure.", "better": "first"}')
    run = await a_run(gateway)
    given = {"model": "judge", "criteria": CRITERIA, "mode": "pairs"}
    begun = (await gateway.post(f"/runs/{run}/judges", given)).json
    address = f"/runs/{run}/judges/{begun['id']}"
    await judged(gateway, run, begun["id"])
    whole = (await gateway.get(address)).json
    assert [(one["prompt"], one["first"], one["second"]) for one in whole["judgements"]] == [
        *((0, 0, 1), (0, 1, 0)),
        *((1, 0, 1), (1, 1, 0)),
    ]
    pieces: list[int] = []
    store = gateway.app[RUNS].store.judges
    real = store.judgements

    async def counted(*words: Any, **more: Any) -> Any:
        found = await real(*words, **more)
        pieces.append(len(found))
        return found

    monkeypatch.setattr(store, "judgements", counted)
    monkeypatch.setattr(judging, "_PIECE", 3)
    assert (await gateway.get(address)).json == whole
    assert pieces == [3, 1, 0]
    assert (await gateway.get(f"{address}?first=1")).json["judgements"] == whole["judgements"][2:]
    assert (await gateway.get(f"{address}?first=2")).json == {"judgements": []}


async def test_what_cannot_be_judged_is_refused(before_judge: Any) -> None:
    gateway, _ = await before_judge("x")
    run = await a_run(gateway)
    good = {"model": "judge", "criteria": "x"}
    wrong: tuple[tuple[str, dict[str, Any], int], ...] = (
        (f"/runs/{run}/judges", {**good, "model": "nobody"}, 404),
        (f"/runs/{run}/judges", {**good, "grades": 1}, 400),
        (f"/runs/{run}/judges", {**good, "criteria": ""}, 400),
        (f"/runs/{run}/judges", {**good, "mode": "guess"}, 400),
        (f"/runs/{run}/judges", {**good, "parameters": {"temperature": -1}}, 422),
        ("/runs/r_no/judges", good, 404),
        (f"/runs/{run}/judges/j_no/pause", {}, 404),
        (f"/runs/{run}/judges/j_no/continue", {}, 404),
    )
    for path, body, status in wrong:
        reply = await gateway.post(path, body)
        assert reply.status == status, f"{path} {body}: {reply.text}"
    assert (await gateway.get(f"/runs/{run}/judges")).json["judges"] == []


async def test_a_judge_goes_on_after_a_restart(fake_tgi: StartFake, tmp_path: Path) -> None:
    one = await fake_tgi(text="Paris.")
    judge = await fake_tgi(text='{"reason": "x", "grade": 2}', hold_after=1)
    models = {"m": remote(one.url), "judge": remote(judge.url, max_concurrent=1)}
    settings = Settings(server=server_settings(state_dir=tmp_path), models=models)
    async with running(settings) as gateway:
        run = await a_run(gateway)
        given = {"model": "judge", "criteria": "x"}
        begun = (await gateway.post(f"/runs/{run}/judges", given)).json
        await judge.state.reaches(started=1)
    judge.state.release()
    async with running(settings) as gateway:
        assert (await judged(gateway, run, begun["id"]))["judge"]["judged"] == 4
    assert len(judge.state.requests) == 5
