"""Keep other people's web pages away from a service on this machine.

A browser lets any page open a WebSocket to localhost, and lets a page whose name is made to
point at 127.0.0.1 speak HTTP to us. The first shows a foreign `Origin`, the second a
foreign `Host`. What a page embeds (pictures, scripts, frames) shows no `Origin`, but current
browsers say in `Sec-Fetch-Site` that it is foreign. Programs that are not browsers send neither.
"""

import ipaddress
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from server.access.exposure import LOOPBACK_NAMES
from server.core.errors import Forbidden
from server.settings import ServerSettings
from server.web.entry.peer import peer_of
from server.web.keys import SETTINGS

# What a page of an allowed origin may send, and for how long its browser may remember that.
_METHODS: Final = "GET, POST, PUT, PATCH, DELETE"
_HEADERS: Final = "Authorization, Content-Type"
_MAX_AGE_SECONDS: Final = 600


def check_host(request: web.Request) -> None:
    """Raise `Forbidden` when the request names a host that is not ours."""
    name = _host_name(f"//{peer_of(request).host}")
    if not _is_ours(name, request.app[SETTINGS].server):
        raise Forbidden(
            f"this server does not answer to the name {name[:80]!r}",
            hint="add it to `allowed_hosts` in [server]",
        )


def check_origin(request: web.Request) -> None:
    """Raise `Forbidden` when a page of another origin makes the request."""
    if "Origin" not in request.headers:
        _check_embedding(request)
    elif not is_of_our_page(request) and not has_allowed_origin(request):
        raise Forbidden(
            f"pages of {request.headers['Origin'][:80]!r} may not use this server",
            hint="add the origin to `allowed_origins` in [access]",
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
    # Where we know of no encryption, a proxy may add it.
    schemes = ("https",) if peer.is_encrypted else ("http", "https")
    return parts.scheme in schemes and parts.netloc.lower() == peer.host.lower()


def has_allowed_origin(request: web.Request) -> bool:
    """Tell whether the request comes from a page whose origin the settings allow."""
    origin = request.headers.get("Origin", "").lower()
    return origin in {allowed.lower() for allowed in request.app[SETTINGS].access.allowed_origins}


def is_preflight(request: web.Request) -> bool:
    """Tell whether a browser asks what a page may ask."""
    return request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers


def answer_preflight() -> web.Response:
    """Say what pages of allowed origins may send; never a cookie."""
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
        # Somebody who follows a link comes to a page of ours, in a window of its own.
        request.headers.get("Sec-Fetch-Mode") != "navigate"
        or request.headers.get("Sec-Fetch-Dest") != "document"
    ):
        raise Forbidden("pages of other origins may not use this server")


def _is_ours(name: str, settings: ServerSettings) -> bool:
    ours = {allowed.lower() for allowed in (settings.host, *settings.allowed_hosts)}
    if name in LOOPBACK_NAMES or name in ours:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    # A name can be made to point anywhere; an address is where the client really went.
    return True


def _host_name(authority: str) -> str:
    try:
        return urlsplit(authority).hostname or ""
    except ValueError:
        return ""
