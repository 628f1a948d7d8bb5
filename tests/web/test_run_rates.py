"""What people's votes and judges say of each target: results, report, and JSON Lines."""

import json
import re
from typing import Any

import pytest

from server.core.protocol import Cost, ErrorInfo, Message, Timings, Usage
from server.evaluation.judging import Position
from server.runs import reports
from server.runs.judge_shapes import JudgeGiven, Judgement
from server.runs.shapes import RunVote
from server.web.keys import RUNS
from tests.web.conftest import StartWithFake
from tests.web.gateway import Gateway
from tests.web.test_prompt_set_files import VARIED
from tests.web.test_run_files import OWNER, filled
from tests.web.test_runs import made, over

PROMPTS = 8
ASKED = [Message("user", "Which is better?")]


def judgement(
    prompt: int, first: int, second: int | None, said: int | Position | None
) -> Judgement:
    """Return a grade, or which of two is better; None cannot be read."""
    is_grade = second is None
    return Judgement(
        prompt=prompt,
        repeat=0,
        first=first,
        second=second,
        grade=said if isinstance(said, int) else None,
        better=said if isinstance(said, str) else None,
        reason="so" if said else "no JSON",
        reply=f"It says {said}.",
        asked=[{"role": one.role, "content": one.content} for one in ASKED],
        usage=Usage(10, 5 + is_grade),
        timings=Timings(1.0, 2.0, 3.0, None),
        cost=Cost(0.01),
    )


async def voted_and_judged(gateway: Gateway) -> str:
    """Return a run of two targets, voted on by two people, and judged by grades and by pairs.

    The second target is better on all prompts; of the pairs one contradicts itself.
    """
    run = await filled(gateway, PROMPTS, judged=False)
    store = gateway.app[RUNS].store
    number = (await store.run(OWNER, run)).number
    for prompt in range(PROMPTS):
        for voter, blind in (("id-anna", True), (OWNER, False)):
            vote = RunVote([1, 0], [1], 0, blind, prompt=prompt, voter=voter, created=1.0 + prompt)
            await store.votes.give(number, vote)
    by_grades = await store.judges.add(number, JudgeGiven("j", "Is it right?"))
    by_pairs = await store.judges.add(number, JudgeGiven("j", "Which is?", "pairs"))
    for prompt in range(PROMPTS):
        for target in (0, 1):
            graded = judgement(prompt, target, None, 2 + 2 * target)
            await store.judges.keep(by_grades.number, graded)
        back: Position = "second" if prompt == 0 else "first"
        for one in (judgement(prompt, 0, 1, "second"), judgement(prompt, 1, 0, back)):
            await store.judges.keep(by_pairs.number, one)
    await store.judges.set_state(by_grades.number, "done", None)
    error = ErrorInfo("model_failed", "It broke.", details={"log": ["a secret"]})
    await store.judges.set_state(by_pairs.number, "paused", error)
    return run


async def results_of(gateway: Gateway, run: str) -> dict[str, Any]:
    found: dict[str, Any] = (await gateway.get(f"/runs/{run}/results")).json
    return found


async def test_results_say_what_votes_and_judges_say_of_each_target(
    before_fake: StartWithFake,
) -> None:
    gateway, _ = await before_fake()
    run = await voted_and_judged(gateway)
    found = await results_of(gateway, run)
    first, second = found["targets"]
    assert (second["votes"]["wins"], second["votes"]["prompts"]) == (16, 8)
    assert (first["votes"]["share"], second["votes"]["share"]) == (0, 1)
    # Two votes on a prompt are worth one where all say the same: Wilson's interval of 8 of 8.
    assert second["votes"]["interval"]["low"] == pytest.approx(0.6756, abs=1e-4)
    grades, pairs = second["judges"]
    assert [one["name"] for one in second["judges"]] == ["j", "j (2)"]
    assert (grades["grades"]["mean"], grades["highest_grade"], grades["pairs"]) == (4, 5, None)
    assert pairs["grades"] is None
    told = pairs["pairs"]
    assert (told["wins"], told["losses"], told["ties"], told["inconsistent"]) == (7, 0, 1, 1)
    assert (told["share"], told["prompts"]) == (7.5 / 8, 7)
    assert first["judges"][1]["pairs"]["inconsistent"] == 1
    best = found["ranking"][0]
    assert best["target"] == 1
    assert best["expected_wins"] > 0.5
    assert best["expected_wins_interval"][0] <= best["expected_wins"]
    judges = (await gateway.get(f"/runs/{run}/judges")).json["judges"]
    assert judges[1]["pairs"][1]["pairs"] == told
    assert judges[1]["inconsistent"] == 1


async def test_a_run_without_votes_and_judges_says_nothing_of_them(
    before_fake: StartWithFake,
) -> None:
    gateway, _ = await before_fake()
    run = await filled(gateway, 2, judged=False)
    found = await results_of(gateway, run)
    assert [(one["votes"], one["judges"]) for one in found["targets"]] == [(None, [])] * 2
    assert found["voters"] == []
    report = (await gateway.get(f"/runs/{run}/export?form=html")).text
    assert "Votes won" not in report
    assert "Judge" not in report


