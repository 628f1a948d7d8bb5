"""Exceptions in logs are found in every form of traceback, with those that led to them."""

import json
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from server.models.diagnosis.causes import explain_exit
from server.models.diagnosis.tracebacks import read_exceptions
from server.models.logbook import LogLine
from server.models.runners.base import Condition, Observation, Replica

RICH_WIDTH = 78


def explained(log: list[str], exit_code: int = 1) -> str:
    """Return what is said of the end of a server with that log."""
    tail = tuple(LogLine(0.0, "stdout", line) for line in log)
    seen = Observation(Replica("t", "a"), Condition.EXITED, exit_code=exit_code, tail=tail)
    return explain_exit(seen).message


def lines_of(text: str) -> list[str]:
    """Return the last lines of all exceptions in a text."""
    chains, _ = read_exceptions(text.split("\n"))
    return [raised.line for chain in chains for raised in chain]


def test_an_exception_group_gives_what_is_in_it() -> None:
    text = """  + Exception Group Traceback (most recent call last):
  |   File "a.py", line 1, in <module>
  |     run()
  | ExceptionGroup: two of them (2 sub-exceptions)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "a.py", line 2, in one
    |     raise ValueError("No CUDA GPUs are available")
    | OddError: the first
    +---------------- 2 ----------------
    | OddError: the second
    +------------------------------------"""
    assert lines_of(text)[-2:] == ["OddError: the first", "OddError: the second"]


def test_a_chain_is_read_in_its_order() -> None:
    text = """Traceback (most recent call last):
  File "a.py", line 1, in <module>
KeyError: 'x'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "a.py", line 3, in <module>
Trouble: it is so"""
    chains, _ = read_exceptions(text.split("\n"))
    assert [[raised.type for raised in chain] for chain in chains] == [["KeyError", "Trouble"]]


def test_chained_exceptions_are_found() -> None:
    text = """hub.errors.OfflineModeIsEnabled: it is
so
The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "a.py", line 3, in <module>
hub.errors.LocalEntryNotFoundError: not here"""
    chains, rest = read_exceptions(["Note: it begins", *text.split("\n")])
    assert [[raised.message for raised in chain] for chain in chains] == [["it is so", "not here"]]
    assert [line for line in rest if line] == ["Note: it begins"]


def test_a_table_is_no_traceback() -> None:
    assert not lines_of("╭──────╮\n│ GPUs │\n╰──────╯\nready\n+-----+\n| a   |\n+-----+\nfine")


def test_pydantics_report_is_reduced_to_what_is_wrong() -> None:
    text = """pydantic_core._pydantic_core.ValidationError: 1 validation error for Config
max_len
  Input should be a valid integer [type=int_parsing, input_value='x', input_type=str]
    For further information visit https://errors.example"""
    assert lines_of(text) == [
        "pydantic_core._pydantic_core.ValidationError: max_len: Input should be a valid integer"
    ]


def test_the_panics_of_old_and_new_rust_are_two_lines_or_one() -> None:
    new = "thread 'main' (8) panicked at src/a.rs:1:2:\nit broke\n\n  1 | No space left on device"
    assert lines_of(new) == ["it broke"]
    assert lines_of("thread 'main' panicked at 'it broke', src/a.rs:1:2") == ["it broke"]


def test_uncaught_cpp_exceptions_are_recognised() -> None:
    text = "terminate called after throwing an instance of 'std::bad_thing'\n  what():  no way"
    assert lines_of(text) == ["std::bad_thing: no way"]


def test_a_wrapper_is_not_the_cause_of_what_stands_above_it() -> None:
    log = [
        "(Worker pid=7) ERROR 11-29 14:26:33 [worker.py:15] WorkerProc failed to start.",
        "(Worker pid=7) ERROR 11-29 14:26:33 [worker.py:15] Traceback (most recent call last):",
        '(Worker pid=7) ERROR 11-29 14:26:33 [worker.py:15]   File "w.py", line 4, in load',
        "(Worker pid=7) ERROR 11-29 14:26:33 [worker.py:15]     answer = step(3)",
        "(EngineCore pid=6) INFO 11-29 14:26:33 [core.py:2] something else",
        "(Worker pid=7) ERROR 11-29 14:26:33 [worker.py:15] OddError: it is so",
        "Traceback (most recent call last):",
        '  File "a.py", line 1, in <module>',
        "RuntimeError: Engine core initialization failed. See root cause above. Failed core "
        "proc(s): {}",
    ]
    assert explained(log) == "the model server ended with exit code 1: OddError: it is so"


def test_errors_of_earlier_phases_are_ignored() -> None:
    head = "2026-01-01T00:00:00Z"
    log = [
        f"{head} ERROR download: text_generation_launcher: ConnectionError: max retries exceeded",
        f"{head}  INFO text_generation_launcher: Starting shard",
        f"{head} ERROR text_generation_launcher: OddError: of loading",
        "Error: ShardCannotStart",
    ]
    assert explained(log).endswith("exit code 1: OddError: of loading")


def test_a_traceback_that_may_be_a_warnings_is_no_evidence_beside_another() -> None:
    head = "2026-01-01T00:00:00Z"
    log = [
        f"{head}  WARN text_generation_launcher: Could not import it",
        "Traceback (most recent call last):",
        '  File "a.py", line 1, in <module>',
        "RuntimeError: Found no NVIDIA driver on your system",
        "/usr/lib/a.py:3: UserWarning: CUDA is not available",
        "  warnings.warn('CUDA is not available')",
    ]
    assert explained(log, 3) == (
        "the model server ended with exit code 3, most likely because of its last error: "
        "RuntimeError: Found no NVIDIA driver on your system"
    )
    assert (
        explained([*log, "Error: Odd(1)"], 3) == "the model server ended with exit code 3: Odd(1)"
    )


