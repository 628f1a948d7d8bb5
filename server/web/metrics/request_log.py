"""Every request's id, its line in the log and its metrics.

This is the outermost middleware, so it sees the answers of all the others too.
"""

import logging
import time
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from server.core.trace import (
    REQUEST_ID_HEADER,
    TRACEPARENT_HEADER,
    Trace,
    enter,
    read_trace,
)
from server.web.entry.peer import peer_of
from server.web.keys import REQUEST_COUNTERS

logger = logging.getLogger(__name__)

TRACE: Final = web.RequestKey("trace", Trace)

# As nginx has it: the client went away before it was answered.
_CLIENT_GONE: Final = 499
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# Requested every few seconds by programs, or for every page: of interest only when they fail.
_QUIET: Final = ("/health", "/ready", "/metrics", "/static/")
_MAX_PATH_CHARS: Final = 200


@web.middleware
async def logged(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give a request its id; count and log it when it has been answered."""
    began = time.monotonic()
    headers = request.headers
    trace = read_trace(headers.get(REQUEST_ID_HEADER), headers.get(TRACEPARENT_HEADER))
    request[TRACE] = trace
    enter(trace)
    status = _CLIENT_GONE
    try:
        response = await handler(request)
        status = response.status
        return response
    except web.HTTPException as answer:
        status = answer.status
        raise
    finally:
        _log(request, status, time.monotonic() - began)


async def add_request_id(request: web.Request, response: web.StreamResponse) -> None:
    """Tell the client its request's id."""
    trace = request.get(TRACE)
    if trace is not None:
        response.headers[REQUEST_ID_HEADER] = trace.request_id


def _log(request: web.Request, status: int, seconds: float) -> None:
    resource = request.match_info.route.resource
    route = "unknown" if resource is None else resource.canonical
    method = request.method if request.method in _METHODS else "other"
    request.app[REQUEST_COUNTERS].count_request(method, route, status, seconds)
    is_quiet = status < 400 and route.startswith(_QUIET)
    # As it was sent, percent-encoded; without the query, which may hold a ticket.
    path = request.rel_url.raw_path[:_MAX_PATH_CHARS]
    logger.log(
        logging.DEBUG if is_quiet else logging.INFO,
        "%s %s %d",
        method,
        path,
        status,
        extra={
            "fields": {
                "route": route,
                "status": status,
                "duration_ms": round(seconds * 1000, 1),
                "remote": peer_of(request).address,
            }
        },
    )
