"""TGI's JSON, and what it means in the protocol's words: no request is made here."""

from typing import Final

import msgspec

from server.core.errors import (
    EngineError,
    EngineLost,
    EngineOverloaded,
    InvalidParameters,
    PromptTooLong,
    SidestreamError,
)
from server.core.protocol import Alternative, FinishReason, TokenInfo
from server.core.sse import ServerSentEvent, SSEParser, StreamError, lone_data
from server.dialects.base import Finish, Meter, OnTokens
from server.dialects.words import as_words

FINISH_REASONS: Final[dict[str, FinishReason]] = {
    "length": "length",
    "eos_token": "stop",
    "stop_sequence": "stop",
}
# What the router says of the process that computes, which is gone then. Its own process follows.
_SHARD_GONE: Final = ("transport error", "error trying to connect", "Connection refused")
# What TGI's validation says of a prompt that does not fit, beside what it says of parameters.
_LENGTH_MESSAGES: Final = ("`inputs` tokens + `max_new_tokens`", "`inputs` must have less than")


class ServerToken(msgspec.Struct):
    """A token, as streams and tokenizers show it; the latter with its place in the text."""

    id: int
    text: str
    logprob: float | None = None
    special: bool = False
    start: int = 0
    stop: int = 0


class Details(msgspec.Struct):
    """Why an answer ended and what it cost."""

    finish_reason: str
    generated_tokens: int
    input_length: int | None = None


class StreamEvent(msgspec.Struct):
    """One event of `/generate_stream`: a token, the end, or an error."""

    token: ServerToken | None = None
    top_tokens: list[ServerToken] | None = None
    generated_text: str | None = None
    details: Details | None = None
    error: str | None = None
    error_type: str = ""


class LoneToken(msgspec.Struct):
    """An event that holds a token, whole, and nothing else: what nearly all events are.

    Whatever else there is, is read as a `StreamEvent`.
    """

    token: TokenInfo
    top_tokens: None = None
    generated_text: None = None
    error: None = None


class Info(msgspec.Struct):
    """What `/info` says."""

    model_id: str = ""
    version: str = ""
    max_input_tokens: int | None = None
    max_total_tokens: int | None = None
    max_concurrent_requests: int | None = None
    max_stop_sequences: int | None = None
    model_sha: str | None = None
    model_pipeline_tag: str | None = None


class ChatTokens(msgspec.Struct):
    """What `/chat_tokenize` says."""

    templated_text: str
    tokenize_response: list[ServerToken] = []


class ErrorBody(msgspec.Struct):
    """What comes with a status other than 200."""

    error: str
    error_type: str = ""


_stream_event = msgspec.json.Decoder(StreamEvent)
_error_body = msgspec.json.Decoder(ErrorBody)
_lone_token = msgspec.json.Decoder(LoneToken)


class AnswerReader:
    """Read the events of one answer and hand its tokens on as they come."""

    __slots__ = (
        "_end",
        "_is_between_events",
        "_last_tokens",
        "_meter",
        "_on_tokens",
        "_parser",
    )

    def __init__(self, on_tokens: OnTokens, meter: Meter) -> None:
        self._parser = SSEParser()
        self._is_between_events = True
        self._meter = meter
        self._on_tokens = on_tokens
        self._last_tokens: list[TokenInfo] = []
        self._end: Finish | SidestreamError | None = None

    def feed(self, chunk: bytes) -> bool:
        """Hand on what `chunk` completes, and tell whether that was all: once per token.

        What came with the end, or before an error in the same read, is left to `finish`.
        """
        data = lone_data(chunk) if self._is_between_events else None
        if data is None:
            return self._feed_any(chunk)
        try:
            # Not UTF-8, in whatever field, makes an event unreadable.
            item = _lone_token.decode(data if data.isascii() else data.decode())
        except (msgspec.DecodeError, UnicodeDecodeError):
            return self._feed_any(chunk)
        self._meter.heard += 1
        self._on_tokens([item.token])
        return False

    def _feed_any(self, chunk: bytes) -> bool:
        tokens: list[TokenInfo] = []
        try:
            events = self._parser.feed(chunk)
        except StreamError as error:
            events = list(error.events)
            self._end = EngineError(f"the model server sent an unreadable answer: {error}")
        self._is_between_events = self._parser.is_between_events
        for event in events:
            end = _read_event(event, tokens)
            if end is not None:
                self._end = end
                break
        if tokens:
            self._meter.heard += 1
        if self._end is not None:
            self._last_tokens = tokens
            return True
        if tokens:
            self._on_tokens(tokens)
        return False

    def finish(self) -> Finish:
        """Hand on the last tokens and return how the answer ended, or raise why it did not.

        Both in one step of the loop, so that nobody sees the one without the other.
        """
        if self._end is None:
            self._end = self._read_rest()
        if self._last_tokens:
            self._on_tokens(self._last_tokens)
        if isinstance(self._end, Finish):
            return self._end
        raise self._end

    def _read_rest(self) -> Finish | SidestreamError:
        """Return the end that lacks only its empty line, or what came in place of an event."""
        try:
            event = self._parser.close()
        except StreamError:
            event = None
        # What cannot be read was cut, and is no event.
        if event is not None and _is_readable(event):
            end = _read_event(event, self._last_tokens)
            if end is not None:
                return end
        if words := as_words(self._parser.stray.decode(errors="replace")):
            return EngineError(f"the model server reports: {_error_of(words)}")
        return EngineLost("the model server broke off in the middle of its answer")


def _read_event(event: ServerSentEvent, tokens: list[TokenInfo]) -> Finish | SidestreamError | None:
    """Add an event's token to `tokens`; return the end, or the error, if it is one."""
    try:
        item = _stream_event.decode(event.data)
    except msgspec.DecodeError as error:
        return EngineError(f"the model server sent a malformed event: {error}")
    if item.error is not None:
        return translate(item.error, item.error_type)
    token = item.token
    if token is not None:
        others = item.top_tokens
        top = None if others is None else [_alternative(other) for other in others]
        tokens.append(TokenInfo(token.id, token.text, token.logprob, token.special, top))
    return _finish(item.details) if item.generated_text is not None else None


def _is_readable(event: ServerSentEvent) -> bool:
    try:
        _stream_event.decode(event.data)
    except msgspec.DecodeError:
        return False
    return True


def _error_of(words: str) -> str:
    """Return the error that a line of JSON tells, or the words as they are."""
    try:
        return _error_body.decode(words).error
    except msgspec.DecodeError:
        return words


def _alternative(token: ServerToken) -> Alternative:
    return Alternative(token.id, token.text, token.logprob, token.special)


def _finish(details: Details | None) -> Finish:
    if details is None:
        return Finish("stop", None, None)
    reason = FINISH_REASONS.get(details.finish_reason, "stop")
    return Finish(reason, details.input_length, details.generated_tokens)


def translate(message: str, error_type: str) -> SidestreamError:
    """Turn an error that the server reported into ours."""
    text = message.removeprefix("Input validation error: ")
    if error_type == "overloaded":
        return EngineOverloaded("the model server has no place for another request just now")
    if error_type == "validation":
        if any(part in text for part in _LENGTH_MESSAGES):
            return PromptTooLong(text)
        return InvalidParameters(text)
    words = f"the model server reports: {message.rstrip(': ')}"
    if error_type == "generation" and any(part in message for part in _SHARD_GONE):
        return EngineLost(words)
    return EngineError(words)
