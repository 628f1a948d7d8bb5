"""Write answers as OpenAI does, whole or in chunks.

A stream ends with a chunk that has the finish reason, then the one with the usage if it was
asked for, then `[DONE]`; one that breaks off ends with an event that holds the error.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import msgspec
from msgspec import UNSET

from server.chat.reading import Part
from server.core.errors import SidestreamError
from server.core.protocol import Alternative, End, TokenInfo
from server.dialects.base import NO_TOKEN_ID
from server.web.failures import openai_failure
from server.web.http import sse
from server.web.http.beyond import Remarks, remarks_of
from server.web.http.openai.answers import (
    AnswerMessage,
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
    OpenAIFinish,
    OpenAIUsage,
    PromptDetails,
    TokenLogprob,
    TopLogprob,
)
from server.web.http.shown_text import ShownText

# OpenAI's way to say that a token was as good as impossible, where there is no number.
_NO_LOGPROB: Final = -9999.0

Usage = OpenAIUsage | msgspec.UnsetType | None


@dataclass(frozen=True)
class Wanted:
    """What is asked for beside the text itself, and what every chunk repeats."""

    id: str
    model: str
    stops: Sequence[str] = ()
    has_logprobs: bool = False
    has_usage: bool = False
    echo: str = ""
    created: int = field(default_factory=lambda: int(time.time()))


@dataclass(frozen=True)
class Piece:
    """Text that is shown, and if asked for its tokens and where they begin."""

    text: str
    tokens: Sequence[TokenInfo] | None = None
    offset: int = 0


@dataclass(frozen=True)
class Ending:
    """How an answer ended, what it cost, and what is to be remarked about it."""

    reason: OpenAIFinish
    usage: OpenAIUsage
    remarks: Remarks


class Shape(Protocol):
    """How one kind of answer is written."""

    def opening(self, wanted: Wanted) -> list[Any]:
        """Return the choices that stand before the answer's own text."""

    def news(self, piece: Piece) -> Any:
        """Return the choice that brings new text."""

    def closing(self, reason: OpenAIFinish) -> Any:
        """Return the choice that tells the end."""

    def chunk(
        self, wanted: Wanted, choices: list[Any], usage: Usage, remarks: Remarks = UNSET
    ) -> msgspec.Struct:
        """Return a stream's event."""

    def whole(self, wanted: Wanted, piece: Piece, ending: Ending) -> msgspec.Struct:
        """Return a whole answer."""


class Chat:
    """Write the assistant's turn of a conversation."""

    def opening(self, wanted: Wanted) -> list[Any]:
        """Say who speaks."""
        return [ChatChunkChoice(ChatDelta(role="assistant", content=""))]

    def news(self, piece: Piece) -> Any:
        """Return the choice that brings new text."""
        return ChatChunkChoice(ChatDelta(content=piece.text), _chat_logprobs(piece))

    def closing(self, reason: OpenAIFinish) -> Any:
        """Return the choice that tells the end."""
        return ChatChunkChoice(ChatDelta(), finish_reason=reason)

    def chunk(
        self, wanted: Wanted, choices: list[Any], usage: Usage, remarks: Remarks = UNSET
    ) -> msgspec.Struct:
        """Return a stream's event."""
        return ChatChunk(
            wanted.id, wanted.created, wanted.model, choices, usage, sidestream=remarks
        )

    def whole(self, wanted: Wanted, piece: Piece, ending: Ending) -> msgspec.Struct:
        """Return a whole answer."""
        choice = ChatChoice(AnswerMessage(piece.text), _chat_logprobs(piece), ending.reason)
        return ChatCompletion(
            wanted.id,
            wanted.created,
            wanted.model,
            [choice],
            ending.usage,
            sidestream=ending.remarks,
        )


