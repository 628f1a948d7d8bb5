"""Middleware for every request: access, errors as JSON, strict headers.

All that may refuse a request before its handler runs is in `guarded`. It runs inside `errors`, so
its errors are answered in the form that the address speaks.
"""

import logging

from aiohttp import web
from aiohttp.typedefs import Handler

from server.core.errors import SidestreamError, Unauthorized
from server.web.entry.active_requests import HAS_BEGUN
from server.web.entry.gate import CALLER, GATE
from server.web.entry.guard import (
    answer_preflight,
    check_host,
    check_origin,
    has_allowed_origin,
    is_preflight,
)
from server.web.entry.roles import role_for
from server.web.failures import refusal, respond
from server.web.page import PAGE

logger = logging.getLogger(__name__)

# The page loads everything from this server, and has nothing inline.
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
# Not the versions of Python and aiohttp, which scanners look for.
SERVER = {"Server": "Sidestream"}
# A browser that opens these without a key is redirected to the sign-in page.
_PAGES = frozenset({"/", "/docs"})
_SIGN_IN = "/sign-in"


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn errors into JSON with a fitting status."""
    try:
        return await handler(request)
    except SidestreamError as error:
        return _respond(request, error)
    except web.HTTPException as response:
        if response.status < 400:
            raise
        answer = respond(request, refusal(response))
        answer.headers.update({k: v for k, v in response.headers.items() if k == "Allow"})
        return answer
    except ConnectionError as error:
        # The client is gone before its answer began; nobody reads this one.
        logger.debug("%s %s: %s", request.method, request.path, error)
        return respond(request, SidestreamError("the connection is gone"))
    except Exception:
        logger.exception("%s %s broke", request.method, request.path)
        return respond(request, SidestreamError("internal error"))


@web.middleware
async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse requests for other hosts, from foreign pages, and from callers without the right."""
    check_host(request)
    check_origin(request)
    if is_preflight(request):
        return answer_preflight()
    address = _address_of(request)
    role = role_for(request)
    if role == "anyone":
        return await handler(request)
    gate = request.app[GATE]
    try:
        caller = request[CALLER] = gate.caller(request)
    except Unauthorized:
        if address in _PAGES and "Authorization" not in request.headers:
            raise web.HTTPSeeOther("sign-in") from None
        raise
    gate.quota.take_request(caller)
    caller.principal.check_role(role, address)
    if "/models/{id}" in address:
        caller.principal.check_model(request.match_info["id"])
    with gate.active_requests.track(request, caller.principal.id):
        return await handler(request)


def _respond(request: web.Request, error: SidestreamError) -> web.Response:
    """Answer with an error: one of our pages, opened in a browser, with words for people."""
    is_page = _address_of(request) in _PAGES | {_SIGN_IN}
    if is_page and "text/html" in request.headers.get("Accept", ""):
        return request.app[PAGE].refuse(error)
    return respond(request, error)


def _address_of(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return "" if resource is None else resource.canonical


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Put the strict headers on every response, and let pages of allowed origins read it."""
    request[HAS_BEGUN] = True
    response.headers.update(SERVER)
    if has_allowed_origin(request):
        response.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
        response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        response.headers.add("Vary", "Origin")
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
