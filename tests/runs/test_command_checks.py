"""Programs that check answers: what they are given, how they are bounded, and what they leave."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from server.evaluation.checks.declarations import Command
from server.evaluation.checks.result import Answer, CheckResult
from server.evaluation.checks.running import run_checks
from server.evaluation.checks.worker import CheckWorkers
from server.runs.command_checks import Asked, CommandChecks
from server.runs.programs import Bounds, ProgramFailed, run_program
from server.settings.command_checks import CommandCheckSettings
from server.settings.values import Size, Variables
from tests.support.checks import declared_checks
from tests.support.gateway import ROOT
from tests.support.processes import Watched, children


def program(tmp_path: Path, code: str) -> str:
    """Write a Python program; return the command that runs it."""
    file = tmp_path / "check.py"
    file.write_text(code)
    return f"{sys.executable} {file}"


def checks_by(command: str, **words: Any) -> CommandChecks:
    return CommandChecks({"mine": CommandCheckSettings(command=command, **words)})


async def checked(checks: CommandChecks, text: str = "It is Paris.", **options: Any) -> CheckResult:
    """Return what the program `mine` says of an answer."""
    asked = Asked([{"role": "user", "content": "Of France?"}], "Paris", {"country": "France"})
    run = checks.about(lambda: asked)
    return await run(Command("mine", options), Answer(text))


async def test_a_program_gets_one_object_and_answers_one(tmp_path: Path) -> None:
    code = """\
import json, os, sys
given = json.load(sys.stdin)
print(json.dumps({"passed": given["expected"] in given["answer"],
    "explanation": json.dumps([sorted(given), given["messages"], given["variables"],
        given["options"], sorted(os.environ), os.getcwd(), sys.argv[1:]])}))
"""
    command = f"{program(tmp_path, code)} --strict 'two words'"
    checks = checks_by(command, env=Variables({"TOKEN": "t"}))
    result = await checked(checks, limit=3)
    assert result.passed is True
    names, messages, variables, options, environment, folder, arguments = json.loads(
        result.explanation
    )
    assert names == ["answer", "expected", "messages", "options", "variables"]
    assert messages == [{"role": "user", "content": "Of France?"}]
    assert (variables, options) == ({"country": "France"}, {"limit": 3})
    assert set(environment) - {"LC_CTYPE"} == {"PATH", "LANG", "TOKEN"}
    assert (folder, arguments) == ("/", ["--strict", "two words"])
    assert (await checked(checks, "It is Lima.")).passed is False


@pytest.mark.parametrize(
    ("code", "passed", "words"),
    [
        ("""print('{"passed": true}')""", True, "the command says so"),
        ("""print('{"passed": false, "explanation": "no", "more": 1}')""", False, "no"),
        ("""print('{"passed": null, "explanation": "hm"}')""", None, "Cannot be told: hm"),
        ("""print('{"passed": true, "explanation": "' + "x" * 900 + '"}')""", True, "xxx"),
        ("", None, "wrote nothing"),
        ("print('  ')", None, "wrote nothing"),
        ("print('yes')", None, "did not write one JSON object"),
        ("print('[true]')", None, "did not write one JSON object"),
        ("print('{}')", None, "did not write one JSON object"),
        ("""print('{"passed": 1}')""", None, "did not write one JSON object"),
        ("""print('{"passed": true} {}')""", None, "did not write one JSON object"),
        ("print('[' * 20000)", None, "did not write one JSON object"),
        ("import os; os.write(1, b'\\xff')", None, "did not write one JSON object"),
        ("""print('{"passed": true}'); raise SystemExit(3)""", None, "ended with code 3"),
        ("import os; os.kill(os.getpid(), 9)", None, "signal 9"),
        ("1 / 0", None, "ended with code 1"),
    ],
)
async def test_what_a_program_says(
    tmp_path: Path, code: str, passed: bool | None, words: str
) -> None:
    result = await checked(checks_by(program(tmp_path, code)))
    assert result.passed is passed
    assert words in result.explanation
    assert len(result.explanation) <= 300


async def test_what_a_program_writes_to_its_errors_is_for_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checks = checks_by(program(tmp_path, "import sys; sys.exit('private')"))
    for _ in range(3):
        assert "private" not in (await checked(checks)).explanation
    told = [record.message for record in caplog.records if "private" in record.message]
    assert told == ["[check mine] tells nothing: it ended with code 1: private"]


async def test_a_program_that_is_not_there_tells_nothing() -> None:
    result = await checked(checks_by("no-such-program-anywhere"))
    assert result == CheckResult(
        None, "Cannot be told: it cannot be started (No such file or directory)"
    )


async def test_a_program_may_leave_its_input_unread(tmp_path: Path) -> None:
    checks = checks_by(program(tmp_path, """print('{"passed": true}')"""))
    assert (await checked(checks, "x" * 5_000_000)).passed is True
    assert (await checked(checks, "half of a pair: \ud800")).passed is True


async def test_a_program_that_writes_without_end_is_ended(tmp_path: Path) -> None:
    code = "import sys\nwhile True: sys.stdout.write('y' * 100_000)"
    checks = checks_by(program(tmp_path, code), max_output=Size(1000))
    before = children()
    result = await checked(checks, "x" * 1_000_000)
    assert result == CheckResult(None, "Cannot be told: it wrote more than 1,000 bytes")
    assert children() == before


async def test_errors_without_end_are_not_kept(tmp_path: Path) -> None:
    code = "import sys; sys.stderr.write('y' * 100_000_000); sys.exit(2)"
    words = [sys.executable, "-c", code]
    with pytest.raises(ProgramFailed) as failed:
        await run_program(words, b"", {"PATH": os.environ["PATH"]}, Bounds(60, 1000))
    assert len(failed.value.errors) == 2048


# Six processes beyond the program's group and session, each of which says its id into a pipe.
ESCAPES = """\
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for _ in range(5):
            if os.fork() == 0: break
        with open({pipe!r}, "w") as pipe: pipe.write(f"{{os.getpid()}}\\n")
        time.sleep(1000)
    os._exit(0)
