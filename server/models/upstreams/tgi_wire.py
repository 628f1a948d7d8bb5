"""TGI's JSON, and what it means in the protocol's words: no request is made here."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from server.core.errors import (
    EngineError,
    EngineOverloaded,
    InvalidParameters,
    PromptTooLong,
    SidestreamError,
)
from server.core.protocol import Alternative, FinishReason, Message, TokenInfo
from server.core.sse import ServerSentEvent, SSEParser, StreamError
from server.models.upstreams.base import Finish

FINISH_REASONS: Final[dict[str, FinishReason]] = {
    "length": "length",
    "eos_token": "stop",
    "stop_sequence": "stop",
}
# What TGI's validation says of a prompt that does not fit, beside what it says of parameters.
_LENGTH_MESSAGES: Final = ("`inputs` tokens + `max_new_tokens`", "`inputs` must have less than")


class Token(msgspec.Struct):
    """A token, as streams and tokenizers show it."""

    id: int
    text: str
    logprob: float | None = None
    special: bool = False


class Details(msgspec.Struct):
    """Why an answer ended and what it cost."""

    finish_reason: str
    generated_tokens: int
    input_length: int | None = None


class StreamEvent(msgspec.Struct):
    """One event of `/generate_stream`: a token, the end, or an error."""

    token: Token | None = None
    top_tokens: list[Token] | None = None
    generated_text: str | None = None
    details: Details | None = None
    error: str | None = None
    error_type: str = ""


class Info(msgspec.Struct):
    """What `/info` says."""

    model_id: str = ""
    version: str = ""
    max_input_tokens: int | None = None
    max_total_tokens: int | None = None
    max_concurrent_requests: int | None = None


class ChatTokens(msgspec.Struct):
    """What `/chat_tokenize` says."""

    templated_text: str
    tokenize_response: list[Token] = []


class ErrorBody(msgspec.Struct):
    """What comes with a status other than 200."""

    error: str
    error_type: str = ""


_stream_event = msgspec.json.Decoder(StreamEvent)


class Arrived(NamedTuple):
    """What one read brought: tokens, and after them the end or an error."""

    tokens: list[TokenInfo]
    end: Finish | SidestreamError | None


def read_events(parser: SSEParser, chunk: bytes) -> Arrived:
    """Return what `chunk` completes."""
    tokens: list[TokenInfo] = []
    problem: SidestreamError | None = None
    events: Sequence[ServerSentEvent]
    try:
        events = parser.feed(chunk)
    except StreamError as error:
        events = error.events
        problem = EngineError(f"the model server sent an unreadable answer: {error}")
    for event in events:
        try:
            item = _stream_event.decode(event.data)
        except msgspec.DecodeError as error:
            problem = EngineError(f"the model server sent a malformed event: {error}")
            break
        if item.error is not None:
            problem = translate(item.error, item.error_type)
            break
        if item.token is not None:
            tokens.append(_token_info(item.token, item.top_tokens))
        if item.generated_text is not None:
            return Arrived(tokens, _finish(item.details))
    return Arrived(tokens, problem)


def _token_info(token: Token, top_tokens: list[Token] | None) -> TokenInfo:
    top = None
    if top_tokens is not None:
        top = [Alternative(t.id, t.text, t.logprob, t.special) for t in top_tokens]
    return TokenInfo(token.id, token.text, token.logprob, token.special, top)


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
    return EngineError(f"the model server reports: {message}")


def transcript(messages: Sequence[Message]) -> str:
    """Write a conversation as plain text, for a model that was never taught a template."""
    names = {"user": "User", "assistant": "Assistant"}
    turns = [
        f"{names[message.role]}: {message.content}" if message.role in names else message.content
        for message in messages
    ]
    return "\n\n".join([*turns, "Assistant:"])
