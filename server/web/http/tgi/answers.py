"""Write answers as Hugging Face's TGI does: token by token, text and details with the last.

TGI tells an answer that the model ended from one that a stop sequence ended; our log does
not, but its last token does. Special tokens are told, and are not part of the text.
"""

from collections.abc import Sequence

import msgspec

from server.chat.reading import Part
from server.chat.request import Request
from server.core.errors import SidestreamError
from server.core.generation import Generation
from server.core.protocol import Alternative, End, TokenInfo
from server.web.failures import tgi_failure
from server.web.http import sse
from server.web.http.beyond import remarks_of
from server.web.http.tgi.types import (
    Details,
    GenerateAnswer,
    StreamDetails,
    StreamEvent,
    TGIFinish,
    Token,
)


def whole_answer(
    question: Request, text: str, tokens: Sequence[TokenInfo], end: End
) -> GenerateAnswer:
    """Write an answer that has ended."""
    whole = _prefix(question) + text
    remarks = remarks_of(end)
    if not _wants_details(question):
        return GenerateAnswer(whole, sidestream=remarks)
    details = Details(
        *_ending(question, text, tokens, end),
        prefill=[],
        tokens=[_token(token) for token in tokens],
        top_tokens=(
            [_tokens(token.top or ()) for token in tokens]
            if question.parameters.get("top_n_tokens")
            else msgspec.UNSET
        ),
    )
    return GenerateAnswer(whole, details, remarks)


class TGIWriter:
    """Write an answer's events."""

    is_complete = False

    def __init__(self, question: Request, generation: Generation) -> None:
        self._question = question
        self._generation = generation
        self._sent = 0

    def write(self, part: Part) -> bytes:
        """Return an event for each token."""
        tokens = part.tokens
        if part.end is not None and not tokens:
            # There is always a token in the last event.
            tokens = [TokenInfo(0, "", None, special=True)]
        last = len(tokens) - 1
        return b"".join(
            [
                self._event(token, part.end if place == last else None)
                for place, token in enumerate(tokens)
            ]
        )

    def fail(self, error: SidestreamError) -> bytes:
        """Return the event for an answer that breaks off."""
        return sse.event(tgi_failure(error))

    def _event(self, token: TokenInfo, end: End | None) -> bytes:
        self._sent += 1
        top = msgspec.UNSET if token.top is None else _tokens(token.top)
        if end is None:
            return sse.event(StreamEvent(self._sent, _token(token), None, None, top))
        text = self._generation.text
        details = None
        if _wants_details(self._question):
            details = StreamDetails(*_ending(self._question, text, [token], end))
        whole = _prefix(self._question) + text
        return sse.event(
            StreamEvent(self._sent, _token(token), whole, details, top, remarks_of(end))
        )


def _wants_details(question: Request) -> bool:
    return question.parameters.get("details", True) is not False


def _prefix(question: Request) -> str:
    """Return what stands before the answer's text when the whole text is wanted."""
    is_wanted = question.parameters.get("return_full_text") is True
    return question.content if is_wanted and isinstance(question.content, str) else ""


def _ending(
    question: Request, text: str, tokens: Sequence[TokenInfo], end: End
) -> tuple[TGIFinish, int, int | None, int | None]:
    """Return finish reason, generated tokens, seed and input length."""
    stops: Sequence[str] = question.parameters.get("stop", ())
    reason: TGIFinish = "eos_token"
    if end.finish_reason == "length":
        reason = "length"
    elif _is_stopped(text, stops, end) and not (tokens and tokens[-1].special):
        reason = "stop_sequence"
    usage = end.usage
    return reason, usage.completion_tokens, question.parameters.get("seed"), usage.prompt_tokens


def _is_stopped(text: str, stops: Sequence[str], end: End) -> bool:
    """Tell whether a stop sequence ended the answer: TGI leaves it in, others tell of it."""
    # A line feed may follow it in its token.
    shown = text.removesuffix("\n")
    stopped_at = end.details.get("stop", end.details.get("stop_reason"))
    return stopped_at in stops or any(text.endswith(s) or shown.endswith(s) for s in stops)


def _token(token: TokenInfo | Alternative) -> Token:
    return Token(token.id, token.text, token.logprob, token.special)


def _tokens(tokens: Sequence[Alternative]) -> list[Token]:
    return [_token(token) for token in tokens]
