"""Errors in HTTP responses, in the form of the API that the address belongs to.

    address                                       form
    /v1/…, /models/{id}/v1/…                      OpenAI's: {"error": {message, type, param, code}}
    /models/{id}/generate…, POST /models/{id}     TGI's: {"error": message, "error_type": …}
    all others                                    ours: {"error": {code, message}}

Each has our code, hint and details too. OpenAI's API has status 400 where ours has 422.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from aiohttp import web

from server.core.errors import (
    EngineError,
    EngineOverloaded,
    InvalidCommand,
    ModelFailed,
    PromptTooLong,
    QueueFull,
    RateLimited,
    ShuttingDown,
    SidestreamError,
    UnknownModel,
)
from server.core.protocol import End, ErrorInfo

# The wrong field of a body in a message. What msgspec misses may be deep in a field that it names.
_NAMED: Final = [
    re.compile(pattern)
    for pattern in (r"(?:at|in) `\$\.(\w+)", r"^`(\w+)", r"required field `(\w+)")
]
# Seconds before retrying 429 and 503 if nothing better is known.
RETRY_AFTER_SECONDS: Final = 5


class NotFound(SidestreamError):
    """No route has this address."""

    code = "not_found"
    status = 404


class MethodNotAllowed(SidestreamError):
    """The address takes other methods."""

    code = "method_not_allowed"
    status = 405


class TooLarge(InvalidCommand):
    """The body is larger than the settings allow."""

    code = "too_large"
    status = 413


class Failure(msgspec.Struct, frozen=True):
    """An error: `code` for a program, `message` and `hint` for people."""

    error: ErrorInfo


class TGIFailure(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error in TGI's form, with our code beside it."""

    error: str
    error_type: str
    code: str
    hint: str | None = None
    details: dict[str, Any] | None = None


class OpenAIError(msgspec.Struct, frozen=True):
    """The fields of an error in OpenAI's form."""

    message: str
    type: str
    param: str | None
    code: str
    hint: str | msgspec.UnsetType = msgspec.UNSET
    details: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET


class OpenAIFailure(msgspec.Struct, frozen=True):
    """An error in OpenAI's form."""

    error: OpenAIError


@dataclass(frozen=True)
class Form:
    """How an API writes an error: its struct, a function that makes it, its status."""

    struct: type[msgspec.Struct]
    write: Callable[[SidestreamError], msgspec.Struct]
    status: Callable[[SidestreamError], int]


def failure(error: SidestreamError) -> Failure:
    """Write an error in our form."""
    return Failure(ErrorInfo.of(error))


def tgi_failure(error: SidestreamError) -> TGIFailure:
    """Write an error in TGI's form, its `error_type` one of TGI's where there is one."""
    kind = error.code
    if isinstance(error, InvalidCommand):
        kind = "validation"
    elif isinstance(error, (EngineOverloaded, QueueFull, RateLimited)):
        kind = "overloaded"
    elif isinstance(error, EngineError):
        kind = "generation"
    return TGIFailure(error.message, kind, error.code, error.hint, error.details)


def openai_failure(error: SidestreamError) -> OpenAIFailure:
    """Write an error in OpenAI's form, with OpenAI's codes where there are any."""
    codes = {UnknownModel.code: "model_not_found", PromptTooLong.code: "context_length_exceeded"}
    kinds = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
    named = (pattern.search(error.message) for pattern in _NAMED)
    param = next((found[1] for found in named if found), None)
    return OpenAIFailure(
        OpenAIError(
            error.message,
            kinds.get(error.status)
            or ("server_error" if error.status >= 500 else "invalid_request_error"),
            "model" if isinstance(error, UnknownModel) else param,
            codes.get(error.code, error.code),
            msgspec.UNSET if error.hint is None else error.hint,
            msgspec.UNSET if error.details is None else error.details,
        )
    )


def _status(error: SidestreamError) -> int:
    return error.status


def _openai_status(error: SidestreamError) -> int:
    return 400 if error.status == 422 else error.status


OURS: Final = Form(Failure, failure, _status)
TGI: Final = Form(TGIFailure, tgi_failure, _status)
OPENAI: Final = Form(OpenAIFailure, openai_failure, _openai_status)

_OPENAI_PATH: Final = re.compile(r"(/+models/.+)?/+v1/.*", re.DOTALL)
_TGI_PATH: Final = re.compile(r"/models/.+/(generate|generate_stream|info|health)", re.DOTALL)
_COMPATIBLE_PATH: Final = re.compile(r"/models/[^/]+")


def form_at(method: str, path: str) -> Form:
    """Return the form of errors at an address, or at a route's pattern."""
    if _OPENAI_PATH.fullmatch(path):
        return OPENAI
    if _TGI_PATH.fullmatch(path) or (method == "POST" and _COMPATIBLE_PATH.fullmatch(path)):
        return TGI
    return OURS


def respond(request: web.Request, error: SidestreamError) -> web.Response:
    """Answer a request with an error."""
    # The route's pattern if there is one: an id may look like another address.
    resource = request.match_info.route.resource
    path = request.rel_url.path_safe if resource is None else resource.canonical
    form = form_at(request.method, path)
    headers = {}
    details = error.details or {}
    # After a final refusal no time is better than a wrong one.
    is_final = details.get("is_final") is True
    if error.status in (429, 503) and ("retry_after_seconds" in details or not is_final):
        seconds = details.get("retry_after_seconds", RETRY_AFTER_SECONDS)
        headers["Retry-After"] = str(math.ceil(seconds))
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if (isinstance(error, ModelFailed) or is_final) and form is OPENAI:
        # OpenAI's clients would otherwise retry twice, and start the model again each time.
        headers["x-should-retry"] = "false"
    return web.Response(
        body=msgspec.json.encode(form.write(error)),
        status=form.status(error),
        content_type="application/json",
        headers=headers,
    )


def refusal(response: web.HTTPException) -> SidestreamError:
    """Translate aiohttp's refusal of a request that no handler of ours got to see."""
    if isinstance(response, web.HTTPNotFound):
        return NotFound("nothing has this address")
    if isinstance(response, web.HTTPMethodNotAllowed):
        return MethodNotAllowed(f"this address does not take {response.method[:20]}")
    if isinstance(response, web.HTTPRequestEntityTooLarge):
        return TooLarge(
            "the body is too large", hint="`max_frame_bytes` in [server] says how large it may be"
        )
    return InvalidCommand(response.reason)


def failure_of(end: End) -> SidestreamError | None:
    """Return the error with which an answer has ended, if it has not ended well."""
    if end.finish_reason in ("stop", "length"):
        return None
    if end.error is None:
        return ShuttingDown("the answer was cut off: the server is about to stop")
    info = end.error
    kind = _classes().get(info.code, SidestreamError)
    return kind(info.message, hint=info.hint, details=info.details)


def _classes(root: type[SidestreamError] = SidestreamError) -> dict[str, type[SidestreamError]]:
    """Return the error classes by code; of several with one code, the one nearest the root."""
    found = {root.code: root}
    for child in root.__subclasses__():
        found = _classes(child) | found
    return found
