"""A connection to a server, or to a proxy that leads there: addresses, encryption, words.

Rules:

1. All addresses of a name are tried, the two families in turn, and the next one without waiting
   for an answer that does not come (RFC 8305). `localhost` is both loopback addresses, whatever
   the system's files say.
2. What encrypts end to end goes through a proxy's `CONNECT`; the proxy sees neither path nor key.
3. The time limit is for all of it together.
"""

import asyncio
import ipaddress
import os
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, replace
from http import HTTPStatus
from itertools import zip_longest
from typing import Any, Final, cast

from server.core.container import HINT
from server.core.errors import EngineError, EngineLost
from server.dialects.http.head import write_head
from server.dialects.http.origin import Origin, is_loopback
from server.dialects.http.silence import Clock, within
from server.dialects.http.stream import HTTPStream
from server.dialects.http.timeouts import Timeouts
from server.dialects.http.tls import refusal

# What RFC 8305, 5 recommends between two attempts.
_ATTEMPT_DELAY_SECONDS: Final = 0.25

# A family, and a place in the form that the family has.
Address = tuple[int, tuple[Any, ...]]


@dataclass(frozen=True)
class Way:
    """How to get to a server: directly or by a proxy, and encrypted how."""

    origin: Origin
    proxy: Origin | None
    contexts: Callable[[Origin], ssl.SSLContext | None]
    """Returns how to encrypt what goes to the server or the proxy, None for not at all."""
    is_in_container: Callable[[], bool]

    @property
    def is_absolute(self) -> bool:
        """Tell whether requests name the whole address, as a proxy wants it (RFC 9112, 3.2.2)."""
        return self.proxy is not None and not self.origin.is_secure


async def connect(
    way: Way, protocol: asyncio.Protocol, clock: Clock, timeouts: Timeouts
) -> asyncio.Transport:
    """Return a connection on which requests can be sent; `protocol` has it.

    Raises `EngineLost` if there is none in time, `EngineError` where trying again is of no use.
    """
    try:
        async with within(clock, timeouts.connect):
            if way.proxy is None:
                return await _open(way, way.origin, protocol, "the model server")
            return await _open_by_proxy(way, way.proxy, protocol, clock, timeouts)
    except TimeoutError:
        to = way.proxy or way.origin
        what = "the proxy" if way.proxy is not None else "the model server"
        raise EngineLost(f"{what} at {to} took no connection in time") from None


async def _open(
    way: Way, origin: Origin, protocol: asyncio.Protocol, what: str
) -> asyncio.Transport:
    loop = asyncio.get_running_loop()
    context = way.contexts(origin)
    sock = await _reach(way, origin, what)
    try:
        transport, _ = await loop.create_connection(
            lambda: protocol, sock=sock, ssl=context, server_hostname=_name(origin, context)
        )
    except ssl.SSLError as error:
        raise refusal(error, origin, what) from None
    except OSError as error:
        raise _no_connection(what, origin, error) from None
    return transport


async def _open_by_proxy(
    way: Way, proxy: Origin, protocol: asyncio.Protocol, clock: Clock, timeouts: Timeouts
) -> asyncio.Transport:
    if way.is_absolute:
        return await _open(way, proxy, protocol, "the proxy")
    asking = HTTPStream(clock, is_bodyless=True)
    transport = await _open(way, proxy, asking, "the proxy")
    target = way.origin.authority
    headers = {"Host": target, **proxy_headers(proxy)}
    request = write_head("CONNECT", target, headers)
    loop = asyncio.get_running_loop()
    context = cast(ssl.SSLContext, way.contexts(way.origin))
    try:
        await asking.ask(transport, request, replace(timeouts, read=timeouts.connect))
        asking.end_waiting()
        if asking.status != 200:
            raise proxy_refusal(proxy, asking.status, target)
        encrypted = await loop.start_tls(
            transport, protocol, context, server_hostname=_name(way.origin, context)
        )
    except BaseException as error:
        asking.close()
        if isinstance(error, ssl.SSLError):
            raise refusal(error, way.origin, "the model server") from None
        if isinstance(error, OSError) and not isinstance(error, TimeoutError):
            raise _no_connection("the model server", way.origin, error) from None
        raise
    return cast(asyncio.Transport, encrypted)


