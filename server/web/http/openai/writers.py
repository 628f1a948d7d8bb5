"""Write answers in OpenAI's form, whole or in chunks.

A stream ends with a chunk that has the finish reason, then the one with the usage if it was
asked for, then `[DONE]`; one that breaks off ends with an event that holds the error.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, cast

import msgspec
from msgspec import UNSET

from server.archive.content import AnswerContent, AnswerPiece, divide
from server.chat.reading import Part, whole
from server.core.errors import SidestreamError
from server.core.generation import Generation
from server.core.protocol import Alternative, End, TokenInfo
from server.dialects.base import NO_TOKEN_ID
from server.web.failures import openai_failure
from server.web.http.event_stream import DONE, event
from server.web.http.openai.responses import (
    AnsweredCall,
    AnswerMessage,
    CallDelta,
    CalledFunction,
    ChatChoice,
    ChatChunk,
    ChatChunkChoice,
    ChatCompletion,
    ChatDelta,
    ChatLogprobs,
    Completion,
    CompletionChoice,
    CompletionDetails,
    CompletionLogprobs,
    FunctionDelta,
    OpenAIFinish,
    OpenAIUsage,
    PromptDetails,
    TokenLogprob,
    TopLogprob,
)
from server.web.http.openai.stop_sequences import StopSequenceFilter
from server.web.http.sidestream_field import Remarks, remarks_of

# OpenAI's value for a token that was as good as impossible.
_NO_LOGPROB: Final = -9999.0

Usage = OpenAIUsage | msgspec.UnsetType | None


@dataclass(frozen=True)
class Wanted:
    """What the response contains beside the text, and what every chunk repeats."""

    id: str
    model: str
    names: Mapping[str, str]
    stops: Sequence[str] = ()
    has_logprobs: bool = False
    has_usage: bool = False
    echo: str = ""
    kinds: Sequence[str] = ()
    """The kinds of text that are told apart; others are text of the answer."""
    created: int = field(default_factory=lambda: int(time.time()))


@dataclass(frozen=True)
class Piece:
    """New text, and if asked for its tokens and their offset in the whole text."""

    text: str
    tokens: Sequence[TokenInfo] | None = None
    offset: int = 0


@dataclass(frozen=True)
class Ending:
    """How an answer ended: the reason, the usage, and remarks about it."""

    reason: OpenAIFinish
    usage: OpenAIUsage
    remarks: Remarks


class Shape(Protocol):
    """The JSON of one kind of answer: a chat or a completion."""

    def opening(self, wanted: Wanted) -> list[Any]:
        """Return the choices before the answer's text."""

    def news(self, piece: Piece) -> Any:
        """Return the choice with new text."""

    def closing(self, reason: OpenAIFinish) -> Any:
        """Return the choice with the finish reason."""

    def chunk(
        self, wanted: Wanted, choices: list[Any], usage: Usage, remarks: Remarks = UNSET
    ) -> msgspec.Struct:
        """Return a stream's event."""

    def whole(
        self, wanted: Wanted, piece: Piece, beside: AnswerContent, ending: Ending
    ) -> msgspec.Struct:
        """Return a whole answer; `beside` has its thinking and its calls of tools."""


class Chat:
    """Write the assistant's turn of a conversation."""

    def opening(self, wanted: Wanted) -> list[Any]:
        """Return the choice with the role."""
        return [ChatChunkChoice(ChatDelta(role="assistant", content=""))]

    def news(self, piece: Piece) -> Any:
        """Return the choice with new text."""
        return ChatChunkChoice(ChatDelta(content=piece.text), _chat_logprobs(piece))

    def closing(self, reason: OpenAIFinish) -> Any:
        """Return the choice with the finish reason."""
        return ChatChunkChoice(ChatDelta(), finish_reason=reason)

    def chunk(
        self, wanted: Wanted, choices: list[Any], usage: Usage, remarks: Remarks = UNSET
    ) -> msgspec.Struct:
        """Return a stream's event."""
        return ChatChunk(
            wanted.id, wanted.created, wanted.model, choices, usage, sidestream=remarks
        )

    def whole(
        self, wanted: Wanted, piece: Piece, beside: AnswerContent, ending: Ending
    ) -> msgspec.Struct:
        """Return a whole answer."""
        message = AnswerMessage(
            piece.text or (None if beside.tool_calls else ""),
            reasoning_content=beside.reasoning or UNSET,
            tool_calls=[
                AnsweredCall(call.id, CalledFunction(call.name, call.arguments))
                for call in beside.tool_calls
            ]
            or UNSET,
        )
        choice = ChatChoice(message, _chat_logprobs(piece), ending.reason)
        return ChatCompletion(
            wanted.id,
            wanted.created,
            wanted.model,
            [choice],
            ending.usage,
            sidestream=ending.remarks,
        )


