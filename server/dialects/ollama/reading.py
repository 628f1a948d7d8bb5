"""One answer as Ollama streams it: lines of JSON in, tokens and an end out.

Rules:

1. Bytes may be cut anywhere, so only whole lines are decoded. A last line without its newline
   counts if it is whole JSON.
2. Only `done: true` is an end. An `error`, as a line or as the whole body, ends the answer too;
   a body that ends without either has broken off. A `stop` without a word, a tool call or a count
   is no answer.
3. What came before an error is handed on before the error is raised.
4. The text is `content` or `response`, whatever stands beside it: probabilities are shown with
   their tokens only where those tokens spell the text, which they do not while Ollama holds text
   back. Tool calls are pieces of their own kind, and stand in the end's details, too.
"""

from typing import Any, Final

from server.core.errors import EngineError, EngineLost, SidestreamError
from server.core.protocol import Alternative, FinishReason, TokenInfo
from server.dialects.base import NO_TOKEN_ID, Finish, Meter, OnTokens
from server.dialects.ollama.errors import failure_in_answer
from server.dialects.ollama.wire import Line, OtherToken, WeighedToken, read_line
from server.dialects.thinking import Thinking
from server.dialects.tool_calls import ToolCalls

# A token is some hundred bytes; a line of this length holds a tool call with a file in it.
MAX_LINE_BYTES: Final = 16 * 1024 * 1024
_SHOWN_BYTES: Final = 80

_FINISH_REASONS: Final[dict[str, FinishReason]] = {"length": "length", "stop": "stop"}
_DURATIONS: Final = {
    "load_ms": "load_duration",
    "prompt_ms": "prompt_eval_duration",
    "eval_ms": "eval_duration",
    "total_ms": "total_duration",
}
_NANOSECONDS_PER_MILLISECOND: Final = 1_000_000


