"""The client of a request: its address, the host it named, and whether it is encrypted.

`X-Forwarded-For`, `-Proto` and `-Host` count only if the connection comes from one of
`trusted_proxies`, and are ignored otherwise. Of a chain of addresses the last one that is no
trusted proxy counts: those before it may be forged.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import web

from server.core.ip import parse_ip
from server.settings.access import Network


@dataclass(frozen=True)
class Peer:
    """A client as the nearest trusted proxy, or we, saw it."""

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
    # A socket of both families writes an IPv4 address as one of IPv6.
    address = str(parse_ip(request.remote or "") or request.remote or "")
    # Without the header aiohttp would resolve the machine's own name, which blocks the loop.
    host = request.host if "Host" in request.headers else ""
    seen = Peer(address, host, request.secure)
    if not _is_one_of(address, proxies):
        return seen
    for claimed in reversed(_list(request, "X-Forwarded-For")):
        if parse_ip(claimed) is None:
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
    parsed = parse_ip(address)
    return parsed is not None and any(parsed in network for network in networks)
