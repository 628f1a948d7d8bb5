"""Where a request came from, by which name and how, told apart from what it claims.

What a proxy adds (`X-Forwarded-For`, `-Proto`, `-Host`) counts only if the connection comes
from an address of `trusted_proxies`; from everybody else it is passed over. Of a chain of
addresses the last one counts that is no trusted proxy's: what stands before it, anybody could
have written.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import web

from server.settings import Network


@dataclass(frozen=True)
class Peer:
    """A client as the nearest trusted party saw it."""

    address: str
    host: str
    is_encrypted: bool


PEER = web.RequestKey("peer", Peer)
PROXIES = web.AppKey("proxies", Sequence[Network])


def peer_of(request: web.Request) -> Peer:
    """Return where the request came from."""
    peer = request.get(PEER)
    if peer is None:
        peer = request[PEER] = _find(request, request.app[PROXIES])
    return peer


def _find(request: web.Request, proxies: Sequence[Network]) -> Peer:
    address = request.remote or ""
    # aiohttp would look the machine's own name up, and everybody would wait for that.
    host = request.host if "Host" in request.headers else ""
    seen = Peer(address, host, request.secure)
    if not _is_one_of(address, proxies):
        return seen
    for claimed in reversed(_list(request, "X-Forwarded-For")):
        if _parse(claimed) is None:
            break
        address = claimed
        if not _is_one_of(address, proxies):
            break
    protocols = _list(request, "X-Forwarded-Proto")
    hosts = _list(request, "X-Forwarded-Host")
    return Peer(
        address,
        hosts[-1] if hosts else seen.host,
        protocols[-1].lower() in ("https", "wss") if protocols else seen.is_encrypted,
    )


def _list(request: web.Request, name: str) -> list[str]:
    values = ",".join(request.headers.getall(name, ()))
    return [value.strip() for value in values.split(",") if value.strip()]


def _is_one_of(address: str, networks: Sequence[Network]) -> bool:
    if not networks:
        return False
    parsed = _parse(address)
    return parsed is not None and any(parsed in network for network in networks)


def _parse(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return an address, one of IPv4 as that also where a socket for both writes it otherwise."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    return (parsed.ipv4_mapped or parsed) if parsed.version == 6 else parsed
