"""Write answers in TGI's form: an event per token, text and details with the last.

TGI distinguishes an answer that the model ended from one that a stop sequence ended; our log does
not, but its last token does. Special tokens have events, and are not part of the text.
"""

from collections.abc import Sequence

import msgspec

from server.chat.reading import Part
from server.chat.request import GenerationRequest
from server.core.errors import SidestreamError
from server.core.generation import Generation
from server.core.protocol import Alternative, End, TokenInfo
from server.web.failures import tgi_failure
from server.web.http.event_stream import event
from server.web.http.sidestream_field import remarks_of
from server.web.http.tgi.types import (
    Details,
    GenerateAnswer,
    StreamDetails,
    StreamEvent,
    TGIFinish,
    TGIToken,
)


def whole_answer(
    prepared: GenerationRequest, text: str, tokens: Sequence[TokenInfo], end: End
) -> GenerateAnswer:
    """Write an answer that has ended."""
    whole = _prefix(prepared) + text
    remarks = remarks_of(end)
    if not _wants_details(prepared):
        return GenerateAnswer(whole, sidestream=remarks)
    details = Details(
        *_ending(prepared, text, tokens, end),
        prefill=[],
        tokens=[_token(token) for token in tokens],
        top_tokens=(
            [_tokens(token.top or ()) for token in tokens]
            if prepared.parameters.get("top_n_tokens")
            else msgspec.UNSET
        ),
    )
    return GenerateAnswer(whole, details, remarks)


class TGIWriter:
    """Write an answer's events; thinking and calls of tools are text, as with TGI."""

    kinds: tuple[str, ...] = ()
    is_complete = False

    def __init__(self, prepared: GenerationRequest, generation: Generation) -> None:
        self._prepared = prepared
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
        return event(tgi_failure(error))

    def _event(self, token: TokenInfo, end: End | None) -> bytes:
        self._sent += 1
        top = msgspec.UNSET if token.top is None else _tokens(token.top)
        if end is None:
            return event(StreamEvent(self._sent, _token(token), None, None, top))
        text = self._generation.text
        details = None
        if _wants_details(self._prepared):
            details = StreamDetails(*_ending(self._prepared, text, [token], end))
        whole = _prefix(self._prepared) + text
        return event(StreamEvent(self._sent, _token(token), whole, details, top, remarks_of(end)))


def _wants_details(prepared: GenerationRequest) -> bool:
    return prepared.parameters.get("details", True) is not False


def _prefix(prepared: GenerationRequest) -> str:
    """Return the prompt if `return_full_text` asks for it before the answer."""
    is_wanted = prepared.parameters.get("return_full_text") is True
    return prepared.content if is_wanted and isinstance(prepared.content, str) else ""


def _ending(
    prepared: GenerationRequest, text: str, tokens: Sequence[TokenInfo], end: End
) -> tuple[TGIFinish, int, int | None, int | None]:
    """Return finish reason, generated tokens, seed and input length."""
    stops: Sequence[str] = prepared.parameters.get("stop", ())
    reason: TGIFinish = "eos_token"
    if end.finish_reason == "length":
        reason = "length"
    elif _is_stopped(text, stops, end) and not (tokens and tokens[-1].special):
        reason = "stop_sequence"
    usage = end.usage
    return reason, usage.completion_tokens, prepared.parameters.get("seed"), usage.prompt_tokens


def _is_stopped(text: str, stops: Sequence[str], end: End) -> bool:
    """Tell whether a stop sequence ended the answer: TGI leaves it in, other servers report it."""
    # A line feed may follow it in its token.
    shown = text.removesuffix("\n")
    stopped_at = end.details.get("stop", end.details.get("stop_reason"))
    return stopped_at in stops or any(text.endswith(s) or shown.endswith(s) for s in stops)


def _token(token: TokenInfo | Alternative) -> TGIToken:
    return TGIToken(token.id, token.text, token.logprob, token.special)


def _tokens(tokens: Sequence[Alternative]) -> list[TGIToken]:
    return [_token(token) for token in tokens]
