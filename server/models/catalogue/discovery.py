"""Look for model servers on this machine, at the ports where they usually listen.

Rules:

1. Requests cost nothing: lists and descriptions, by GET, without a key. A known server is asked
   only for its list.
2. All ports are asked at once, each with its own timeout, so that a silent one delays no other. A
   server is shown as soon as it has answered.
3. The gateway's own port and servers, other Sidestream gateways, and the servers in the settings
   are left out. A port has one server: the first address of this machine that answers counts.
4. A server that does not answer twice in a row is gone. A port where something else answers is
   asked less and less often. A port where nothing listens is not logged.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from server.core.container import is_in_container
from server.core.errors import EngineError, EngineLost, EngineOverloaded, EngineTimeout
from server.core.ip import parse_ip
from server.dialects.base import ANY_MODEL, Endpoint, EngineInfo, Upstream
from server.dialects.connector import Connector, Recognised
from server.dialects.http.timeouts import Timeouts
from server.models.catalogue.found_servers import FoundServer, FoundServers
from server.settings.addresses import Address, resolve_address
from server.settings.commands import PORT
from server.settings.tables import Settings

logger = logging.getLogger(__name__)

# A server on this machine lists its models in milliseconds; a busy one may take a few seconds.
PATIENCE_SECONDS: Final = 5.0
MISSES_UNTIL_GONE: Final = 2
# A container engine lists its containers in milliseconds.
_ENGINE_SECONDS: Final = 1.0
_MOST_LOOKS_LEFT_OUT: Final = 4
_AT_ONCE: Final = 32
_HERE: Final = ("127.0.0.1", "[::1]")
# Docker's name for the host machine of a container; our compose file maps it.
_AROUND: Final = "host.docker.internal"
_NAMES_AROUND: Final = frozenset({_AROUND, "host.containers.internal", "gateway.docker.internal"})
# The path of the API by port, where it is not /v1.
_PATHS: Final = {12434: "/engines/v1"}


@dataclass(frozen=True)
class _Known:
    """A server that answers: its upstream, and its description."""

    upstream: Upstream
    server: FoundServer


@dataclass
class _Port:
    """The state of one port."""

    known: _Known | None = None
    misses: int = 0
    pause: int = 0
    """How many rounds to skip, because something else answers."""
    left_out: int = 0


async def hosts_around() -> tuple[str, ...]:
    """Return the names of the host machine, if the gateway runs in a container."""
    if not is_in_container():
        return ()
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.get_running_loop().getaddrinfo(_AROUND, 0, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError):
        return ()
    return (_AROUND,)


class Discovery:
    """Ask the ports in the settings at intervals, and record what was found."""

    def __init__(
        self,
        settings: Settings,
        found: FoundServers,
        *,
        own_ports: Callable[[], Collection[int]],
        after: asyncio.Task[None] | None = None,
        around: Callable[[], Awaitable[tuple[str, ...]]] = hosts_around,
    ) -> None:
        """Put the servers that are found into `found`; nothing is asked before `start`.

        `own_ports` returns the ports of the gateway's own model servers. `after` is the task that
        adopts servers which run already. `around` returns the names of the host machine.
        """
        self._settings = settings
        self._found = found
        self._own_ports = own_ports
        self._after = after
        self._around = around
        self._listening: int | None = None
        self._connector = Connector(Timeouts(connect=PATIENCE_SECONDS, read=PATIENCE_SECONDS))
        self._ports: dict[int, _Port] = {}
        self._places = places_in_use(settings)
        self._has_changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._found.reserve(settings.upstreams)

    def start(self, port: int) -> None:
        """Begin to look for servers; `port` is the gateway's own."""
        self._listening = port
        self._task = asyncio.create_task(self._run(), name="discovery")

    def apply(self, settings: Settings) -> None:
        """Replace the settings, and forget servers that they exclude."""
        before, self._settings = self._settings, settings
        self._places = places_in_use(settings)
        for number, port in list(self._ports.items()):
            port.left_out = port.pause = 0
            known = port.known
            if known is not None and not self._is_wanted(number, known.server.address):
                self._forget(port)
        self._found.reserve(settings.upstreams)
        if (before.discovery, places_in_use(before)) != (settings.discovery, self._places):
            self._has_changed.set()

    async def look(self) -> None:
        """Ask every port once, and return when each has answered or timed out."""
        wanted = dict.fromkeys(self._settings.discovery.ports)
        if not self._settings.discovery.enabled:
            wanted = {}
        for number in [number for number in self._ports if number not in wanted]:
            self._forget(self._ports.pop(number))
        around = await self._around() if wanted else ()
        places = asyncio.Semaphore(_AT_ONCE)

        async def ask(number: int) -> None:
            async with places:
                await self._look_at(number, (*_HERE, *around))

        async with asyncio.TaskGroup() as tasks:
            for number in wanted:
                tasks.create_task(ask(number), name=f"discovery of port {number}")

    async def close(self) -> None:
        """Stop looking for servers."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        for port in self._ports.values():
            self._forget(port)
        await asyncio.gather(*self._closing)

    # --- inside -----------------------------------------------------------------------------

    async def _run(self) -> None:
        if self._after is not None:
            # The task asks an engine that does not answer for ever, so this wait needs a limit.
            await asyncio.wait([self._after], timeout=_ENGINE_SECONDS)
        while True:
            self._has_changed.clear()
            try:
                await self.look()
            except Exception:
                # Nothing else would report the error, and the next round may succeed.
                logger.exception("looking for model servers broke")
            try:
                async with asyncio.timeout(self._settings.discovery.interval):
                    await self._has_changed.wait()
            except TimeoutError:
                continue

    async def _look_at(self, number: int, hosts: tuple[str, ...]) -> None:
        port = self._ports.setdefault(number, _Port())
        if port.known is not None:
            if not self._is_wanted(number, port.known.server.address):
                self._forget(port)
            elif await self._is_as_it_was(port.known):
                port.misses = 0
                return
        if port.left_out > 0:
            port.left_out -= 1
            return
        is_something_else = False
        for host in hosts:
            address = resolve_address(f"http://{host}:{number}{_PATHS.get(number, '')}")
            if not self._is_wanted(number, address):
                return
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    known = await self._ask(address)
            except (EngineLost, EngineTimeout, EngineOverloaded, TimeoutError):
                continue
            except EngineError as error:
                logger.debug("no model server is at %s: %s", address, error)
                known = None
            if known is not None:
                await self._take(number, port, known)
                return
            is_something_else = True
        self._miss(port, is_something_else=is_something_else)

    async def _ask(self, address: Address) -> _Known | None:
        """Return the server at an address, None for another gateway; raises `EngineError`."""
        endpoint = Endpoint(address.url, address.api, dialect="auto", model=ANY_MODEL)
        who = await self._connector.recognise(endpoint)
        if who.is_sidestream:
            return None
        upstream = self._connector.speaking(endpoint, who)
        try:
            served = await upstream.models()
        except BaseException:
            await upstream.close()
            raise
        kind = who.flavour or f"server-{urlsplit(address.url).port}"
        return _Known(upstream, FoundServer(address, kind, _info(who), served))

    async def _is_as_it_was(self, known: _Known) -> bool:
        """Tell whether a server still lists the same models; if not, it is recognised again."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await known.upstream.models() == known.server.served
        except (EngineError, TimeoutError):
            return False

    async def _take(self, number: int, port: _Port, known: _Known) -> None:
        if not self._is_wanted(number, known.server.address):
            # The settings changed during the request.
            await known.upstream.close()
            return
        before = port.known
        port.known, port.misses, port.pause = known, 0, 0
        if before is not None:
            if before.server.address != known.server.address:
                self._found.drop(before.server.address)
            await before.upstream.close()
        self._found.take(known.server)

    def _miss(self, port: _Port, *, is_something_else: bool) -> None:
        port.misses += 1
        if port.known is not None and port.misses >= MISSES_UNTIL_GONE:
            self._forget(port)
        if port.known is None and is_something_else:
            port.pause = min(2 * port.pause or 1, _MOST_LOOKS_LEFT_OUT)
            port.left_out = port.pause

    def _forget(self, port: _Port) -> None:
        known, port.known, port.misses = port.known, None, 0
        if known is not None:
            self._found.drop(known.server.address)
            closing = asyncio.create_task(known.upstream.close(), name="closing what was found")
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    def _is_wanted(self, number: int, address: Address) -> bool:
        said = self._settings
        ours = {self._listening, said.server.port, *self._own_ports()}
        is_listed = said.discovery.enabled and number in said.discovery.ports
        return is_listed and number not in ours and place_of(address.url) not in self._places


def places_in_use(settings: Settings) -> frozenset[tuple[str, int]]:
    """Return the hosts and ports of the servers in the settings, as `place_of` returns them."""
    models = settings.models.values()
    remote = [model for model in models if model.runner == "remote"]
    urls = [url for model in remote for url in model.urls or [model.url]]
    # A command with `{port}` gets another port at each start.
    urls += [one.url for one in models if one.runner == "command" and PORT not in one.url]
    urls += [upstream.url for upstream in settings.upstreams.values()]
    return frozenset(place_of(resolve_address(url).url) for url in urls if url)


def place_of(url: str) -> tuple[str, int]:
    """Return a server's host and port; the host is empty for every name of this machine."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if host in _NAMES_AROUND:
        return (_AROUND if is_in_container() else "", port)
    if host == "localhost" or host.endswith(".localhost"):
        return "", port
    address = parse_ip(host)
    return ("" if address and address.is_loopback else host), port


def _info(who: Recognised) -> EngineInfo:
    # Whether a model has a chat template is known only once it is in use.
    return EngineInfo(
        engine=who.title, dialect=who.dialect, flavour=who.flavour, has_chat_template=True
    )
