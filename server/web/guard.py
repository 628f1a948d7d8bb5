"""Keep other people's web pages away from a service on this machine.

A browser lets any page open a WebSocket to localhost, and lets a page whose name is made to
point at 127.0.0.1 speak HTTP to us. The first shows a foreign `Origin`, the second a
foreign `Host`; programs that are not browsers send no `Origin`.
"""

import ipaddress
from urllib.parse import urlsplit

from aiohttp import web

from server.core.errors import Forbidden
from server.settings import ServerSettings
from server.web.keys import SETTINGS

_LOOPBACK_NAMES = {"localhost", "localhost.localdomain", "ip6-localhost"}


def check_host(request: web.Request) -> None:
    """Raise `Forbidden` when the request names a host that is not ours."""
    name = _host_name(f"//{request.host}")
    if not _is_ours(name, request.app[SETTINGS].server):
        raise Forbidden(
            f"this server does not answer to the name {name[:80]!r}",
            hint="add it to `allowed_hosts` in [server]",
        )


def check_origin(request: web.Request) -> None:
    """Raise `Forbidden` when a page of another origin makes the request."""
    origin = request.headers.get("Origin")
    if origin is not None and _authority(origin) != request.host.lower():
        raise Forbidden(f"pages of {origin[:80]!r} may not use this server")


def principal_of(request: web.Request) -> str:
    """Return who is answerable for a request; without keys, everybody is one."""
    return "local"


def _is_ours(name: str, settings: ServerSettings) -> bool:
    ours = {allowed.lower() for allowed in (settings.host, *settings.allowed_hosts)}
    if name in _LOOPBACK_NAMES or name in ours:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    # A name can be made to point anywhere; an address is where the client really went.
    return True


def _authority(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _host_name(authority: str) -> str:
    try:
        return urlsplit(authority).hostname or ""
    except ValueError:
        return ""