def test_a_warning_is_no_evidence() -> None:
    log = [
        "2026-01-01T00:00:00Z  WARN a: RuntimeError: Found no NVIDIA driver on your system",
        "and so on: OSError: No space left on device",
        "/usr/lib/a.py:3: UserWarning: CUDA is not available",
        "  warnings.warn('CUDA is not available')",
    ]
    assert explained(log, 3) == "the model server ended with exit code 3"


def test_without_an_error_the_last_line_is_told_as_that() -> None:
    assert explained(["one", "", "two words"]) == (
        "the model server ended with exit code 1, the last it wrote is: two words"
    )


# --- a log that nobody wrote a pattern for ------------------------------------------------------

_WORDS = st.text(st.sampled_from("abcdefgh xyz,=()0123"), min_size=1, max_size=30)
_WORDS = _WORDS.map(str.strip).filter(bool)
_NAMES = st.from_regex(r"[A-Z][a-z]{3,8}(Error|Exception|Trouble|Stop)", fullmatch=True)
_TYPES = st.builds("{}{}".format, st.sampled_from(["", "odd.", "a_b._c."]), _NAMES)
# What other errors are called and say, where it is no evidence.
_MISLEADING = st.sampled_from(
    [
        'raise OSError("No space left on device")',
        "raise GatedRepoError('Cannot access gated repo')",
        "RuntimeError: No CUDA GPUs are available",
        "error: CUDA out of memory",
        "Address already in use",
    ]
)


@st.composite
def _plain(draw: st.DrawFn, last: str) -> list[str]:
    frames = draw(st.lists(_MISLEADING, min_size=1, max_size=5))
    lines = ["Traceback (most recent call last):"]
    for number, code in enumerate(frames, 1):
        lines += [f'  File "/srv/a.py", line {number}, in step', f"    {code}"]
        if draw(st.booleans()):
            lines.append("    ~~~~^^^^^")
    return [*lines, last]


@st.composite
def _boxed(draw: st.DrawFn, last: str) -> list[str]:
    code = draw(st.lists(_MISLEADING, min_size=1, max_size=5))
    heading = " Traceback (most recent call last) "
    inner = [f"   {number} │   {line}" for number, line in enumerate(code, 1)]
    boxed = [f"│{line[:RICH_WIDTH].ljust(RICH_WIDTH)}│" for line in inner]
    return [f"╭{heading.center(RICH_WIDTH, '─')}╮", *boxed, f"╰{'─' * RICH_WIDTH}╯", last]


@st.composite
def _chained(draw: st.DrawFn, last: str) -> list[str]:
    form = draw(st.sampled_from([_plain, _boxed]))
    link = draw(
        st.sampled_from(
            [
                "The above exception was the direct cause of the following exception:",
                "During handling of the above exception, another exception occurred:",
            ]
        )
    )
    lines: list[str] = []
    for before in draw(st.lists(st.builds("{}: {}".format, _TYPES, _WORDS), max_size=2)):
        lines += [*draw(form(before)), "", link, ""]
    return [*lines, *draw(form(last))]


def _as_tgi(lines: list[str]) -> list[str]:
    return ["2026-01-01T00:00:00Z ERROR text_generation_launcher: Broken", *lines]


def _as_json(lines: list[str]) -> list[str]:
    return [json.dumps({"level": "ERROR", "fields": {"message": "\n".join(["Broken", *lines])}})]


def _as_vllm(lines: list[str]) -> list[str]:
    return [f"(Worker pid=7) ERROR 11-29 14:26:33 [core.py:15] {line}" for line in lines]


_QUIET_LINES = st.sampled_from(
    [
        "2026-01-01T00:00:00Z  WARN a: RuntimeError: Found no NVIDIA driver on your system",
        '{"level":"WARN","fields":{"message":"OSError: No space left on device"}}',
        "2026-01-01T00:00:00Z  INFO text_generation_launcher: Using attention paged",
        "(Worker pid=7) WARNING 11-29 14:26:33 [cpu.py:2] OSError: [Errno 24] Too many open files",
        "0.00.735.411 W srv  llama_server: address already in use",
        "INFO:     Started server process [1]",
    ]
)


_FORMS: list[Callable[[list[str]], list[str]]] = [_as_tgi, _as_json, _as_vllm, list]


@st.composite
def _logs(draw: st.DrawFn) -> tuple[list[str], str]:
    last = f"{draw(_TYPES)}: {draw(_WORDS)}"
    form = draw(st.sampled_from(_FORMS))
    around = st.lists(_QUIET_LINES, max_size=4)
    log = [*draw(around), *form(draw(_chained(last))), *draw(around)]
    return [line for text in log for line in text.split("\n")], last


@given(_logs())
def test_a_log_that_nobody_wrote_a_pattern_for_gives_its_own_last_exception(
    case: tuple[list[str], str],
) -> None:
    log, last = case
    said = explained(log)
    assert said.startswith("the model server ended with exit code 1")
    assert said.endswith(f": {' '.join(last.split())}")


@given(st.lists(st.one_of(_QUIET_LINES, _MISLEADING, st.text(max_size=40)), max_size=30))
def test_no_log_is_beyond_reading(lines: list[str]) -> None:
    assert explained(lines).strip()
