"""Settings of access: keys, origins, encryption, and limits for one caller."""

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
    tls_certificate: str = option(
        "",
        "File (PEM) with the certificate for https, and those between it and its root; with "
        "`tls_key`. Empty serves http.",
    )
    tls_key: str = option("", "File (PEM) with the certificate's key, without a password.")
    requests_per_minute: int = option(
        600,
        "Requests, sockets and `generate` commands a minute for one key; 0 sets no limit, here and "
        "in the three that follow, which count only where there are keys or others reach the "
        "server. Ten a second is more than people and most tools ask.",
        low=0,
    )
    requests_per_minute_per_address: int = option(
        1_200, "The same for one address (of IPv6, one /64 network): a few people share it.", low=0
    )
    tokens_per_minute: int = option(
        120_000,
        "Generated tokens a minute for one key, after which new answers are refused for a while. "
        "Eight answers at once at 250 tokens a second each.",
        low=0,
    )
    tokens_per_minute_per_address: int = option(
        240_000, "The same for one address: a few people share it.", low=0
    )
    request_timeout: float = option(
        30.0,
        "Seconds in which a request's body has to arrive. Prompts are short; a slower sender only "
        "holds a place.",
        low=0.1,
    )
    connection_timeout: float = option(
        75.0,
        "Seconds that a connection may be open without a whole request, at first and after each "
        "answer. Longer than proxies keep theirs by default, so that they never use one just then.",
        low=1,
    )
    max_header_bytes: int = option(
        8_190,
        "Longest line and longest header field of a request; there may be 128 of them. What other "
        "servers allow; cookies of other services on one name add up.",
        low=1024,
        high=1_048_576,
    )


def networks_of(access: AccessSettings) -> tuple[Network, ...]:
    """Return `trusted_proxies` as networks; raises `ValueError` if one is none."""
    return tuple(map(ipaddress.ip_network, access.trusted_proxies))


def access_problems(access: AccessSettings) -> Iterator[tuple[str, str]]:
    """Give each key with a value that makes no sense, and why."""
    try:
        networks_of(access)
    except ValueError as error:
        yield "trusted_proxies", f"expected addresses or networks: {error}"
    if bool(access.tls_certificate) != bool(access.tls_key):
        missing = "tls_key" if access.tls_certificate else "tls_certificate"
        yield missing, "missing; a certificate and its key go together"
    for origin in access.allowed_origins:
        if not _ORIGIN.fullmatch(origin):
            yield "allowed_origins", f"expected http(s)://HOST[:PORT], found {origin!r}"
