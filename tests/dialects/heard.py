"""Read an answer in OpenAI's form out of bytes, and remember what came of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from server.core.errors import SidestreamError
from server.core.protocol import Notice, TokenInfo
from server.dialects.base import Finish, Meter
from server.dialects.openai.reading import AnswerReader, Reading


@dataclass
class Heard:
    """What came of one answer."""

    tokens: list[TokenInfo] = field(default_factory=list)
    waits: list[Notice | None] = field(default_factory=list)
    finish: Finish | None = None
    error: SidestreamError | None = None
    handed_on: list[int] = field(default_factory=list)
    """How many tokens came at once, each time."""
    was_all: bool = False
    """Whether the reader said so before the bytes were at their end."""

    @property
    def text(self) -> str:
        return "".join(token.text for token in self.tokens if not token.special)

    @property
    def spoken(self) -> str:
        """Return the text without calls of tools."""
        return "".join(
            token.text for token in self.tokens if not token.special and token.kind != "tool_call"
        )

    @property
    def outcome(self) -> tuple[object, ...]:
        """Return what may not depend on how the bytes came."""
        error = self.error
        told = (
            None
            if error is None
            else (type(error), error.message, error.details, getattr(error, "parameters", None))
        )
        return (self.text, self.finish, told, [wait and wait.message for wait in self.waits])

    @property
    def words(self) -> str:
        """Return the words of the error that came."""
        assert self.error is not None, f"{self.text!r} ended as {self.finish}"
        return self.error.message

    @property
    def end(self) -> Finish:
        """Return the end that came."""
        assert self.finish is not None, self.error
        return self.finish


def hear(
    *reads: bytes,
    is_chat: bool = True,
    reading: Reading | None = None,
    stop: Sequence[str] = (),
    beginning: str = "",
    most_tokens: int | None = None,
    broken: SidestreamError | None = None,
) -> Heard:
    """Read bytes as they come."""
    heard = Heard()

    def on_tokens(tokens: list[TokenInfo]) -> None:
        assert tokens, "nothing came, and was told"
        heard.tokens += tokens
        heard.handed_on.append(len(tokens))

    meter = Meter()
    reader = AnswerReader(
        on_tokens,
        heard.waits.append,
        meter,
        reading or Reading(),
        is_chat=is_chat,
        stop=stop,
        beginning=beginning,
        most_tokens=most_tokens,
    )
    for read in reads:
        if reader.feed(read):
            heard.was_all = True
            break
    try:
        heard.finish = reader.finish(broken)
    except SidestreamError as error:
        heard.error = error
    assert bool(heard.tokens) == bool(meter.heard)
    return heard


def by_bytes(data: bytes) -> Iterator[bytes]:
    """Cut bytes into single ones."""
    return (data[place : place + 1] for place in range(len(data)))


def by_events(data: bytes) -> list[bytes]:
    """Cut a stream behind each of its events, as a server that flushes them sends it."""
    *events, last = data.split(b"\n\n")
    return [*(event + b"\n\n" for event in events), *([last] if last else [])]


def chunk(delta: object = None, reason: Any = None, **more: Any) -> dict[str, Any]:
    """Write a chunk of a chat; `more` stands beside the choices."""
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [choice], **more}


def says(content: object, reason: Any = None, **more: Any) -> dict[str, Any]:
    """Write a chunk of a chat with words."""
    return chunk({"content": content}, reason, **more)
