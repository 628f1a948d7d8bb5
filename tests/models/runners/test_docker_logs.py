"""A container's log: frames into lines, however the bytes are cut, without secrets."""

import struct
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.models.runners.containers.demultiplexer import MAX_LINE_BYTES, Demultiplexer
from server.models.runners.redaction import HIDDEN, Redactor

STAMP = "2026-11-22T10:02:02.767599079Z"
SECRET = "hf_ThisIsNoRealToken0123"


def frame(text: str | bytes, *, stream: int = 1, stamp: str = STAMP) -> bytes:
    """Write a frame as the engine does."""
    data = stamp.encode() + b" " + (text.encode() if isinstance(text, str) else text)
    return struct.pack(">BxxxL", stream, len(data)) + data


def read(chunks: Iterable[bytes]) -> list[tuple[str, str]]:
    demultiplexer = Demultiplexer()
    lines = [line for chunk in chunks for line in demultiplexer.feed(chunk)]
    return [(line.stream, line.text) for line in [*lines, *demultiplexer.finish()]]


LOG = b"".join(
    [
        frame("one\n"),
        frame("zwei: ü 🙂\r\n", stream=2),
        frame("\n"),
        frame("x" * 16384),
        frame("on standard error in between\n", stream=2),
        frame("y" * 10 + "\n"),
        frame(b"no text: \xff\xfe\n"),
        frame("without a line feed"),
    ]
)
LINES = [
    ("stdout", "one"),
    ("stderr", "zwei: ü 🙂"),
    ("stdout", ""),
    ("stderr", "on standard error in between"),
    ("stdout", "x" * 16384 + "y" * 10),
    ("stdout", "no text: \ufffd\ufffd"),
    ("stdout", "without a line feed"),
]


def test_a_log_read_whole() -> None:
    assert read([LOG]) == LINES


def test_a_log_read_byte_by_byte() -> None:
    assert read(LOG[n : n + 1] for n in range(len(LOG))) == LINES


@given(st.lists(st.integers(0, len(LOG)), max_size=20))
def test_a_log_cut_anywhere(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(LOG)]
    assert read(LOG[a:b] for a, b in pairwise(places)) == LINES


def test_the_time_is_the_engines() -> None:
    line = Demultiplexer().feed(frame("x\n"))[0]
    assert line.stamp == STAMP
    assert line.time == pytest.approx(1795341722.767599)


def test_a_line_without_end_is_cut_and_not_kept() -> None:
    endless = [frame("x" * 16384)] * 1000
    seen = read([*endless, frame("\n")])
    assert "".join(text for _, text in seen) == "x" * 16384 * 1000
    assert max(len(text) for _, text in seen) == MAX_LINE_BYTES


def test_a_stamp_that_is_none_does_no_harm() -> None:
    assert Demultiplexer().feed(frame("x\n", stamp="yesterday"))[0].time == 0


@pytest.mark.parametrize(
    ("line", "clean"),
    [
        ("nothing to hide", "nothing to hide"),
        (f"token is {SECRET}!", f"token is {HIDDEN}!"),
        ("hf_AbCdEfGhIjKlMnOp in a traceback", f"{HIDDEN} in a traceback"),
        ("Authorization: Bearer abc.def-123456", f"Authorization: Bearer {HIDDEN}"),
        ('Args { api_key: Some("s3cr3t") }', f'Args {{ api_key: Some("{HIDDEN}") }}'),
        (
            r'{"message":"Args {\n    api_key: Some(\n        \"s3cr3t\",\n    ),"}',
            rf'{{"message":"Args {{\n    api_key: Some(\n        \"{HIDDEN}\",\n    ),"}}',
        ),
        ("api_key: None,", "api_key: None,"),
        ("text-generation-launcher --api-key s3cr3t --port 80", f"--api-key {HIDDEN} --port 80"),
        ("--api-key=s3cr3t", f"--api-key={HIDDEN}"),
        ("HF_TOKEN=s3cr3t", f"HF_TOKEN={HIDDEN}"),
        ('{"api_key": "s3cr3t"}', f'{{"api_key": "{HIDDEN}"}}'),
        ("api_key_file is not a key", "api_key_file is not a key"),
    ],
)
def test_secrets_are_hidden_and_nothing_else(line: str, clean: str) -> None:
    assert Redactor([SECRET]).clean(line).endswith(clean)


def test_a_secret_on_the_line_after_its_name_is_hidden() -> None:
    """As TGI's launcher prints its arguments in text form."""
    redactor = Redactor()
    lines = ["Args {", "    api_key: Some(", '        "s3cr3t",', "    ),", '    port: "80",', "}"]
    assert [redactor.clean(line) for line in lines] == [
        "Args {",
        "    api_key: Some(",
        HIDDEN,
        "    ),",
        '    port: "80",',
        "}",
    ]


def test_a_token_that_is_no_secret_does_not_tear_words_apart() -> None:
    assert Redactor(["a", ""]).clean("a banana") == "a banana"