class Text:
    """Write the completion of a text."""

    def opening(self, wanted: Wanted) -> list[Any]:
        """Return the choice that echoes the prompt, if that was asked for."""
        return [CompletionChoice(wanted.echo)] if wanted.echo else []

    def news(self, piece: Piece) -> Any:
        """Return the choice with new text."""
        return CompletionChoice(piece.text, _text_logprobs(piece))

    def closing(self, reason: OpenAIFinish) -> Any:
        """Return the choice with the finish reason."""
        return CompletionChoice("", finish_reason=reason)

    def chunk(
        self, wanted: Wanted, choices: list[Any], usage: Usage, remarks: Remarks = UNSET
    ) -> msgspec.Struct:
        """Return a stream's event."""
        return Completion(
            wanted.id, wanted.created, wanted.model, choices, usage, sidestream=remarks
        )

    def whole(
        self, wanted: Wanted, piece: Piece, beside: AnswerContent, ending: Ending
    ) -> msgspec.Struct:
        """Return a whole answer."""
        text = wanted.echo + piece.text
        choice = CompletionChoice(text, _text_logprobs(piece), ending.reason)
        return self.chunk(wanted, [choice], ending.usage, ending.remarks)


class OpenAIWriter:
    """Write a stream's events."""

    def __init__(self, shape: Shape, wanted: Wanted) -> None:
        self.is_complete = False
        self.kinds = wanted.kinds
        self._shape = shape
        self._wanted = wanted
        self._called: set[int] = set()
        self._shown = StopSequenceFilter(wanted.stops)
        self._has_begun = False

    def write(self, part: Part) -> bytes:
        """Return the chunks for new text."""
        is_answer = part.label.kind == "answer"
        piece = _piece(self._shown, part if is_answer else None, self._wanted)
        self.is_complete = self._shown.was_stopped
        choices: list[Any] = []
        if not self._has_begun:
            self._has_begun = True
            choices += self._shape.opening(self._wanted)
        if piece.text or piece.tokens:
            choices.append(self._shape.news(piece))
        if not is_answer and not self.is_complete:
            choices += self._beside(part)
        usage = None if self._wanted.has_usage else UNSET
        chunks = [self._shape.chunk(self._wanted, [choice], usage) for choice in choices]
        if part.end is None:
            return b"".join(map(event, chunks))
        ending = _ending(part.end, self._shown, self._wanted, has_calls=bool(self._called))
        chunks += self._closing(ending)
        return b"".join([*map(event, chunks), DONE])

    def _beside(self, part: Part) -> list[Any]:
        """Return the choice with new thinking, or with new text of a call."""
        call = part.label.call
        if call is None:
            delta = ChatDelta(reasoning_content=part.text)
            return [ChatChunkChoice(delta)] if part.text else []
        if call.index in self._called:
            piece = CallDelta(call.index, FunctionDelta(part.text))
            return [ChatChunkChoice(ChatDelta(tool_calls=[piece]))] if part.text else []
        self._called.add(call.index)
        piece = CallDelta(call.index, FunctionDelta(part.text, call.name), call.id, "function")
        return [ChatChunkChoice(ChatDelta(tool_calls=[piece]))]

    def _closing(self, ending: Ending) -> list[msgspec.Struct]:
        """Return the last chunks; remarks are in the very last one."""
        wanted, choices = self._wanted, [self._shape.closing(ending.reason)]
        if not wanted.has_usage:
            return [self._shape.chunk(wanted, choices, UNSET, ending.remarks)]
        return [
            self._shape.chunk(wanted, choices, None),
            self._shape.chunk(wanted, [], ending.usage, ending.remarks),
        ]

    def fail(self, error: SidestreamError) -> bytes:
        """Return the event for an answer that breaks off."""
        return event(openai_failure(error))


