"""What every request goes through: who may ask, errors as JSON, strict headers.

`guarded` is the place for whatever may refuse a request before its handler sees it. It
stands inside `errors`, so what it raises is answered in the form that the address speaks.
"""

import logging

from aiohttp import web
from aiohttp.typedefs import Handler

from server.core.errors import SidestreamError
from server.web.failures import refusal, respond
from server.web.guard import check_host, check_origin

logger = logging.getLogger(__name__)

# The page brings everything it needs with it, and nothing of it stands inline.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn errors into JSON with a fitting status."""
    try:
        return await handler(request)
    except SidestreamError as error:
        return respond(request, error)
    except web.HTTPException as response:
        if response.status < 400:
            raise
        answer = respond(request, refusal(response))
        answer.headers.update({k: v for k, v in response.headers.items() if k == "Allow"})
        return answer
    except ConnectionError as error:
        # The client has gone before its answer began: nobody is there to be told.
        logger.debug("%s %s: %s", request.method, request.path, error)
        return respond(request, SidestreamError("the connection is gone"))
    except Exception:
        logger.exception("%s %s broke", request.method, request.path)
        return respond(request, SidestreamError("internal error"))


@web.middleware
async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse requests for another host, and changes that a page of another origin asks for."""
    check_host(request)
    if request.method not in _SAFE_METHODS:
        check_origin(request)
    return await handler(request)


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Put the strict headers on every response."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
