"""The progress of a start, read from both forms of TGI's log, with and without colours."""

import json
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core.protocol import Progress
from server.models.diagnosis.log_lines import read_line
from server.models.lifecycle.start_progress import PHASES, StartProgress
from server.models.logbook import LogLine
from tests.fakes.tgi_log import Line, _render, start_lines
from tests.fakes.tgi_options import FakeOptions

Render = Callable[[FakeOptions, Line], str]


def coloured(options: FakeOptions, line: Line) -> str:
    """Colour a text line as tracing does: time dim, level in colour, target dim."""
    text = _render(options, line)
    dimmed = re.sub(r"^(\S+) +([A-Z]+) ", "\x1b[2m\\1\x1b[0m \x1b[32m\\2\x1b[0m \x1b[2m", text)
    return dimmed.replace(": ", "\x1b[0m\x1b[2m:\x1b[0m ", 1)


FORMS: dict[str, tuple[FakeOptions, Render]] = {
    "text": (FakeOptions(download_files=3), _render),
    "coloured": (FakeOptions(download_files=3), coloured),
    "json": (FakeOptions(download_files=3, json_output=True), _render),
}


@pytest.fixture(params=FORMS.values(), ids=list(FORMS))
def log(request: pytest.FixtureRequest) -> list[str]:
    """Return the log of a start of TGI, in each of its forms."""
    options, render = request.param
    written = (render(options, line) for line in start_lines(options))
    return [part for text in written for part in text.split("\n")]


def fed(progress: StartProgress, text: str) -> Progress | None:
    """Feed one line."""
    return progress.feed(LogLine(0.0, "stdout", text))


def test_a_start_goes_through_its_phases(log: list[str]) -> None:
    start = StartProgress()
    seen = [progress for text in log if (progress := fed(start, text)) is not None]
    phases = list(dict.fromkeys(progress.phase for progress in seen))
    assert phases == ["downloading", "loading", "warming up"]


def test_each_file_that_is_fetched_is_a_step(log: list[str]) -> None:
    start = StartProgress()
    seen = [progress for text in log if (progress := fed(start, text)) is not None]
    steps = {(p.fraction, p.text, p.eta_seconds) for p in seen if p.eta_seconds is not None}
    assert steps == {(n / 3, f"{n} of 3 files", 2.0) for n in (1, 2, 3)}


def test_messages_are_taken_out_of_their_frames(log: list[str]) -> None:
    messages = [read_line(text).message for text in log]
    for message in (
        "Starting check and download process for fake/tgi",
        "Waiting for shard to be ready...",
        "Shard ready in 5.304520806s",
        "Warming up model",
        "Connected",
    ):
        assert message in messages


REAL_LINES = [
    (
        "2025-04-16T17:58:47.007168Z  INFO download: text_generation_launcher: "
        "Starting check and download process for Qwen/Qwen2.5-3B-Instruct",
        ("INFO", "Starting check and download process for Qwen/Qwen2.5-3B-Instruct"),
    ),
    (
        '{"timestamp":"..","level":"INFO","fields":{"message":"Shard ready in 5.304520806s"},'
        '"target":"text_generation_launcher","span":{"rank":0,"name":"shard-manager"},"spans":[]}',
        ("INFO", "Shard ready in 5.304520806s"),
    ),
    (
        '{"timestamp":"..","level":"INFO","message":"Success","target":'
        '"text_generation_router::server","filename":"router/src/server.rs","line_number":407}',
        ("INFO", "Success"),
    ),
    (
        "2024-01-01T00:00:00.000000Z  INFO shard-manager: text_generation_launcher: "
        "Waiting for shard to be ready... rank=0",
        ("INFO", "Waiting for shard to be ready..."),
    ),
    ("Error: DownloadError", ("", "Error: DownloadError")),
    ("thread 'main' panicked at src/main.rs", ("", "thread 'main' panicked at src/main.rs")),
    ("", ("", "")),
    ("{not json", ("", "{not json")),
    ('{"level":5}', ("", '{"level":5}')),
    ("[1]", ("", "[1]")),
]


