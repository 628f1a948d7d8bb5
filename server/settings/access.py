"""Settings of who may come in, and of how much one caller may ask."""

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass

from server.settings.values import option

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_ORIGIN = re.compile(r"https?://[^/\s@?#]+")


@dataclass(frozen=True)
class AccessSettings:
    """Who may come in, beside `allowed_hosts` in [server], and how much one caller may ask."""

    insecure: bool = option(
        False,
        "Whether the server may be reached from elsewhere without any key. Then everybody who "
        "reaches it is an operator. Without this it refuses to start until there is a key "
        "(`python3 run.py key add NAME`).",
    )
    allowed_origins: tuple[str, ...] = option(
        (),
        "Origins, such as `https://tools.example`, beside the server's own whose pages may use it: "
        "they open sockets, and CORS lets them read answers. They have to show a key.",
    )
    trusted_proxies: tuple[str, ...] = option(
        (),
        "Addresses or networks, such as `127.0.0.1, 10.0.0.0/8`, of proxies before this server. "
        "Only their word on `X-Forwarded-For`, `-Proto` and `-Host` counts. With any, others are "
        "taken to reach the server, whatever `host` is.",
    )
    sign_in_lifetime: float = option(
        2_592_000.0,
        "Seconds that a browser stays signed in, at most until the server restarts: 30 days, after "
        "which a forgotten browser is worth nothing.",
        low=60,
    )


def networks_of(access: AccessSettings) -> tuple[Network, ...]:
    """Return `trusted_proxies` as networks; raises `ValueError` if one is none."""
    return tuple(map(ipaddress.ip_network, access.trusted_proxies))


def access_problems(access: AccessSettings) -> Iterator[tuple[str, str]]:
    """Give each key whose value cannot be meant, and why."""
    try:
        networks_of(access)
    except ValueError as error:
        yield "trusted_proxies", f"expected addresses or networks: {error}"
    for origin in access.allowed_origins:
        if not _ORIGIN.fullmatch(origin):
            yield "allowed_origins", f"expected http(s)://HOST[:PORT], found {origin!r}"