"""
COUNT = 6
GOES_ON = "time.sleep(1000)"
ENDS = """print('{"passed": true}', flush=True)"""


class Ids:
    """A named pipe into which processes write their ids."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)
        # For writing too, so that it never ends.
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)

    async def __call__(self, count: int) -> list[int]:
        loop, found, changed = asyncio.get_running_loop(), bytearray(), asyncio.Event()

        def read() -> None:
            found.extend(os.read(self._fd, 4096))
            changed.set()

        loop.add_reader(self._fd, read)
        try:
            async with asyncio.timeout(30):
                while found.count(b"\n") < count:
                    await changed.wait()
                    changed.clear()
        finally:
            loop.remove_reader(self._fd)
        return [int(line) for line in found.split()]


@pytest.fixture
def ids(tmp_path: Path) -> Ids:
    return Ids(tmp_path / "pipe")


async def test_what_a_program_has_started_ends_with_it(tmp_path: Path, ids: Ids) -> None:
    before = children()
    code = ESCAPES.format(pipe=str(ids.path)) + ENDS
    assert (await checked(checks_by(program(tmp_path, code), timeout=60))).passed is True
    assert children() == before


async def test_a_program_that_takes_too_long_is_ended_with_all_that_it_has_started(
    tmp_path: Path, ids: Ids
) -> None:
    before = children()
    code = ESCAPES.format(pipe=str(ids.path)) + GOES_ON
    # Enough for all to say who they are, on whatever busy machine.
    checking = asyncio.create_task(checked(checks_by(program(tmp_path, code), timeout=5)))
    watched = [Watched(pid) for pid in await ids(COUNT)]
    result = await checking
    assert result == CheckResult(None, "Cannot be told: it took longer than 5 s")
    for one in watched:
        await one.gone()
    assert children() == before


async def test_a_check_that_is_cancelled_leaves_nothing(tmp_path: Path, ids: Ids) -> None:
    before = children()
    code = ESCAPES.format(pipe=str(ids.path)) + GOES_ON
    checking = asyncio.create_task(checked(checks_by(program(tmp_path, code), timeout=600)))
    watched = [Watched(pid) for pid in await ids(COUNT)]
    checking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await checking
    for one in watched:
        await one.gone()
    assert children() == before


# Whoever runs a program, as the gateway does; the argument is the program.
RUNS_ONE = """\
import asyncio, os, sys
from server.runs.programs import Bounds, run_program
words = [sys.executable, sys.argv[1]]
asyncio.run(run_program(words, b"", {"PATH": os.environ["PATH"]}, Bounds(600, 1000)))
"""


async def test_a_gateway_that_is_killed_leaves_no_program(tmp_path: Path, ids: Ids) -> None:
    (tmp_path / "check.py").write_text(ESCAPES.format(pipe=str(ids.path)) + GOES_ON)
    gateway = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", RUNS_ONE, str(tmp_path / "check.py")), cwd=ROOT
    )
    watched = [Watched(pid) for pid in await ids(COUNT)]
    gateway.kill()
    await gateway.wait()
    for one in watched:
        await one.gone()


async def test_no_more_programs_run_at_once_than_the_section_says(tmp_path: Path) -> None:
    code = f"""\
import os, sys
sys.stdin.read()
os.mkdir({str(tmp_path / "alone")!r})  # fails while another one runs
os.rmdir({str(tmp_path / "alone")!r})
print('{{"passed": true}}')
"""
    checks = checks_by(program(tmp_path, code), max_concurrent=1)
    results = await asyncio.gather(*(checked(checks) for _ in range(8)))
    assert [result.passed for result in results] == [True] * 8


async def test_sections_are_replaced_while_checks_are_done(tmp_path: Path) -> None:
    checks = checks_by(program(tmp_path, """print('{"passed": true}')"""))
    assert checks.names == {"mine"}
    checks.apply({"other": CommandCheckSettings(command="x")})
    assert checks.names == {"other"}
    result = await checked(checks)
    assert result.passed is None
    assert "no section [check mine] any more" in result.explanation


async def test_a_command_may_stand_inside_of_other_checks(tmp_path: Path) -> None:
    command = program(tmp_path, """print('{"passed": false, "explanation": "no"}')""")
    declared = [
        {"type": "none_of", "checks": [{"type": "command", "name": "mine"}]},
        {
            "type": "any_of",
            "checks": [
                {"type": "command", "name": "gone"},
                {"type": "command", "name": "mine", "options": {"a": [1]}},
            ],
        },
    ]
    run = checks_by(command).about(lambda: Asked([]))
    async with CheckWorkers() as workers:
        results = await run_checks(declared_checks(declared), Answer("a"), workers, run)
        alone = await run_checks(declared_checks(declared[1:]), Answer("a"), workers)
    assert [result.passed for result in results] == [True, None]
    assert [result.passed for result in alone] == [None]
