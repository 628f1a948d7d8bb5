"""What every request goes through: who may ask, errors as JSON, strict headers.

`guarded` is the place for whatever may refuse a request before its handler sees it. It
stands inside `errors`, so what it raises is answered in the form that the address speaks.
"""

import logging

from aiohttp import web
from aiohttp.typedefs import Handler

from server.core.errors import SidestreamError, Unauthorized
from server.web.entry.gate import CALLER, GATE
from server.web.entry.guard import (
    answer_preflight,
    check_host,
    check_origin,
    has_allowed_origin,
    is_preflight,
)
from server.web.entry.visits import HAS_BEGUN
from server.web.failures import refusal, respond

logger = logging.getLogger(__name__)

# The page brings everything it needs with it, and nothing of it stands inline.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
# What needs no key: signs of life, and what the page for signing in is made of.
_PUBLIC = frozenset(
    {"/health", "/ready", "/sign-in", "/sign-out", "/static/{version}/{name}", "/favicon.ico"}
)
# Where people come without knowing that they have to sign in.
_PAGES = frozenset({"/", "/docs"})


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
    """Refuse requests for another host, pages of another origin, and those who may not ask."""
    check_host(request)
    check_origin(request)
    if is_preflight(request):
        return answer_preflight()
    resource = request.match_info.route.resource
    address = "" if resource is None else resource.canonical
    if address in _PUBLIC:
        return await handler(request)
    gate = request.app[GATE]
    try:
        caller = request[CALLER] = gate.caller(request)
    except Unauthorized:
        if address in _PAGES and "Authorization" not in request.headers:
            raise web.HTTPSeeOther("/sign-in") from None
        raise
    gate.quota.take_request(caller)
    caller.principal.check_address(address)
    if "/models/{id}" in address:
        caller.principal.check_model(request.match_info["id"])
    with gate.visits.visit(request, caller.principal.id):
        return await handler(request)


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Put the strict headers on every response, and let pages of allowed origins read it."""
    request[HAS_BEGUN] = True
    # Not which Python and aiohttp it is: whoever looks for old ones asks everybody.
    response.headers["Server"] = "Sidestream"
    if has_allowed_origin(request):
        response.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
        response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        response.headers.add("Vary", "Origin")
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