async def test_the_report_has_columns_for_votes_and_each_judge_and_tells_who_voted(
    before_fake: StartWithFake,
) -> None:
    gateway, _ = await before_fake()
    run = await voted_and_judged(gateway)
    report = (await gateway.get(f"/runs/{run}/export?form=html")).text
    heads = re.findall(r'<th scope="col">(.*?)</th>', report.partition("</table>")[0])
    assert heads[2:6] == [
        "95 % interval",
        "Votes won",
        "Judge <bdi>j</bdi>",
        "Judge <bdi>j (2)</bdi>",
    ]
    rows = report.partition("<tbody>")[2].partition("</tbody>")[0].split("<tr>")[1:]
    cells = [re.findall(r"<td>(.*?)</td>", row) for row in rows]
    assert cells[1][1:4] == ["100 % (68 to 100 %)", "4.00 of 5 (4.00 to 4.00)", PAIRS]
    assert "16 votes by 2 voters, 8 of them blind." in report
    voters = re.findall(r'<th scope="row" dir="auto">(.*?)</th>\s*<td>8</td>', report)
    assert sorted(voters) == ["voter 1", "without a key"]
    assert "Strength" not in report
    assert "Expected wins" in report


PAIRS = "94 % (60 to 99 %); contradicted itself in 1"


@pytest.mark.parametrize("few", [300, 0], ids=["thread", "process"])
async def test_json_lines_have_judges_judgements_and_votes_behind_the_answers(
    before_fake: StartWithFake, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(reports, "FEW", few)
    gateway, _ = await before_fake()
    run = await voted_and_judged(gateway)
    text = (await gateway.get(f"/runs/{run}/export")).text
    head, *lines = map(json.loads, text.splitlines())
    kinds = [line["kind"] for line in lines]
    assert kinds == [
        *["prompt"] * PROMPTS,
        *["answer"] * PROMPTS * 2,
        *["judge", *["judgement"] * PROMPTS * 2] * 2,
        *["vote"] * PROMPTS * 2,
    ]
    assert head["targets"][1]["votes"]["wins"] == 16
    assert [one["name"] for one in head["voters"]] == ["voter 1", ""]
    by_grades, by_pairs = [line for line in lines if line["kind"] == "judge"]
    assert (by_grades["model"], by_grades["criteria"], by_grades["mode"]) == (
        *("j", "Is it right?", "grades"),
    )
    assert (by_grades["grades"], by_grades["state"], by_grades["parameters"]) == (5, "done", {})
    assert by_grades["cost"] == pytest.approx(0.16)
    assert (by_pairs["inconsistent"], by_pairs["error"]["message"]) == (1, "It broke.")
    said = [line for line in lines if line["kind"] == "judgement"]
    assert {one["judge"] for one in said} == {by_grades["id"], by_pairs["id"]}
    assert (said[0]["grade"], said[0]["second"], said[0]["cost"]["amount"]) == (2, None, 0.01)
    assert said[0]["asked"] == [{"role": "user", "content": "Which is better?"}]
    assert said[-1] | {"timings": 0} == {
        **said[-1],
        "better": "first",
        "reply": "It says first.",
        "timings": 0,
        "usage": said[-1]["usage"],
        "first": 1,
        "second": 0,
    }
    vote = lines[-1]
    assert vote == {
        "kind": "vote",
        "prompt": PROMPTS - 1,
        "repeat": 0,
        "voter": "",
        "created": PROMPTS,
        "among": [1, 0],
        "winners": [1],
        "blind": False,
    }
    # Ids of keys are nobody's business.
    assert "id-anna" not in text


async def test_an_export_with_all_that_came_of_a_run_is_read_as_the_same_version(
    before_fake: StartWithFake,
) -> None:
    gateway, _ = await before_fake(text="It is Paris.")
    wanted = {"prompt_set": await made(gateway, VARIED), "targets": [{"model": "m"}] * 2}
    run = (await gateway.post("/runs", wanted)).json
    await over(gateway, run["id"])
    store = gateway.app[RUNS].store
    number = (await store.run(OWNER, run["id"])).number
    await gateway.ask("PUT", f"/runs/{run['id']}/prompts/0/vote", {"among": [0, 1]})
    judge = await store.judges.add(number, JudgeGiven("j", "Is it right?"))
    # What a judge says may look like a line of a set, or like the end of one.
    said = judgement(0, 0, None, 3)
    reply = '"}\n{"kind":"prompt","row":{"prompt":"Mine"}}\n{"prompt": "Mine"}'
    await store.judges.keep(judge.number, _with_reply(said, reply))
    file = (await gateway.get(f"/runs/{run['id']}/export")).text
    assert [json.loads(line).get("kind") for line in file.splitlines()[-3:]] == [
        *("judge", "judgement", "vote"),
    ]
    again = await gateway.ask("PUT", "/prompt-sets?form=jsonl", data=file)
    assert again.status == 201, again.text
    assert (again.json["version"], again.json["prompts"]) == (run["version"], 3)
    # Broken off amid a judgement, it still has all prompts.
    cut = file[: file.index('{"kind":"judgement"') + 40]
    reply_to_cut = await gateway.ask("PUT", "/prompt-sets", data=cut)
    assert (reply_to_cut.status, reply_to_cut.json["version"]) == (201, run["version"])


def _with_reply(said: Judgement, reply: str) -> Judgement:
    fields = {name: getattr(said, name) for name in said.__struct_fields__}
    return Judgement(**{**fields, "reply": reply})