def proxy_headers(proxy: Origin) -> dict[str, str]:
    """Return the headers that only a proxy gets."""
    return {"Proxy-Authorization": proxy.authorization} if proxy.authorization else {}


def proxy_refusal(proxy: Origin, status: int, target: str) -> EngineError:
    """Return the error for a proxy that does not lead to `target`."""
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return EngineError(
            f"the proxy {proxy} refuses us without the right user and password (407)",
            hint="give them in the proxy's address: http://USER:PASSWORD@HOST:PORT",
        )
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return EngineLost(f"the proxy {proxy} does not reach {target}: it answered {status}")
    return EngineError(
        f"the proxy {proxy} refuses the way to {target}: it answered {status}",
        hint="list the model server in `no_proxy` if it needs no proxy",
    )


async def _reach(way: Way, origin: Origin, what: str) -> socket.socket:
    """Return a socket that is connected to one of the host's addresses."""
    addresses = await _addresses(origin, what)
    attempts: list[asyncio.Task[socket.socket]] = []
    errors: list[OSError] = []
    try:
        pending: set[asyncio.Task[socket.socket]] = set()
        while addresses or pending:
            if addresses:
                attempts.append(asyncio.create_task(_attempt(addresses.pop(0))))
                pending.add(attempts[-1])
            done, pending = await asyncio.wait(
                pending,
                timeout=_ATTEMPT_DELAY_SECONDS if addresses else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for attempt in done:
                error = attempt.exception()
                if error is None:
                    attempts.remove(attempt)
                    return attempt.result()
                if not isinstance(error, OSError):
                    raise error
                errors.append(error)
    finally:
        await _drop(attempts)
    # The first address is the one that people mean.
    error = errors[0]
    is_refused = isinstance(error, ConnectionRefusedError) and origin.is_loopback
    hint = HINT if is_refused and way.is_in_container() else None
    raise _no_connection(what, origin, error, hint)


async def _addresses(origin: Origin, what: str) -> list[Address]:
    """Return a host's addresses, the families in turn."""
    host = origin.host.rstrip(".")
    try:
        if is_loopback(host) and host.lower().endswith("localhost"):
            found = [await _look_up(address, origin.port) for address in ("127.0.0.1", "::1")]
        else:
            every = await _look_up(host, origin.port)
            first = [address for address in every if address[0] == every[0][0]]
            found = [first, [address for address in every if address[0] != every[0][0]]]
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise EngineLost(
            f"no connection to {what}: the name {host!r} is unknown: {reason}"
        ) from None
    return [address for pair in zip_longest(*found) for address in pair if address is not None]


async def _look_up(host: str, port: int) -> list[Address]:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    else:
        # Asks nobody, and therefore needs no thread.
        numeric = socket.AI_NUMERICHOST
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=numeric)
    return [(family, address) for family, _, _, _, address in found]


async def _attempt(address: Address) -> socket.socket:
    family, place = address
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        # A machine that vanishes in a long silence is noticed by the kernel.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        await asyncio.get_running_loop().sock_connect(sock, place)
    except BaseException:
        sock.close()
        raise
    return sock


async def _drop(attempts: list[asyncio.Task[socket.socket]]) -> None:
    """End the attempts that nobody waits for any more, and close what they reached."""
    for attempt in attempts:
        attempt.cancel()
    for outcome in await asyncio.gather(*attempts, return_exceptions=True):
        if isinstance(outcome, socket.socket):
            outcome.close()


def _name(origin: Origin, context: ssl.SSLContext | None) -> str | None:
    """Return the name that the certificate must have."""
    return origin.host.partition("%")[0] if context is not None else None


def _no_connection(
    what: str, origin: Origin, error: OSError, hint: str | None = None
) -> EngineLost:
    # The loop's own texts repeat the address in another form.
    reason = os.strerror(error.errno) if error.errno else str(error)
    return EngineLost(
        f"no connection to {what} at {origin}: {reason.lower() or 'it was closed'}", hint=hint
    )
