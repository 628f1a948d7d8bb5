"""Tokens per second are the server's tokens, however many of them come in an event."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from server.core.generation import Generation
from server.core.protocol import End, TokenInfo
from server.dialects.base import Meter
from server.dialects.ollama.reading import AnswerReader as OllamaReader
from server.dialects.openai.reading import AnswerReader, Reading
from tests.dialects.heard import chunk, says

TOKEN_MS = 20.0
RATE = 1000 / TOKEN_MS
TOKENS = 120
DONE = b"data: [DONE]\n\n"


def event(item: object) -> bytes:
    return b"data: " + json.dumps(item).encode() + b"\n\n"


def usage(tokens: int, **details: int) -> dict[str, Any]:
    told = {"prompt_tokens": 9, "completion_tokens": tokens}
    return {"usage": told | {"completion_tokens_details": details}} if details else {"usage": told}


def heard(reads: Sequence[tuple[float, bytes]], reader_of: Any = AnswerReader) -> End:
    """Read what came at which moment into a log, as the relay does, and return its end."""
    now = 0.0
    generation = Generation("g1", "a", now_ms=now)
    generation.move_to("running", now_ms=now)

    def on_tokens(tokens: list[TokenInfo]) -> None:
        shown = [token for token in tokens if token.text and not token.special]
        if shown:
            generation.append([token.text for token in shown], shown, now_ms=now)

    reader = (
        AnswerReader(on_tokens, lambda _: None, Meter(), Reading(), is_chat=True)
        if reader_of is AnswerReader
        else OllamaReader(on_tokens, Meter())
    )
    for now, data in reads:  # noqa: B007
        if reader.feed(data):
            break
    finish = reader.finish()
    generation.end(
        finish.reason,
        now_ms=now,
        prompt_tokens=finish.prompt_tokens,
        completion_tokens=finish.completion_tokens,
        unseen_tokens=finish.unseen_tokens,
    )
    assert generation.end_event is not None
    return generation.end_event


def streamed(
    words: Iterator[tuple[int, Mapping[str, Any]]], last: Mapping[str, Any], *, wait_ms: float = 300
) -> list[tuple[float, bytes]]:
    """Write events, each when the server has computed its tokens, and the end."""
    now = wait_ms
    reads = [(now, event(chunk({"role": "assistant", "content": ""})))]
    for tokens, item in words:
        now += tokens * TOKEN_MS
        reads.append((now, event(item)))
    reads.append((now, event(chunk({}, "length")) + event({"id": "1", "choices": [], **last})))
    reads.append((now, DONE))
    return reads


def in_events_of(size: int, tokens: int = TOKENS) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for start in range(0, tokens, size):
        count = min(size, tokens - start)
        yield count, says("word " * count)


def thinks_first(size: int) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for _ in range(0, TOKENS // 2, size):
        yield size, chunk({"reasoning_content": "hm " * size})
    yield from in_events_of(size, TOKENS // 2)


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(in_events_of(1), id="a token an event"),
        pytest.param(in_events_of(4), id="four tokens an event"),
        pytest.param(in_events_of(7), id="seven tokens an event"),
        pytest.param(thinks_first(1), id="thinking first"),
        pytest.param(thinks_first(4), id="thinking first, four tokens an event"),
    ],
)
def test_how_tokens_come_does_not_change_how_fast_they_are(words: Any) -> None:
    end = heard(streamed(words, usage(TOKENS)))
    assert end.timings.tokens_per_second == pytest.approx(RATE, rel=0.02)
    assert (end.usage.completion_tokens, end.usage.estimated) == (TOKENS, False)


def test_thinking_that_is_kept_back_is_no_speed() -> None:
    """OpenAI's own models are billed for it, and show none of it."""
    thinking_ms = 500 * TOKEN_MS
    reads = streamed(
        in_events_of(1), usage(TOKENS + 500, reasoning_tokens=500), wait_ms=thinking_ms
    )
    end = heard(reads)
    assert end.timings.tokens_per_second == pytest.approx(RATE, rel=0.02)
    assert end.usage.completion_tokens == TOKENS + 500


def test_thinking_that_is_shown_counts() -> None:
    end = heard(streamed(thinks_first(1), usage(TOKENS, reasoning_tokens=TOKENS // 2)))
    assert end.timings.tokens_per_second == pytest.approx(RATE, rel=0.02)


def test_tokens_that_a_server_does_not_count_are_estimated_and_marked() -> None:
    end = heard(streamed(in_events_of(1), {"usage": None}))
    assert (end.usage.completion_tokens, end.usage.estimated) == (TOKENS, True)
    assert end.usage.prompt_tokens is None
    assert end.timings.tokens_per_second == pytest.approx(RATE, rel=0.02)


@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("field", ["content", "thinking"])
def test_ollama_is_measured_by_its_own_count(size: int, field: str) -> None:
    now, reads = 300.0, []
    for number in range(TOKENS // size):
        now += size * TOKEN_MS
        name = field if number < TOKENS // size // 2 else "content"
        line = {"message": {"role": "assistant", name: "word " * size}, "done": False}
        reads.append((now, json.dumps(line).encode() + b"\n"))
    last = {"done": True, "done_reason": "stop", "prompt_eval_count": 9, "eval_count": TOKENS}
    reads.append((now, json.dumps(last).encode() + b"\n"))
    end = heard(reads, OllamaReader)
    assert end.timings.tokens_per_second == pytest.approx(RATE, rel=0.02)
    assert (end.usage.completion_tokens, end.usage.estimated) == (TOKENS, False)
