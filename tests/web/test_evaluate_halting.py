"""`run.py evaluate` that is interrupted, or whose gateway is killed."""

import asyncio
import re
import signal
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import StartFake
from tests.support.gateway import Gateway as GatewayProcess
from tests.support.gateway import gateway as gateway_process
from tests.support.ports import free_ports
from tests.web.conftest import Start, StartWithFake
from tests.web.gateway import Gateway, remote
from tests.web.test_evaluate import TABLE, Ended, begin, evaluate

CEILING_SECONDS = 60
GRADE = '{"reason": "", "grade": 3}'


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Return a file with two prompts and their checks."""
    path = tmp_path / "capitals.csv"
    path.write_text(TABLE)
    return path


async def until_said(process: asyncio.subprocess.Process, words: str) -> None:
    """Return once the program has said that on standard error."""
    assert process.stderr is not None
    async with asyncio.timeout(CEILING_SECONDS):
        while line := (await process.stderr.readline()).decode():
            if words in line:
                return
    raise AssertionError(f"it has not said {words!r}")


async def ended(process: asyncio.subprocess.Process) -> Ended:
    """Return a program's end, and what it said last."""
    async with asyncio.timeout(CEILING_SECONDS):
        out, err = await process.communicate()
    return Ended(process.returncode, out.decode(), err.decode())


async def run_of(gateway: Gateway) -> dict[str, Any]:
    """Return the only run, once neither it nor a judge of it is at work."""
    (run,) = (await gateway.get("/runs")).json["runs"]
    told = (await gateway.get(f"/runs/{run['id']}/events?judges=1")).events
    last: dict[str, Any] = told[-1]
    return last


async def test_a_second_interrupt_does_not_wait_and_the_run_is_paused(
    before_fake: StartWithFake, tmp_path: Path, table: Path
) -> None:
    gateway, fake = await before_fake(hold_after=1, model={"max_concurrent": 1})
    process = await begin(tmp_path, str(table), "--models", "m", "--url", gateway.url)
    await fake.state.reaches(started=1)
    process.send_signal(signal.SIGINT)
    await until_said(process, "pausing…")
    process.send_signal(signal.SIGINT)
    # The answer that is being written is still being written.
    end = await ended(process)
    assert end.code == 130
    assert "not waited for; the run is paused once that is complete; go on with --run" in end.err
    assert "Traceback" not in end.err
    fake.state.release()
    run = await run_of(gateway)
    assert (run["state"], run["answered"]) == ("paused", 1)


async def test_an_own_gateway_stops_with_its_run_paused(
    fake_tgi: StartFake, tmp_path: Path, table: Path
) -> None:
    fake = await fake_tgi(hold_after=1)
    more = f"shutdown_grace = 0\n[model m]\nrunner = remote\nurl = {fake.url}\n"
    process = await begin(tmp_path, str(table), "--models", "m", more=more)
    await fake.state.reaches(started=1)
    process.send_signal(signal.SIGINT)
    await until_said(process, "pausing…")
    process.send_signal(signal.SIGINT)
    end = await ended(process)
    assert end.code == 130
    assert "Traceback" not in end.err
    (name,) = re.findall(r"go on with --run (\S+)", end.err)
    (file,) = (tmp_path / "state").rglob("*.runs")
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as kept:
        assert kept.execute("SELECT id, state FROM run").fetchall() == [(name, "paused")]


async def judged(
    start_gateway: Start, fake_tgi: StartFake, folder: Path, table: Path
) -> tuple[Gateway, Any, asyncio.subprocess.Process]:
    """Return a program whose judge says its first reply."""
    one, judge = await fake_tgi(text="Paris."), await fake_tgi(text=GRADE, hold_after=1)
    models = {"m": remote(one.url), "judge": remote(judge.url, max_concurrent=1)}
    gateway = await start_gateway(models)
    words = [str(table), "--models", "m", "--url", gateway.url, "--judge", "judge"]
    process = await begin(folder, *words)
    await judge.state.reaches(started=1)
    return gateway, judge, process


async def test_a_judge_that_was_interrupted_is_gone_on_with(
    start_gateway: Start, fake_tgi: StartFake, tmp_path: Path, table: Path
) -> None:
    gateway, judge, process = await judged(start_gateway, fake_tgi, tmp_path, table)
    process.send_signal(signal.SIGINT)
    await until_said(process, "pausing…")
    process.send_signal(signal.SIGINT)
    end = await ended(process)
    assert end.code == 130
    judge.state.release()
    run = await run_of(gateway)
    (paused,) = run["judges"]
    assert (paused["state"], paused["judged"]) == ("paused", 1)
    assert f"go on with --run {run['id']} --judge judge" in end.err
    words = ["--run", run["id"], "--url", gateway.url, "--judge", "judge"]
    again = await evaluate(tmp_path, *words)
    assert again.code == 0, again.err
    assert "judge judge: 2 judgements" in again.out
    (done,) = (await run_of(gateway))["judges"]
    assert (done["id"], done["state"], done["judged"]) == (paused["id"], "done", 2)
    assert len(judge.state.requests) == 2
    # Other criteria are another judge, and so is one that has judged all.
    assert (await evaluate(tmp_path, *words, "--criteria", "Is it short?")).code == 0
    assert (await evaluate(tmp_path, *words)).code == 0
    assert len((await run_of(gateway))["judges"]) == 3


@asynccontextmanager
async def kept_gateway(settings: str, folder: Path, port: int) -> AsyncIterator[GatewayProcess]:
    """Run a gateway that is the same one when it is started again."""
    options = ("--port", str(port))
    async with gateway_process(settings, folder, instance="away", options=options) as running:
        yield running


@pytest.mark.parametrize("killed", ["run", "judge"])
async def test_a_gateway_that_was_killed_is_waited_for(
    fake_tgi: StartFake, tmp_path: Path, table: Path, killed: str
) -> None:
    holds: dict[str, dict[str, Any]] = {killed: {"hold_after": 1}}
    one = await fake_tgi(text="Paris.", **holds.get("run", {}))
    judge = await fake_tgi(text=GRADE, **holds.get("judge", {}))
    held = one if killed == "run" else judge
    settings = f"""\
[model m]
runner = remote
url = {one.url}

[model judge]
runner = remote
url = {judge.url}
max_concurrent = 1
"""
    port, _ = free_ports(2)
    out = tmp_path / "answers.jsonl"
    words = [str(table), "--models", "m", "--judge", "judge", "--out", str(out)]
    async with kept_gateway(settings, tmp_path / "kept", port) as running:
        process = await begin(tmp_path, *words, "--url", f"http://{running.address}")
        await held.state.reaches(started=1)
        await running.kill()
    await until_said(process, "the gateway is away, waiting…")
    held.state.release()
    async with kept_gateway(settings, tmp_path / "kept", port):
        end = await ended(process)
    assert end.code == 0, end.err
    assert "judge judge: 2 judgements" in end.out
    assert out.read_text().count('"kind":"judgement"') == 2
