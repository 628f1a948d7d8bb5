"""Runs summed up and written as files: in a thread and in processes alike, whoever reads."""

import asyncio
import csv
import io
import json
import re
from collections.abc import AsyncGenerator
from typing import Any

import aiohttp
import pytest

from server.core.protocol import Cost, ErrorInfo, Timings, Usage
from server.evaluation.judging import Position
from server.runs import report_reading, reports
from server.runs.judge_shapes import JudgeGiven, Judgement
from server.runs.set_reading import SetGiven
from server.runs.shapes import CheckOutcome, JudgeMode, RunAnswer, RunVote, Target
from server.runs.store import Store
from server.web.http import file_stream
from server.web.keys import PROMPT_SETS, RUNS
from server.workers.process import WorkerProcess
from tests.web.conftest import StartWithFake
from tests.web.gateway import Gateway

OWNER = "local"
NOTHING = "\N{EN DASH}"
FORMS = ("csv", "jsonl", "html")
# Of each mode what the two judgements are: of whom, and how they are.
Judged = tuple[int, int | None, int | None, Position | None]
MODES: dict[JudgeMode, list[Judged]] = {
    "grades": [(0, None, 3, None), (1, None, 4, None)],
    "pairs": [(0, 1, None, "first"), (1, 0, None, "first")],
}


def answer(prompt: int, target: int, text: str, **more: Any) -> RunAnswer:
    """Return an answer, passed by the first target more often."""
    passed = (prompt * 3 + target) % 4 > target
    plain: dict[str, Any] = {
        "prompt": prompt,
        "target": target,
        "repeat": 0,
        "ended": 1_000.0 + prompt,
        "text": text,
        "finish_reason": "stop",
        "usage": Usage(12, 90),
        "timings": Timings(1.0, 40.0 + prompt, 900.0, 80.0),
        "parameters": {"seed": prompt},
        "checks": [CheckOutcome({"type": "contains", "value": "="}, passed, "looked for =")],
        "passed": passed,
        "cost": Cost(0.25),
    }
    return RunAnswer(**{**plain, **more})


async def filled(
    gateway: Gateway,
    prompts: int,
    *,
    text: str = "=**word** $x^2$ <b> \ud800 {}",
    judged: bool = True,
) -> str:
    """Write a run of two targets that is done; return its id.

    `judged`, it has a vote and two judges.
    """
    store = gateway.app[RUNS].store
    given = SetGiven([f"Question {number}?" for number in range(prompts)], checks=[])
    kept = await gateway.app[PROMPT_SETS].add(OWNER, given)
    targets = [Target("m"), Target("m", name="other")]
    run = await store.add_run(
        OWNER, name="Run", set_id=kept.id, version=kept.version, targets=targets, repeats=1
    )
    cells = [(prompt, target) for prompt in range(prompts) for target in (0, 1)]
    halves = text.encode("utf-8", "replace").decode()
    await store.answers.add(
        (run.number, answer(*cell, halves.replace("{}", str(cell)))) for cell in cells
    )
    if judged:
        await _judge(store, run.number)
    await store.set_state(run.number, "done", None)
    return run.id


async def _judge(store: Store, number: int) -> None:
    """Write a vote and two judges."""
    vote = RunVote([0, 1], [1], prompt=1, voter="me", created=1.0)
    await store.votes.give(number, vote)
    for mode, judged in MODES.items():
        judge = await store.judges.add(number, JudgeGiven("j", "Is it <right>?", mode))
        for one in judged:
            first, second, grade, better = one
            judgement = Judgement(
                prompt=0,
                repeat=0,
                first=first,
                second=second,
                grade=grade,
                better=better,
                reason="so",
                reply="It says.",
                asked=[],
                usage=Usage(1, 1),
                timings=Timings(1.0, 2.0, 3.0, None),
                cost=Cost(0.5),
            )
            await store.judges.keep(judge.number, judgement)
        await store.judges.set_state(judge.number, "done", None)


async def everything(gateway: Gateway, run: str) -> dict[str, str]:
    """Return all that is read of a whole run, without when it was."""
    found = {form: (await gateway.get(f"/runs/{run}/export?form={form}")).text for form in FORMS}
    found["jsonl"] = re.sub(r'"exported":[\d.]+', "", found["jsonl"], count=1)
    for name in ("results", "judges"):
        found[name] = (await gateway.get(f"/runs/{run}/{name}")).text
    return found


