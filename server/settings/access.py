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
    """Who may use the server, beside `allowed_hosts` in [server], and the limits of one caller."""

    insecure: bool = option(
        False,
        "Whether the server may be reached from elsewhere without any key. Then everybody who "
        "reaches it is an operator. Without this it refuses to start until there is a key "
        "(`python3 run.py key add NAME`).",
    )
    allowed_origins: tuple[str, ...] = option(
        (),
        "Other origins, such as `https://tools.example`, whose pages may open sockets here and "
        "read answers (CORS). They have to show a key.",
    )
    trusted_proxies: tuple[str, ...] = option(
        (),
        "Addresses or networks, such as `127.0.0.1, 10.0.0.0/8`, of proxies in front of this "
        "server. `X-Forwarded-For`, `-Proto` and `-Host` count only from them. If there are any, "
        "the server counts as reachable from elsewhere, whatever `host` is.",
    )
    sign_in_lifetime: float = option(
        2_592_000.0,
        "Seconds that a browser stays signed in, at most until the server restarts. By default 30 "
        "days, so that a forgotten browser loses its access.",
        low=60,
    )
    tls_certificate: str = option(
        "",
        "File (PEM) with the certificate for https and its intermediate certificates; needs "
        "`tls_key`. Empty serves http.",
    )
    tls_key: str = option("", "File (PEM) with the certificate's key, without a password.")
    requests_per_minute: int = option(
        600,
        "Requests, sockets and `generate` commands a minute for one key; 0 sets no limit. This "
        "limit and the next three apply only if there are keys or the server is reachable from "
        "elsewhere. Ten a second is more than people and most tools need.",
        low=0,
    )
    requests_per_minute_per_address: int = option(
        1_200,
        "The same for one address (in IPv6 for one /64 network), which a few people may share.",
        low=0,
    )
    tokens_per_minute: int = option(
        120_000,
        "Generated tokens a minute for one key; beyond them new answers are refused for a while. "
        "The default is eight answers at once at 250 tokens a second each.",
        low=0,
    )
    tokens_per_minute_per_address: int = option(
        240_000, "The same for one address, which a few people may share.", low=0
    )
    request_timeout: float = option(
        30.0,
        "Seconds in which a request's body has to arrive. Prompts are short; a slower sender only "
        "occupies a connection.",
        low=0.1,
    )
    connection_timeout: float = option(
        75.0,
        "Seconds that a connection may be open without a whole request, at first and after each "
        "answer. Longer than proxies keep their connections by default, so that no proxy uses one "
        "that is just being closed.",
        low=1,
    )
    max_header_bytes: int = option(
        8_190,
        "Longest request line and longest header field, in bytes; a request may have 128 fields. "
        "Other servers have the same limit. The cookies of all services under one host name add "
        "up.",
        low=1024,
        high=1_048_576,
    )


def networks_of(access: AccessSettings) -> tuple[Network, ...]:
    """Return `trusted_proxies` as networks; raises `ValueError` for an invalid one."""
    return tuple(map(ipaddress.ip_network, access.trusted_proxies))


def access_problems(access: AccessSettings) -> Iterator[tuple[str, str]]:
    """Yield each key with an invalid value, and why it is invalid."""
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
