"""`run.py evaluate`, before a real gateway and a fake TGI."""

import asyncio
import re
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from server.core.errors import StorageFailed
from server.runs.live_judge import LiveJudge
from server.runs.live_run import LiveRun
from server.runs.reading import RunReader
from server.web.keys import RUNS
from tests.access.test_encryption import make
from tests.conftest import StartFake
from tests.fakes.tgi import Fake
from tests.web.conftest import Start, StartWithFake
from tests.web.gateway import Gateway, remote

CHECKED = '[{""type"": ""contains"", ""value"": ""{{expected}}""}]'
TABLE = f'prompt,expected,checks\nOf France?,Paris,"{CHECKED}"\nOf Peru?,Lima,"{CHECKED}"\n'


class Ended(NamedTuple):
    """A program that has ended."""

    code: int | None
    out: str
    err: str


async def begin(folder: Path, *words: str, more: str = "") -> asyncio.subprocess.Process:
    """Start the program, with settings of its own."""
    settings = folder / "settings.ini"
    settings.write_text(f"[server]\nstate_dir = {folder}/state\nport = 1\n{more}")
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "server.evaluate", "--settings", str(settings), *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def evaluate(folder: Path, *words: str, more: str = "") -> Ended:
    """Run the program to its end."""
    process = await begin(folder, *words, more=more)
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    return Ended(process.returncode, out.decode(), err.decode())


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Return a file with two prompts and their checks."""
    path = tmp_path / "capitals.csv"
    path.write_text(TABLE)
    return path


async def test_a_file_is_asked_and_its_table_and_report_are_written(
    before_fake: StartWithFake, tmp_path: Path, table: Path
) -> None:
    gateway, _ = await before_fake(text="It is Paris.")
    report = tmp_path / "report.html"
    other = '{"model": "m", "name": "other", "parameters": {"temperature": 0.1}}'
    words = [str(table), "--models", "m", "--target", other, "--url", gateway.url]
    ended = await evaluate(tmp_path, *words, "--out", str(report), "--repeats", "2")
    assert ended.code == 0, ended.err
    assert ended.out.splitlines()[2].split()[:2] == ["m", "2/4"]
    assert ended.out.splitlines()[3].split()[:2] == ["other", "2/4"]
    assert "No prompt differs: m and other are equal in all 2 prompts." in ended.out
    assert "8/8 answers" in ended.err
    assert ended.err.startswith(f"asks the gateway at {gateway.url}\n")
    assert report.read_text().count("<article>") == 8
    assert await _names(gateway) == ["capitals"]


@pytest.mark.parametrize("name", ["plain.md", "plain.txt", "plain"])
async def test_a_file_of_lines_asks_all_of_them_and_says_that_nothing_is_checked(
    before_fake: StartWithFake, tmp_path: Path, name: str
) -> None:
    gateway, _ = await before_fake(text="It is Paris.")
    (tmp_path / name).write_text("Name a river, please.\nName a sea.\n")
    words = [str(tmp_path / name), "--models", "m", "--url", gateway.url]
    ended = await evaluate(tmp_path, *words)
    assert ended.code == 0, ended.err
    told = ended.err.splitlines()
    assert told[1] == f"{name}: 2 prompts, one a line; no checks: nothing passes or fails"
    assert told[-1] == "no answer was checked: nothing passed or failed"
    assert "2/2 answers" in told
    (kept,) = (await gateway.get("/prompt-sets")).json["sets"]
    assert kept["prompts"] == 2


async def test_an_exported_run_is_asked_again_as_the_same_prompts(
    before_fake: StartWithFake, tmp_path: Path, table: Path
) -> None:
    gateway, _ = await before_fake(text="It is Paris.")
    out = tmp_path / "run.jsonl"
    words = ["--models", "m", "--url", gateway.url]
    first = await evaluate(tmp_path, str(table), *words, "--out", str(out))
    assert first.code == 0, first.err
    again = await evaluate(tmp_path, str(out), *words)
    assert again.code == 0, again.err
    assert "1/2" in again.out
    sets = (await gateway.get("/prompt-sets")).json["sets"]
    assert [one["name"] for one in sets] == ["run", "capitals"]
    assert len({one["version"] for one in sets}) == 1


async def test_a_judge_is_asked_and_its_grades_are_shown(
    start_gateway: Start, fake_tgi: StartFake, tmp_path: Path, table: Path
) -> None:
    one, judge = await fake_tgi(text="Paris."), await fake_tgi(text='{"reason": "", "grade": 3}')
    models = {"m": remote(one.url), "judge": remote(judge.url)}
    gateway = await start_gateway(models)
    words = [str(table), "--models", "m", "--url", gateway.url, "--judge", "judge"]
    ended = await evaluate(tmp_path, *words)
    assert ended.code == 0, ended.err
    assert "judge judge: 2 judgements" in ended.out
    assert ended.err.splitlines()[-1] == "judge judge: 2 of 2"
    assert "- m: 3.00 of 5\n" in ended.out
    head, _, row = ended.out.splitlines()[:3]
    assert "votes won" not in head
    assert row[head.index("judge judge") :].startswith("3.00 of 5  ")
    by_pairs = await evaluate(tmp_path, *words, "--models", "m,m", "--judge-by", "pairs")
    assert "2 judgements" not in by_pairs.out
    assert "unreadable" in by_pairs.out
    run = re.search(r"run (r_\w+) at", by_pairs.err)
    assert run is not None
    await gateway.ask("PUT", f"/runs/{run[1]}/prompts/0/vote", {"among": [0, 1], "winners": [1]})
    again = await evaluate(tmp_path, "--run", run[1], "--url", gateway.url)
    lines = [re.split(" {2,}", line)[3:5] for line in again.out.splitlines()[:4]]
    assert [lines[0], *lines[2:]] == [
        ["votes won", "judge judge"],
        ["0 of 1 pair, too few winners", "-"],
        ["1 of 1 pair, too few winners", "-"],
    ]


async def test_a_judge_that_cannot_judge_all_exits_with_1_and_says_why(
    before_fake: StartWithFake, tmp_path: Path, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, _ = await before_fake(text="Paris.")
    words = [str(table), "--models", "m", "--url", gateway.url, "--judge", "m"]

    async def full(*_: object) -> None:
        raise StorageFailed("there is no room")

    monkeypatch.setattr(gateway.app[RUNS].store.judges, "keep", full)
    ended = await evaluate(tmp_path, *words)
    assert ended.code == 1
    assert ended.err.splitlines()[-1] == "the judge is paused: there is no room"


def release_once_stopped(
    monkeypatch: pytest.MonkeyPatch, live: type[LiveRun | LiveJudge], fake: Fake
) -> None:
    """Have a server write the rest only when the run, or the judge, is to ask nothing more."""
    stop = live.stop

    def stop_and_release(self: Any) -> None:
        stop(self)
        fake.state.release()

    monkeypatch.setattr(live, "stop", stop_and_release)


async def test_an_interrupted_evaluation_pauses_its_judge(
    start_gateway: Start,
    fake_tgi: StartFake,
    tmp_path: Path,
    table: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = await fake_tgi(text="Paris.")
    judge = await fake_tgi(text='{"reason": "", "grade": 3}', hold_after=1)
    models = {"m": remote(one.url), "judge": remote(judge.url, max_concurrent=1)}
    gateway = await start_gateway(models)
    words = [str(table), "--models", "m", "--url", gateway.url, "--judge", "judge"]
    process = await begin(tmp_path, *words)
    await judge.state.reaches(started=1)
    release_once_stopped(monkeypatch, LiveJudge, judge)
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(30):
        _, err = await process.communicate()
    assert process.returncode == 130
    (run,) = (await gateway.get("/runs")).json["runs"]
    (found,) = (await gateway.get(f"/runs/{run['id']}/judges")).json["judges"]
    assert (found["judge"]["state"], found["judge"]["judged"]) == ("paused", 1)
    assert f"the judge {found['judge']['id']} is paused" in err.decode()


async def test_a_missed_threshold_is_told_and_exits_with_1(
    before_fake: StartWithFake, tmp_path: Path, table: Path
) -> None:
    gateway, _ = await before_fake(text="It is Paris.")
    words = [str(table), "--models", "m", "--url", gateway.url]
    ended = await evaluate(tmp_path, *words, "--fail-under", "pass>=0.9", "--fail-under", "cut==0")
    assert (ended.code, ended.err.splitlines()[-1]) == (1, "pass>=0.9: m has 0.5")


async def test_a_set_that_is_kept_is_asked_by_its_name(
    before_fake: StartWithFake, tmp_path: Path
) -> None:
    gateway, _ = await before_fake(answer_tokens=2)
    await gateway.post("/prompt-sets", {"name": "Kept", "prompts": ["One?"]})
    ended = await evaluate(tmp_path, "Kept", "--models", "m", "--url", gateway.url)
    assert ended.code == 0, ended.err
    assert await _names(gateway) == ["Kept"]


async def test_an_interrupted_evaluation_pauses_its_run_which_goes_on(
    before_fake: StartWithFake, tmp_path: Path, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, fake = await before_fake(hold_after=1, model={"max_concurrent": 1})
    process = await begin(tmp_path, str(table), "--models", "m", "--url", gateway.url)
    await fake.state.reaches(started=1)
    release_once_stopped(monkeypatch, LiveRun, fake)
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(30):
        _, err = await process.communicate()
    assert process.returncode == 130
    (run,) = (await gateway.get("/runs")).json["runs"]
    assert f"the run is paused; go on with --run {run['id']}" in err.decode()
    assert (run["state"], run["answered"]) == ("paused", 1)
    ended = await evaluate(tmp_path, "--run", run["id"], "--url", gateway.url)
    assert ended.code == 0, ended.err
    (run,) = (await gateway.get("/runs")).json["runs"]
    assert (run["state"], run["answered"]) == ("done", 2)


async def test_what_cannot_be_begun_exits_with_2_and_says_why(
    before_fake: StartWithFake, tmp_path: Path, table: Path
) -> None:
    gateway, _ = await before_fake()
    broken = tmp_path / "broken.csv"
    broken.write_text('prompt,checks\nOne,"[{""type"": ""no""}]"\nTwo,"[{""type"": ""never""}]"\n')
    wrong = (
        ([str(table), "--models", "nobody", "--url", gateway.url], "there is no model 'nobody'"),
        ([str(broken), "--models", "m", "--url", gateway.url], "line 3"),
        (["nothing", "--models", "m", "--url", gateway.url], "is no file, and no prompt set"),
        ([str(table), "--models", "m", "--url", "http://127.0.0.1:9"], "cannot be reached"),
        ([str(table)], "--models"),
        ([str(table), "--models", "m", "--fail-under", "speed>1"], "is not known"),
        ([str(table), "--models", "m", "--repeats", "0"], "from 1 to 100"),
        ([str(table), "--models", "m", "--out", "report.pdf"], ".html"),
        ([str(table), "--target", "{"], "no JSON"),
    )
    ended = await asyncio.gather(*(evaluate(tmp_path, *words) for words, _ in wrong))
    for one, (words, why) in zip(ended, wrong, strict=True):
        assert one.code == 2, f"{words}: {one}"
        assert why in one.err, f"{words}: {one.err}"
        assert "Traceback" not in one.err
    assert (await gateway.get("/runs")).json["runs"] == []


async def _names(gateway: Gateway) -> list[str]:
    return [one["name"] for one in (await gateway.get("/prompt-sets")).json["sets"]]


async def test_the_certificate_of_these_settings_is_trusted(tmp_path: Path) -> None:
    certificate, key = make(tmp_path, "own")
    tls = f"[access]\ntls_certificate = {certificate}\ntls_key = {key}\n"
    ended = await evaluate(tmp_path, "nothing", "--models", "m", more=tls)
    assert ended.code == 2
    # The gateway that was started for it answered.
    assert ended.err.splitlines() == [
        f"starts a gateway of {tmp_path / 'settings.ini'}",
        "there is no model 'm'",
    ]


async def test_a_report_is_written_whole_or_not_at_all(
    before_fake: StartWithFake, tmp_path: Path, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, _ = await before_fake()
    pieces = RunReader.export

    async def broken(*words: Any) -> AsyncGenerator[bytes]:
        async with aclosing(pieces(*words)) as found:
            yield await anext(found)
        raise StorageFailed("the disk is gone")

    monkeypatch.setattr(RunReader, "export", broken)
    out = tmp_path / "answers.jsonl"
    out.write_text("before")
    words = (str(table), "--models", "m", "--url", gateway.url, "--out", str(out))
    ended = await evaluate(tmp_path, *words)
    assert ended.code == 2
    assert "answers.jsonl is not written" in ended.err
    assert "Traceback" not in ended.err
    assert out.read_text() == "before"
    assert not list(tmp_path.glob("*.part"))
    monkeypatch.undo()
    ended = await evaluate(tmp_path, *words)
    assert ended.code == 0, ended.err
    assert out.read_text().startswith('{"format":"sidestream-run"')