async def test_a_process_sums_up_and_writes_what_a_thread_does(
    before_fake: StartWithFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, _ = await before_fake()
    run = await filled(gateway, 5)
    small = await everything(gateway, run)
    results, judges = json.loads(small["results"]), json.loads(small["judges"])["judges"]
    assert [one["figures"]["answers"]["total"] for one in results["targets"]] == [5, 5]
    assert results["votes"] == 1
    assert [one["grades"]["mean"] for one in judges[0]["grades"]] == [3.0, 4.0]
    assert (judges[1]["inconsistent"], judges[1]["cost"]) == (1, 1.0)
    assert len(list(csv.DictReader(io.StringIO(small["csv"].removeprefix("\ufeff"))))) == 10
    assert small["html"].count("<article>") == 10
    monkeypatch.setattr(reports, "FEW", 0)
    gateway.app[RUNS].reading.reports._kept.clear()
    assert await everything(gateway, run) == small


async def test_a_file_has_every_answer_once(
    before_fake: StartWithFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pieces end anywhere in an answer."""
    monkeypatch.setattr(reports, "FEW", 0)
    gateway, _ = await before_fake()
    text = "word {} " * 3_000
    run = await filled(gateway, 20, text=text)
    lines = (await gateway.get(f"/runs/{run}/export")).text.splitlines()
    answers = [one for one in map(json.loads, lines) if one.get("kind") == "answer"]
    assert [(one["prompt"], one["target"]) for one in answers] == [
        (prompt, target) for prompt in range(20) for target in (0, 1)
    ]
    for one in answers:
        assert one["text"] == text.replace("{}", str((one["prompt"], one["target"])))


async def test_results_are_summed_up_again_after_an_answer_or_a_vote(
    before_fake: StartWithFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, _ = await before_fake()
    run = await filled(gateway, 2)
    sums = 0
    summed = reports.RunReports._sum

    async def counted(*words: Any) -> bytes:
        nonlocal sums
        sums += 1
        return await summed(*words)

    monkeypatch.setattr(reports.RunReports, "_sum", counted)

    async def read() -> tuple[int, int, float, str]:
        found = (await gateway.get(f"/runs/{run}/results")).json
        target = found["targets"][0]["figures"]
        return sums, found["votes"], target["cost"], found["run"]["name"]

    # One sum is of the answers, one of what judges said.
    assert await read() == (2, 1, 0.5, "Run")
    await gateway.ask("PATCH", f"/runs/{run}", {"name": "Other"})
    assert await read() == (2, 1, 0.5, "Other")
    store = gateway.app[RUNS].store
    number = (await store.run(OWNER, run)).number
    await store.votes.give(number, RunVote([0, 1], [0], prompt=1, voter="me", created=2.0))
    assert (await read())[:2] == (3, 1)
    again = answer(0, 0, "again", ended=2_000.0, cost=Cost(1.0))
    await store.answers.add([(number, again)])
    assert await read() == (4, 1, 1.25, "Other")


class Ended:
    """Notes the processes that were ended."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.statuses: list[int] = []
        self._changed = asyncio.Event()
        end = WorkerProcess.end

        async def noted(worker: WorkerProcess) -> int:
            self.statuses.append(await end(worker))
            self._changed.set()
            return self.statuses[-1]

        monkeypatch.setattr(WorkerProcess, "end", noted)

    async def one(self) -> None:
        """Return once one has ended."""
        async with asyncio.timeout(30):
            await self._changed.wait()


LONG = "word {} " * 2_000


async def test_a_reader_that_goes_away_leaves_no_process(
    before_fake: StartWithFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "FEW", 0)
    gateway, _ = await before_fake()
    # More than the buffers of the connection and of the process take.
    run = await filled(gateway, 600, text=LONG)
    ended = Ended(monkeypatch)
    async with gateway.http.get(f"{gateway.url}/runs/{run}/export") as response:
        await response.content.readany()
        assert not ended.statuses
        response.close()
    await ended.one()
    assert (await gateway.get(f"/runs/{run}/results")).status == 200


async def test_a_reader_that_stops_reading_is_let_go(
    before_fake: StartWithFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "FEW", 0)
    monkeypatch.setattr(file_stream, "SEND_TIMEOUT_SECONDS", 0.1)
    gateway, _ = await before_fake()
    run = await filled(gateway, 600, text=LONG)
    ended = Ended(monkeypatch)
    async with gateway.http.get(f"{gateway.url}/runs/{run}/export") as response:
        await ended.one()
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()


async def test_a_file_whose_process_dies_breaks_off(
    before_fake: StartWithFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "FEW", 0)
    gateway, _ = await before_fake()
    run = await filled(gateway, 50, text=LONG)
    stream = WorkerProcess.stream

    async def cut(worker: WorkerProcess, *words: Any, **more: Any) -> AsyncGenerator[bytes]:
        count = 0
        async for frame in stream(worker, *words, **more):
            yield frame
            if (count := count + 1) == 3:
                worker._process.kill()

    monkeypatch.setattr(WorkerProcess, "stream", cut)
    async with gateway.http.get(f"{gateway.url}/runs/{run}/export") as response:
        assert response.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()


@pytest.mark.parametrize("path", ["results", "judges", *(f"export?form={form}" for form in FORMS)])
async def test_a_run_that_cannot_be_read_is_an_error_before_the_head(
    before_fake: StartWithFake, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(reports, "FEW", 0)
    gateway, _ = await before_fake()
    run = await filled(gateway, 1)
    workers = gateway.app[RUNS].reading.reports._workers
    workers._arguments = ("/nowhere/runs",)
    reply = await gateway.get(f"/runs/{run}/{path}")
    assert (reply.status, reply.json["error"]["code"]) == (503, "storage_failed")
    assert "the run cannot be read" in reply.json["error"]["message"]
    assert (await gateway.get(f"/runs/r_other/{path}")).status == 404


async def test_only_the_head_of_a_file(before_fake: StartWithFake) -> None:
    gateway, _ = await before_fake()
    run = await filled(gateway, 1)
    async with gateway.http.head(f"{gateway.url}/runs/{run}/export?form=csv") as response:
        assert (response.status, response.headers["Content-Type"]) == (
            200,
            "text/csv; charset=utf-8",
        )
        assert await response.read() == b""


async def test_the_report_has_charts_votes_and_judges(before_fake: StartWithFake) -> None:
    gateway, _ = await before_fake()
    run = await filled(gateway, 6)
    store = gateway.app[RUNS].store
    number = (await store.run(OWNER, run)).number
    for prompt in range(6):
        given = RunVote([0, 1], [1], prompt=prompt, voter="me", created=1.0)
        await store.votes.give(number, given)
    report = (await gateway.get(f"/runs/{run}/export?form=html")).text
    titles = re.findall(r"<figcaption>(.*?)</figcaption>", report)
    assert titles == [
        *("Passed", "First token", "Tokens per second"),
        *("Expected wins", "Mean grade"),
    ]
    # The judge of pairs has a verdict on one prompt: that is too little for a share.
    by_votes, by_judge = report.split('<th scope="col">Expected wins</th>')[1:]
    assert re.findall(r"<td>(.*?)</td>", by_votes)[0].endswith(" %")
    assert re.findall(r"<td>(.*?)</td>", by_judge)[:2] == [NOTHING] * 2
    drawings = re.findall(r'<svg class="chart".*?</svg>', report)
    assert len(drawings) == len(titles)
    for title, drawing in zip(titles, drawings, strict=True):
        assert f"<title>{title}</title><desc>" in drawing
        assert drawing.count('class="point"') == 2
    assert "Is it &lt;right&gt;?" in report
    assert "<small>Complete, first token" in report
    assert "<small>stop" not in report
    assert "1 contradict themselves and are ties; $1" in report
    assert "<script" not in report
    assert "http" not in "".join(drawings)


async def test_the_report_shows_first_tokens_of_cold_answers_as_cold(
    before_fake: StartWithFake,
) -> None:
    gateway, _ = await before_fake()
    run = await filled(gateway, 2)
    store = gateway.app[RUNS].store
    number = (await store.run(OWNER, run)).number
    cold = Timings(1.0, 5_001.0, 9_000.0, 80.0, load_ms=4_000.0)
    await store.answers.add([(number, answer(at, 1, "cold", timings=cold)) for at in (0, 1)])
    report = (await gateway.get(f"/runs/{run}/export?form=html")).text
    assert "<td>5.0 s (cold)</td>" in report
    assert "5.0 s, 95 % within 5.0 s (cold)</text>" in report
    figures = (await gateway.get(f"/runs/{run}/results")).json["targets"]
    assert figures[1]["figures"]["first_token_warm"]["median"] is None


async def test_a_failed_target_has_no_row_in_charts(before_fake: StartWithFake) -> None:
    gateway, _ = await before_fake()
    run = await filled(gateway, 1)
    store = gateway.app[RUNS].store
    number = (await store.run(OWNER, run)).number
    failed = answer(
        *(0, 1, ""),
        finish_reason="failed",
        error=ErrorInfo("model_failed", "It <broke>."),
        timings=Timings(None, None, 0.0, None),
        checks=[],
        passed=None,
    )
    await store.answers.add([(number, failed)])
    report = (await gateway.get(f"/runs/{run}/export?form=html")).text
    assert "It &lt;broke&gt;." in report
    assert "<small>Failed, first token" in report
    assert "<figcaption>First token" not in report


async def test_a_table_of_answers_waits_for_no_results(
    before_fake: StartWithFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, _ = await before_fake()
    run = await filled(gateway, 2)

    def never(*_: Any) -> None:
        raise AssertionError("results are summed up")

    monkeypatch.setattr(report_reading, "results_of", never)
    reply = await gateway.get(f"/runs/{run}/export?form=csv")
    assert (reply.status, len(reply.text.splitlines())) == (200, 5)