def whole_answer(shape: Shape, wanted: Wanted, generation: Generation) -> msgspec.Struct:
    """Write an answer that has ended."""
    shown = StopSequenceFilter(wanted.stops)
    pieces: list[Piece] = []
    beside: list[AnswerPiece] = []
    for part in whole(generation, kinds=wanted.kinds):
        is_answer = part.label.kind == "answer"
        pieces.append(_piece(shown, part if is_answer else None, wanted))
        if not is_answer and not shown.was_stopped:
            beside.append(AnswerPiece(part.text, part.label.kind, part.label.call))
    content = divide(beside)
    # The last part has the end.
    ending = _ending(cast(End, part.end), shown, wanted, has_calls=bool(content.tool_calls))
    return shape.whole(wanted, _joined(pieces), content, ending)


def _joined(pieces: Sequence[Piece]) -> Piece:
    tokens = [piece.tokens for piece in pieces if piece.tokens is not None]
    return Piece(
        "".join(piece.text for piece in pieces),
        [token for several in tokens for token in several] if tokens else None,
        pieces[0].offset,
    )


def _piece(shown: StopSequenceFilter, part: Part | None, wanted: Wanted) -> Piece:
    """Return new text of the answer; without a part, what is held back of it."""
    text, tokens = shown.flush() if part is None else shown.feed(part)
    # For text without tokens from the server no probabilities are made up.
    if wanted.has_logprobs and (not tokens or any(map(_is_told, tokens))):
        return Piece(text, tokens, shown.token_offset)
    return Piece(text)


def _is_told(token: TokenInfo) -> bool:
    return token.id != NO_TOKEN_ID or token.logprob is not None


def _ending(end: End, shown: StopSequenceFilter, wanted: Wanted, *, has_calls: bool) -> Ending:
    reason = _reason(end, shown, has_calls=has_calls)
    return Ending(reason, _usage(end), remarks_of(end, wanted.names))


def _reason(end: End, shown: StopSequenceFilter, *, has_calls: bool) -> OpenAIFinish:
    if shown.was_stopped:
        return "stop"
    if end.finish_reason == "length":
        return "length"
    if has_calls:
        return "tool_calls"
    return "content_filter" if end.details.get("finish_reason") == "content_filter" else "stop"


def _usage(end: End) -> OpenAIUsage:
    prompt = end.usage.prompt_tokens or 0
    answer = end.usage.completion_tokens
    cached = end.details.get("cached_tokens")
    thought = end.usage.reasoning_tokens
    return OpenAIUsage(
        prompt,
        answer,
        prompt + answer,
        UNSET if cached is None else PromptDetails(cached),
        UNSET if thought is None else CompletionDetails(thought),
    )


def _chat_logprobs(piece: Piece) -> ChatLogprobs | None:
    if piece.tokens is None:
        return None
    return ChatLogprobs(
        [
            TokenLogprob(
                token.text,
                _logprob(token),
                list(token.text.encode()),
                [
                    TopLogprob(other.text, _logprob(other), list(other.text.encode()))
                    for other in token.top or ()
                ],
            )
            for token in piece.tokens
        ]
    )


def _text_logprobs(piece: Piece) -> CompletionLogprobs | None:
    if piece.tokens is None:
        return None
    offsets = []
    offset = piece.offset
    for token in piece.tokens:
        offsets.append(offset)
        offset += len(token.text)
    has_alternatives = any(token.top is not None for token in piece.tokens)
    return CompletionLogprobs(
        tokens=[token.text for token in piece.tokens],
        token_logprobs=[_logprob(token) for token in piece.tokens],
        top_logprobs=(
            [{other.text: _logprob(other) for other in token.top or ()} for token in piece.tokens]
            if has_alternatives
            else None
        ),
        text_offset=offsets,
    )


def _logprob(token: TokenInfo | Alternative) -> float:
    return _NO_LOGPROB if token.logprob is None else max(token.logprob, _NO_LOGPROB)
