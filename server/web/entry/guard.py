"""Protect a service on this machine from foreign web pages.

A browser lets any page open a WebSocket to localhost, and lets a page whose name resolves to
127.0.0.1 (DNS rebinding) send us HTTP requests. The first has a foreign `Origin`, the second a
foreign `Host`. Requests for embedded content (pictures, scripts, frames) have no `Origin`, but
current browsers mark them as foreign in `Sec-Fetch-Site`. Other programs send neither header.
"""

from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from server.access.exposure import LOOPBACK_NAMES
from server.core.errors import Forbidden
from server.core.ip import parse_ip
from server.settings.tables import ServerSettings
from server.web.entry.peer import peer_of
from server.web.keys import SETTINGS

# What pages of allowed origins may send, and how long a browser may cache that.
_METHODS: Final = "GET, POST, PUT, PATCH, DELETE"
_HEADERS: Final = "Authorization, Content-Type"
_MAX_AGE_SECONDS: Final = 600
_PROXIES_PART: Final = (
    "or have the proxy pass on the name that the browser uses: in nginx, "
    "`proxy_set_header Host $http_host;`"
)


def check_host(request: web.Request) -> None:
    """Raise `Forbidden` when the request names a host that is not ours."""
    name = _host_name(f"//{peer_of(request).host}")
    if not _is_ours(name, request.app[SETTINGS].server):
        raise Forbidden(
            f"this server does not answer to the name {name[:80]!r}",
            hint=f"add it to `allowed_hosts` in [server]; {_PROXIES_PART}",
        )


def check_origin(request: web.Request) -> None:
    """Raise `Forbidden` when a page of another origin makes the request."""
    if "Origin" not in request.headers:
        _check_embedding(request)
    elif not is_of_our_page(request) and not has_allowed_origin(request):
        asked = peer_of(request).host[:80]
        raise Forbidden(
            f"pages of {request.headers['Origin'][:80]!r} may not use this server, which was "
            f"reached as {asked!r}",
            hint=f"add the origin to `allowed_origins` in [access]; {_PROXIES_PART}",
        )


def is_of_our_page(request: web.Request) -> bool:
    """Tell whether no page of another origin makes the request."""
    origin, peer = request.headers.get("Origin"), peer_of(request)
    if origin is None:
        return True
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    # A proxy may have added encryption that we cannot see.
    schemes = ("https",) if peer.is_encrypted else ("http", "https")
    return parts.scheme in schemes and parts.netloc.lower() == peer.host.lower()


def has_allowed_origin(request: web.Request) -> bool:
    """Tell whether the request comes from a page whose origin the settings allow."""
    origin = request.headers.get("Origin", "").lower()
    return origin in {allowed.lower() for allowed in request.app[SETTINGS].access.allowed_origins}


def is_preflight(request: web.Request) -> bool:
    """Tell whether a request is a CORS preflight."""
    return request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers


def answer_preflight() -> web.Response:
    """Answer a CORS preflight; cookies are never allowed."""
    return web.Response(
        status=204,
        headers={
            "Access-Control-Allow-Methods": _METHODS,
            "Access-Control-Allow-Headers": _HEADERS,
            "Access-Control-Max-Age": str(_MAX_AGE_SECONDS),
        },
    )


def _check_embedding(request: web.Request) -> None:
    site = request.headers.get("Sec-Fetch-Site")
    if site in ("cross-site", "same-site") and (
        # Following a link to one of our pages is allowed.
        request.headers.get("Sec-Fetch-Mode") != "navigate"
        or request.headers.get("Sec-Fetch-Dest") != "document"
    ):
        raise Forbidden("pages of other origins may not use this server")


def _is_ours(name: str, settings: ServerSettings) -> bool:
    ours = {allowed.lower() for allowed in (settings.host, *settings.allowed_hosts)}
    # Names can be made to resolve to us; an address is where the client really connected to.
    return name in LOOPBACK_NAMES or name in ours or parse_ip(name) is not None


def _host_name(authority: str) -> str:
    try:
        return urlsplit(authority).hostname or ""
    except ValueError:
        return ""