class Text:
    """Write what follows a text."""

    def opening(self, wanted: Wanted) -> list[Any]:
        """Repeat the prompt if that was asked for."""
        return [CompletionChoice(wanted.echo)] if wanted.echo else []

    def news(self, piece: Piece) -> Any:
        """Return the choice that brings new text."""
        return CompletionChoice(piece.text, _text_logprobs(piece))

    def closing(self, reason: OpenAIFinish) -> Any:
        """Return the choice that tells the end."""
        return CompletionChoice("", finish_reason=reason)

    def chunk(
        self, wanted: Wanted, choices: list[Any], usage: Usage, remarks: Remarks = UNSET
    ) -> msgspec.Struct:
        """Return a stream's event."""
        return Completion(
            wanted.id, wanted.created, wanted.model, choices, usage, sidestream=remarks
        )

    def whole(self, wanted: Wanted, piece: Piece, ending: Ending) -> msgspec.Struct:
        """Return a whole answer."""
        text = wanted.echo + piece.text
        choice = CompletionChoice(text, _text_logprobs(piece), ending.reason)
        return self.chunk(wanted, [choice], ending.usage, ending.remarks)


class OpenAIWriter:
    """Write a stream's events."""

    def __init__(self, shape: Shape, wanted: Wanted) -> None:
        self.is_complete = False
        self._shape = shape
        self._wanted = wanted
        self._shown = ShownText(wanted.stops)
        self._has_begun = False

    def write(self, part: Part) -> bytes:
        """Return the chunks for what is new."""
        piece = _piece(self._shown, part, self._wanted)
        self.is_complete = self._shown.was_stopped
        choices: list[Any] = []
        if not self._has_begun:
            self._has_begun = True
            choices += self._shape.opening(self._wanted)
        if piece.text or piece.tokens:
            choices.append(self._shape.news(piece))
        usage = None if self._wanted.has_usage else UNSET
        chunks = [self._shape.chunk(self._wanted, [choice], usage) for choice in choices]
        if part.end is None:
            return b"".join(map(sse.event, chunks))
        chunks += self._closing(_ending(part.end, self._shown))
        return b"".join([*map(sse.event, chunks), sse.DONE])

    def _closing(self, ending: Ending) -> list[msgspec.Struct]:
        """Return the last chunks, the very last one with what is to be remarked."""
        wanted, choices = self._wanted, [self._shape.closing(ending.reason)]
        if not wanted.has_usage:
            return [self._shape.chunk(wanted, choices, UNSET, ending.remarks)]
        return [
            self._shape.chunk(wanted, choices, None),
            self._shape.chunk(wanted, [], ending.usage, ending.remarks),
        ]

    def fail(self, error: SidestreamError) -> bytes:
        """Return the event for an answer that breaks off."""
        return sse.event(openai_failure(error))


def whole_answer(
    shape: Shape, wanted: Wanted, text: str, tokens: Sequence[TokenInfo], end: End
) -> msgspec.Struct:
    """Write an answer that has ended."""
    shown = ShownText(wanted.stops)
    piece = _piece(shown, Part(text, tokens, end), wanted)
    return shape.whole(wanted, piece, _ending(end, shown))


def _piece(shown: ShownText, part: Part, wanted: Wanted) -> Piece:
    text, tokens = shown.feed(part)
    # Of text that the server tells no tokens of, no probability is made up.
    if wanted.has_logprobs and (not tokens or any(map(_is_told, tokens))):
        return Piece(text, tokens, shown.token_offset)
    return Piece(text)


def _is_told(token: TokenInfo) -> bool:
    return token.id != NO_TOKEN_ID or token.logprob is not None


def _ending(end: End, shown: ShownText) -> Ending:
    return Ending(_reason(end, shown), _usage(end), remarks_of(end))


def _reason(end: End, shown: ShownText) -> OpenAIFinish:
    if shown.was_stopped:
        return "stop"
    if end.finish_reason == "length":
        return "length"
    return "content_filter" if end.details.get("finish_reason") == "content_filter" else "stop"


def _usage(end: End) -> OpenAIUsage:
    prompt = end.usage.prompt_tokens or 0
    answer = end.usage.completion_tokens
    cached = end.details.get("cached_tokens")
    thought = end.details.get("reasoning_tokens")
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