@pytest.mark.parametrize(("text", "entry"), REAL_LINES)
def test_lines_as_they_were_seen(text: str, entry: tuple[str, str]) -> None:
    found = read_line(text)
    assert (found.level, found.message) == entry


def test_a_line_nested_beyond_measure_is_a_line() -> None:
    """Regression: it ended the reading of the log."""
    text = '{"level":' + "[" * 50_000
    assert read_line(text).message == text


def test_a_cause_keeps_the_name_of_its_error() -> None:
    found = read_line(
        "2024-01-01T00:00:00Z ERROR text_generation_launcher: RuntimeError: CUDA out of memory"
    )
    assert (found.level, found.message) == ("ERROR", "RuntimeError: CUDA out of memory")


def reported(phase: str, done: int, total: int | None, eta: float | None = None) -> str:
    """Write a line as the embedded engine does."""
    progress = {"phase": phase, "done_bytes": done, "total_bytes": total, "eta_seconds": eta}
    return json.dumps({"level": "INFO", "fields": {"message": "m", "progress": progress}})


def test_bytes_are_shown_as_they_come() -> None:
    start = StartProgress()
    assert fed(start, reported("downloading", 25, 100, 7.5)) == (
        Progress("downloading", 0.25, "m", 7.5)
    )
    assert fed(start, reported("downloading", 50, 100)) == Progress("downloading", 0.5, "m")


def test_a_size_that_is_not_known_has_no_fraction() -> None:
    assert fed(StartProgress(), reported("downloading", 25, None)) == Progress(
        "downloading", None, "m"
    )


def test_an_unknown_phase_is_not_shown() -> None:
    assert fed(StartProgress(), reported("dreaming", 1, 2)) is None


_NUMBERS = st.sampled_from(["0", "1", "2", "007", "-1", "9" * 400, "9" * 5000])
_LINES = st.one_of(
    st.builds(
        reported,
        st.sampled_from([*PHASES, "dreaming"]),
        st.one_of(st.integers(-10, 300), st.just(10**400)),
        st.sampled_from([None, 0, 100, 200, -3, 10**400]),
        st.sampled_from([None, 1.0, -1.0, 1e300]),
    ),
    # No model server writes these: one that is broken, or not ours, may.
    st.builds("Download: [{}/{}] -- ETA: {}:{}:{}".format, *[_NUMBERS] * 5),
    st.builds("Sharding model on {} processes".format, _NUMBERS),
    st.just("Shard ready in 1s"),
    st.sampled_from(
        [_render(FakeOptions(), line) for line in start_lines(FakeOptions(download_files=2))]
    ),
    st.text(max_size=20),
)


@given(st.lists(_LINES, max_size=30))
def test_progress_never_goes_backwards_whatever_the_log_says(lines: list[str]) -> None:
    start = StartProgress()
    last = (-1, 0.0)
    for text in lines:
        progress = fed(start, text)
        if progress is not None:
            assert progress.fraction is None or 0 <= progress.fraction <= 1
            assert progress.eta_seconds is None or 0 <= progress.eta_seconds < 1e13
            phase = PHASES.index(progress.phase)
            fraction = progress.fraction or 0.0
            assert phase >= last[0]
            if phase == last[0]:
                assert fraction >= last[1]
            last = (phase, fraction)


def test_a_quiet_phase_shows_that_it_goes_on_and_for_how_long() -> None:
    start = StartProgress()
    assert start.tick(0) is None
    fed(start, reported("loading", 0, None))
    assert [start.tick(second) for second in (100, 105, 109)] == [None] * 3
    assert start.tick(110) == Progress("loading", None, "loading, 10 s")
    assert start.tick(112) is None
    assert start.tick(115) == Progress("loading", None, "loading, 15 s")
