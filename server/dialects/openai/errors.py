"""Translate a server's errors in OpenAI's form into ours; this is the only place that does it.

Rules, the first that fits:

1. A status says most, whether it is the answer's or stands inside a stream that began as 200; where
   none does, the error's `type` stands for one.
2. A request that is refused for a while and one that is refused for good have the same status at
   some providers; their words tell them apart.
3. A prompt that is too long is known by its code or its words, whatever the status.
4. A refused parameter is named, so that a lenient request can be sent again without it.
5. What a chat template says to a conversation is about the conversation, and no fault of a server.
6. The server's words reach the user, without what was sent and without keys.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from server.core.errors import (
    EngineError,
    EngineLimited,
    EngineLost,
    EngineOverloaded,
    InvalidCommand,
    InvalidParameters,
    PromptTooLong,
    SidestreamError,
)
from server.dialects.http.client import Reply
from server.dialects.openai.limits import retry_after_seconds
from server.dialects.openai.refused import named_instead, refused_names
from server.dialects.openai.told import Told, told
from server.dialects.pictures import vision_refusal

# What a `type` or a `code` in words stands for, where no status is told.
_STATUS_OF_KIND: Final = (
    (re.compile(r"rate.?limit|insufficient_quota|too.?many.?requests", re.IGNORECASE), 429),
    (re.compile(r"overloaded|unavailable|server_busy", re.IGNORECASE), 503),
    (re.compile(r"authentication|unauthorized|invalid_api_key", re.IGNORECASE), 401),
    (re.compile(r"permission|forbidden", re.IGNORECASE), 403),
    (re.compile(r"not.?found", re.IGNORECASE), 404),
    (re.compile(r"invalid.?request|bad.?request|validation|exceed_context", re.IGNORECASE), 400),
)
_TOO_LONG_CODES: Final = re.compile(
    r"exceed_context_size|context_length_exceeded|ContextWindowExceeded|string_above_max_length"
)
_TOO_LONG: Final = re.compile(
    r"context[ _](?:length|size|window)|maximum (?:model|prompt|input) length"
    r"|(?:prompt|input|messages?|request|conversation)\b[^.]{0,60}\btoo (?:long|large|many tokens)"
    r"|too many (?:input |prompt )?tokens|`inputs` (?:tokens \+|must have less than)",
    re.IGNORECASE,
)
_HAS_TOKENS: Final = re.compile(
    r"\((\d+) tokens\) exceeds|(?:Given: |resulted in |request has )(\d+)"
    r"|(\d+) (?:tokens )?(?:in|from) (?:the|your) (?:prompt|messages|input)"
)
_HAS_CONTEXT: Final = re.compile(
    r"context size \((\d+) tokens|context length (?:is|of) (\d+)|must be <= (\d+)"
)
_FOR_LONG: Final = re.compile(
    r"per[- ](?:day|month|week)|daily|monthly|weekly|\b[RT]PD\b|insufficient_quota|billing"
    r"|exceeded your current quota|request too large",
    re.IGNORECASE,
)
_BUSY: Final = re.compile(
    r"busy|queue|pending requests|overloaded|at capacity|too many (?:concurrent )?requests",
    re.IGNORECASE,
)
_LOADING: Final = re.compile(
    r"^(?!.*(?:fail|error|could not|cannot|unable)).*(?:loading|is (?:still )?starting|warming up)",
    re.IGNORECASE,
)
# What a template itself says to a conversation, behind where it stands in the template.
_TEMPLATE: Final = re.compile(r"Jinja Exception: (.+)")
_NO_MODEL: Final = re.compile(r"invalid model name|model_not_found|server is pinned", re.IGNORECASE)
_LOST: Final = re.compile(
    r"EngineCore|EngineDead|APIConnectionError|Connection (?:error|refused)"
    r"|Server error: transport error|error trying to connect"
)
# TGI's streams tell the status of a refused request with every error.
_BROKE: Final = re.compile(r"^Request failed during generation")


class RefusedParameter(InvalidParameters):
    """The server refuses a parameter that it names, or one of its values.

    `parameters` are the server's own names; `use_instead` is the name it wants in place of one,
    empty if it says none.
    """

    def __init__(self, message: str, parameters: tuple[str, ...], use_instead: str = "") -> None:
        super().__init__(message)
        self.parameters = parameters
        self.use_instead = use_instead


class EngineLoading(EngineOverloaded):
    """The server is there and still loads its model."""


def failure(reply: Reply, *, engine: str = "the model server") -> SidestreamError:
    """Return what an answer with a status of 400 or more means.

    `engine` is what the server is called in the words.
    """
    error = told(reply.body)
    return vision_refusal(error.message) or _translate(error, reply.status, reply.headers, engine)


def failure_in_stream(body: object, *, engine: str = "the model server") -> SidestreamError:
    """Return what an error inside an answer that began as 200 means: text, or JSON decoded."""
    error = told(body)
    return vision_refusal(error.message) or _translate(error, 0, {}, engine)


def _translate(
    error: Told, status: int, headers: Mapping[str, str], engine: str
) -> SidestreamError:
    kind = f"{error.kind} {error.code}"
    status = status or error.status or _status_of(kind)
    words = error.message or f"status {status or 500} without a word"
    headers = {**headers, **error.headers}
    everything = f"{kind} {error.message}"
    if status == 429 or _is_rate_limit(kind):
        return _limited(everything, words, headers, engine)
    if status in (401, 403) or "no_db_connection" in kind:
        verb = "does not allow this with" if status == 403 else "refuses"
        return EngineError(
            f"{engine} {verb} the key in `api_key`: {words}",
            hint="Set a key that the server takes as `api_key`.",
        )
    if status == 402:
        return EngineError(
            f"{engine} wants to be paid first: {words}", hint="Asking again does not help."
        )
    if _is_too_long(error, kind, status):
        return PromptTooLong(words, details=_lengths(error))
    if status == 404 or _NO_MODEL.search(everything):
        return EngineError(f"{engine} reports: {words}")
    if status in (503, 529) and _LOADING.search(error.message):
        loading = EngineLoading(f"{engine} is not ready: {words}")
        loading.retry_after_seconds = retry_after_seconds(headers, words)
        return loading
    if _is_busy(error, status, headers):
        return EngineOverloaded(f"{engine} has no place for another request just now: {words}")
    if (refusal := _TEMPLATE.search(error.message)) is not None:
        return InvalidCommand(
            f"the model's chat template does not take this conversation: {refusal[1]}"
        )
    if status in (400, 422) and not _BROKE.search(error.message):
        return _refused(error, words)
    if _LOST.search(error.message):
        return EngineLost(f"{engine} reports: {words}")
    return EngineError(f"{engine} reports: {words}")


def _status_of(kind: str) -> int:
    return next((status for pattern, status in _STATUS_OF_KIND if pattern.search(kind)), 0)


def _is_rate_limit(kind: str) -> bool:
    return "rate_limit" in kind or "insufficient_quota" in kind


def _limited(
    everything: str, words: str, headers: Mapping[str, str], engine: str
) -> EngineOverloaded:
    wait = retry_after_seconds(headers, words)
    is_final = _FOR_LONG.search(everything) is not None
    if wait is None and not is_final and "overloaded" in everything.lower():
        return EngineOverloaded(f"{engine} has no place for another request just now: {words}")
    return EngineLimited(
        f"{engine} takes no more requests for now: {words}",
        retry_after_seconds=wait,
        is_final=is_final,
    )


def _is_too_long(error: Told, kind: str, status: int) -> bool:
    if _TOO_LONG_CODES.search(kind) or _TOO_LONG_CODES.search(error.message):
        return True
    if "input_tokens" in error.places or status == 413:
        return True
    return status in (0, 400, 422, 500) and _TOO_LONG.search(error.message) is not None


def _lengths(error: Told) -> dict[str, Any] | None:
    found = {
        name: error.facts[name] for name in ("n_prompt_tokens", "n_ctx") if name in error.facts
    }
    for name, pattern in (("n_prompt_tokens", _HAS_TOKENS), ("n_ctx", _HAS_CONTEXT)):
        match = pattern.search(error.message)
        if name not in found and match is not None:
            found[name] = int(next(group for group in match.groups() if group))
    return found or None


def _is_busy(error: Told, status: int, headers: Mapping[str, str]) -> bool:
    if status in (503, 529) and (_BUSY.search(error.message) or "retry-after" in headers):
        return True
    # Text Generation Inference tells 422 with its own words for it, inside a stream.
    return error.message == "Model is overloaded" or "overloaded_error" in error.kind


def _refused(error: Told, words: str) -> InvalidParameters:
    names = refused_names(error.message, error.places)
    if not names:
        return InvalidParameters(words)
    return RefusedParameter(words, parameters=names, use_instead=named_instead(error.message))
