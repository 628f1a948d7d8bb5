"""What every request goes through: host check, errors as JSON, strict headers."""

import logging

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from server.core.errors import SidestreamError
from server.web.guard import check_host

logger = logging.getLogger(__name__)

RETRY_AFTER_SECONDS = "5"

# The page brings everything it needs with it, and nothing of it stands inline.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn errors into `{"error": {code, message}}` with a fitting status."""
    try:
        check_host(request)
        return await handler(request)
    except SidestreamError as error:
        return error_response(error)
    except web.HTTPException as response:
        if response.status < 400:
            raise
        code = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}.get(
            response.status, "invalid_command"
        )
        return _json(
            {"error": {"code": code, "message": response.reason}},
            response.status,
            {"Allow": response.headers["Allow"]} if "Allow" in response.headers else {},
        )
    except Exception:
        logger.exception("%s %s broke", request.method, request.path)
        return error_response(SidestreamError("internal error"))


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Put the strict headers on every response."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)


def error_response(error: SidestreamError) -> web.Response:
    """Write an error of our tree as an HTTP response."""
    # 429 and 503 pass: a client that waits a little may try again.
    headers = {"Retry-After": RETRY_AFTER_SECONDS} if error.status in (429, 503) else {}
    return _json({"error": error.to_wire()}, error.status, headers)


def _json(body: object, status: int, headers: dict[str, str]) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(body),
        status=status,
        content_type="application/json",
        headers=headers,
    )