class AnswerReader:
    """Read the lines of one answer and hand its tokens on as they come."""

    __slots__ = (
        "_calls",
        "_end",
        "_has_words",
        "_last_tokens",
        "_meter",
        "_model",
        "_on_tokens",
        "_partial",
        "_thinking",
        "_tool_calls",
    )

    def __init__(self, on_tokens: OnTokens, meter: Meter, *, model: str = "") -> None:
        self._on_tokens = on_tokens
        self._meter = meter
        self._model = model
        self._partial = bytearray()
        self._has_words = False
        self._thinking = Thinking()
        self._calls = ToolCalls()
        self._tool_calls: list[Any] = []
        self._last_tokens: list[TokenInfo] = []
        self._end: Finish | SidestreamError | None = None

    def feed(self, chunk: bytes) -> bool:
        """Hand on what `chunk` completes, and tell whether that was all: once per token.

        What came with the end, or before an error in the same read, is left to `finish`.
        """
        # Nearly every read is one line, whole, with a piece of text and nothing else.
        if self._partial or chunk.find(b"\n") != len(chunk) - 1:
            return self._feed_any(chunk)
        try:
            line = read_line(chunk)
        except ValueError:
            return self._feed_any(chunk)
        is_marked = self._thinking.is_open or self._calls.is_open
        text = None if line is None or is_marked else _plain_text(line)
        if text is not None:
            self._has_words = True
            self._meter.heard += 1
            self._on_tokens([TokenInfo(NO_TOKEN_ID, text, None, False)])
            return False
        tokens: list[TokenInfo] = []
        self._read(line, tokens)
        return self._hand_on(tokens)

    def finish(self) -> Finish:
        """Hand on the last tokens and return how the answer ended, or raise why it did not.

        Both in one step of the loop, so that nobody sees the one without the other.
        """
        if self._end is None and self._partial:
            self._read_last()
        self.leave()
        if self._end is None:
            # So does Ollama itself, without a word, after some thirty equal tokens (seen).
            raise EngineLost(
                "the model server broke off in the middle of its answer",
                hint="if the model wrote one word over and over, Ollama has ended it: ask with a "
                "higher `temperature` or `repetition_penalty`",
            )
        if isinstance(self._end, Finish):
            return self._end
        raise self._end

    def leave(self) -> None:
        """Hand on what was left to `finish`, and close what is open: nothing more is read."""
        marks = [*self._thinking.close(), *self._calls.close()]
        if marks and not self._last_tokens:
            self._meter.heard += 1
        tokens, self._last_tokens = [*self._last_tokens, *marks], []
        if tokens:
            self._on_tokens(tokens)

    # --- inside -----------------------------------------------------------------------------

    def _feed_any(self, chunk: bytes) -> bool:
        self._partial += chunk
        lines: list[bytes] = []
        if b"\n" in chunk:
            *lines, rest = bytes(self._partial).split(b"\n")
            self._partial = bytearray(rest)
        tokens: list[TokenInfo] = []
        for line in lines:
            self._read_bytes(line.strip(), tokens)
            if self._end is not None:
                break
        if self._end is None and len(self._partial) > MAX_LINE_BYTES:
            self._end = EngineError(
                f"the model server sent an unreadable answer: a line exceeds {MAX_LINE_BYTES} bytes"
            )
        return self._hand_on(tokens)

    def _hand_on(self, tokens: list[TokenInfo]) -> bool:
        if tokens:
            self._meter.heard += 1
        if self._end is not None:
            self._last_tokens = tokens
            return True
        if tokens:
            self._on_tokens(tokens)
        return False

    def _read_last(self) -> None:
        """Take the line that has no newline behind it, unless the body's end has cut it."""
        rest = bytes(self._partial).strip()
        self._partial.clear()
        tokens: list[TokenInfo] = []
        self._read_bytes(rest, tokens)
        if isinstance(self._end, _Unreadable) and rest.startswith(b"{"):
            self._end = None
        self._meter.heard += bool(tokens)
        self._last_tokens = tokens

    def _read_bytes(self, line: bytes, tokens: list[TokenInfo]) -> None:
        if not line:
            return
        try:
            item = read_line(line)
        except ValueError:
            self._end = _Unreadable(line)
            return
        self._read(item, tokens)

    def _read(self, item: Line | None, tokens: list[TokenInfo]) -> None:
        """Add a line's tokens to `tokens`, and take down the end if it is one."""
        if item is None:
            return
        if item.error is not None:
            self._end = failure_in_answer(item.error, model=self._model)
            return
        self._add_text(item, tokens)
        if item.done:
            tokens += [*self._thinking.close(), *self._calls.close()]
            self._end = self._finish(item)

    def _add_text(self, item: Line, tokens: list[TokenInfo]) -> None:
        piece = item.message
        thought = (piece.thinking if piece is not None else None) or item.thinking
        text = (piece.content if piece is not None else None) or item.response
        calls = [
            *((piece.tool_calls if piece is not None else None) or ()),
            *(item.tool_calls or ()),
        ]
        self._tool_calls += calls
        self._has_words = self._has_words or bool(thought or text)
        if thought:
            tokens += self._calls.close()
            tokens += self._thinking.think(_tokens(thought, item.logprobs))
        if text:
            tokens += [*self._thinking.close(), *self._calls.close()]
            tokens += _tokens(text, item.logprobs)
        if calls and (pieces := self._calls.take_whole(calls)):
            tokens += [*self._thinking.close(), *pieces]

    def _finish(self, item: Line) -> Finish | EngineError:
        reason = item.done_reason or ""
        has_come = self._has_words or self._tool_calls or item.eval_count or item.prompt_eval_count
        if reason == "stop" and not has_come:
            return EngineError("the model server ended its answer without a word")
        is_ours = reason in _FINISH_REASONS
        details: dict[str, Any] = {} if is_ours or not reason else {"finish_reason": reason}
        for name, field in _DURATIONS.items():
            nanoseconds = getattr(item, field)
            if nanoseconds is not None:
                details[name] = round(nanoseconds / _NANOSECONDS_PER_MILLISECOND, 3)
        if self._tool_calls:
            details["tool_calls"] = self._tool_calls
        return Finish(
            _FINISH_REASONS.get(reason, "stop"),
            item.prompt_eval_count,
            item.eval_count,
            details=details,
            answered_by=item.remote_model or "",
        )


def _plain_text(line: Line) -> str | None:
    """Return the text of a line that holds nothing else, None for every other line."""
    piece = line.message
    if line.done or line.error is not None or line.logprobs is not None:
        return None
    if piece is None:
        is_more = line.thinking or line.tool_calls
        return None if is_more else line.response or None
    return None if piece.thinking or piece.tool_calls else piece.content or None


def _tokens(text: str, weighed: list[WeighedToken] | None) -> list[TokenInfo]:
    if not weighed or "".join(token.token for token in weighed) != text:
        return [TokenInfo(NO_TOKEN_ID, text, None, False)]
    return [
        TokenInfo(NO_TOKEN_ID, token.token, token.logprob, False, _alternatives(token.top_logprobs))
        for token in weighed
    ]


def _alternatives(others: list[OtherToken] | None) -> list[Alternative] | None:
    if others is None:
        return None
    return [Alternative(NO_TOKEN_ID, other.token, other.logprob) for other in others]


class _Unreadable(EngineError):
    """A line is no JSON."""

    def __init__(self, line: bytes) -> None:
        shown = line[:_SHOWN_BYTES].decode(errors="replace")
        super().__init__(f"the model server sent an unreadable answer: {shown!r}")
