"""One Docker engine, reached over a socket file, TCP, TLS or SSH.

Rules:

1. Nothing is connected, and aiodocker is not even imported, before the first call.
2. Each call has its own connection: a kept-alive connection may be to an engine that has
   restarted, and a POST that fails on it cannot safely be sent again.
3. Streams are read from the response itself and always closed. aiodocker leaves its streams to
   the garbage collector, but a pull ends only when its stream is closed.
"""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import aiohttp

from server.core.docker_engine import client_context, default_host
from server.models.runners.containers.errors import DockerUnreachable, calling, refusal
from server.models.runners.containers.tunnel import Tunnel

if TYPE_CHECKING:
    from aiodocker import Docker

# The engine usually answers at once; on a busy machine it may first set up namespaces and ports.
CALL_SECONDS: Final = 60.0
_PING_SECONDS: Final = 10.0
_LOOPBACK: Final = "127.0.0.1"
_FORWARD_ATTEMPTS: Final = 3
_READ_BYTES: Final = 64 * 1024
_SCHEMES: Final = frozenset({"unix", "tcp", "http", "https", "ssh"})


class DockerEngine:
    """The connection to one engine; every method raises the errors in `errors`."""

    def __init__(
        self,
        host: str,
        environment: Mapping[str, str],
        *,
        ports: tuple[int, int],
        is_one_of_several: bool = False,
    ) -> None:
        """Through SSH, `ports` lead to the same ports there; of several engines none does."""
        self._is_one_of_several = is_one_of_several
        self._forwarded: dict[int, int] = {}
        self._host = host or default_host(environment)
        self._environment = environment
        self._ports = ports
        self._tunnel: Tunnel | None = None
        self._docker: Docker | None = None
        self._opening = asyncio.Lock()
        self.was_reached = False
        """Whether the engine has ever answered; if so, it is waited for when it does not answer."""

    @property
    def is_local(self) -> bool:
        """Tell whether the engine runs on this machine, with its files and ports."""
        return self._host.startswith("unix://")

    def can_reach(self, port: int) -> bool:
        """Tell whether a port on the engine's loopback can be reached from this machine."""
        return self._is_one_of_several or self._tunnel is None or port in self._tunnel.ports

    async def reach(self, port: int) -> int:
        """Return the port on this machine that leads to one on the engine's loopback."""
        if not (self._is_one_of_several and self._host.startswith("ssh://")):
            return port
        if port in self._forwarded:
            return self._forwarded[port]
        async with calling("forward a port", within_seconds=CALL_SECONDS):
            await self.docker()
            async with self._opening:
                if port not in self._forwarded and self._tunnel is not None:
                    self._forwarded[port] = await _forward(self._tunnel, port)
                return self._forwarded.get(port, port)

    async def docker(self) -> "Docker":
        """Return aiodocker's client, made at the first call; use it within `calling`."""
        async with self._opening:
            if self._docker is None or (self._tunnel and not self._tunnel.is_open):
                await self._drop()
                self._docker = await self._open()
            return self._docker

    async def ping(self) -> None:
        """Check that the engine answers."""
        async with calling("answer", within_seconds=_PING_SECONDS):
            docker = await self.docker()
            async with docker.session.get(f"{docker.docker_host}/_ping") as response:
                await response.read()
                if response.status != 200:
                    raise aiohttp.ClientError(f"it answers {response.status}")
        self.was_reached = True

    async def info(self) -> Mapping[str, Any]:
        """Return the engine's description of itself and of its machine."""
        async with calling("describe itself", within_seconds=CALL_SECONDS):
            return await (await self.docker()).system.info()

    async def ask(
        self,
        what: str,
        method: str,
        path: str,
        *,
        parameters: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        within_seconds: float,
    ) -> Any:
        """Make a request that aiodocker has no call for; return what is answered, None for none."""
        async with calling(what, within_seconds=within_seconds):
            docker = await self.docker()
            if docker.api_version == "auto":
                # aiodocker asks for the API version in its first call.
                await docker.system.info()
            url = f"{docker.docker_host}/{docker.api_version}/{path}"
            async with docker.session.request(
                method, url, params=parameters, json=body
            ) as response:
                if response.status >= 400:
                    raise refusal(what, response.status, await _message(response))
                text = await response.read()
            return json.loads(text) if text else None

    @asynccontextmanager
    async def stream(
        self, what: str, method: str, path: str, parameters: Mapping[str, str]
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Make a request whose answer is a stream without a time limit; yield its bytes."""
        async with calling(what, within_seconds=None):
            docker = await self.docker()
            if docker.api_version == "auto":
                # aiodocker asks for the API version in its first call.
                async with calling(what, within_seconds=CALL_SECONDS):
                    await docker.system.info()
            url = f"{docker.docker_host}/{docker.api_version}/{path}"
            # Events and logs begin at once. A pull answers only after the registry has.
            async with asyncio.timeout(CALL_SECONDS if method == "GET" else None):
                response = await docker.session.request(method, url, params=parameters)
            try:
                if response.status >= 400:
                    raise refusal(what, response.status, await _message(response))
                yield response.content.iter_chunked(_READ_BYTES)
            finally:
                response.close()

    async def close(self) -> None:
        """Close all connections."""
        async with self._opening:
            await self._drop()

    async def _drop(self) -> None:
        docker, self._docker = self._docker, None
        tunnel, self._tunnel = self._tunnel, None
        if docker is not None:
            await docker.close()
            # aiodocker closes only sessions that it has made itself.
            await docker.session.close()
        if tunnel is not None:
            await tunnel.close()

    async def _open(self) -> "Docker":
        from aiodocker import Docker

        scheme, place = _address(self._host)
        connector: aiohttp.BaseConnector
        if scheme == "ssh":
            self._tunnel = await Tunnel.open(
                self._host, ports=self._ports, is_controlled=self._is_one_of_several
            )
            for port, local in self._forwarded.items():
                # Where servers are known to be.
                await self._tunnel.forward(port, local)
            scheme, place = "unix", str(self._tunnel.socket)
        if scheme == "unix":
            connector = aiohttp.UnixConnector(place, limit=0, force_close=True)
            url = "unix://localhost"
        else:
            is_encrypted = scheme in {"tcp", "https"} and self._environment.get("DOCKER_TLS_VERIFY")
            context = client_context(self._environment) if is_encrypted else None
            connector = aiohttp.TCPConnector(ssl=context or True, limit=0, force_close=True)
            url = f"{'https' if context or scheme == 'https' else 'http'}://{place}"
        session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout())
        return Docker(url=url, connector=connector, session=session)


async def _forward(tunnel: Tunnel, port: int) -> int:
    """Have some port here lead to one there, and return it; raises `OSError`."""
    for attempt in range(_FORWARD_ATTEMPTS):
        with socket.create_server((_LOOPBACK, 0)) as probe:
            local: int = probe.getsockname()[1]
        try:
            await tunnel.forward(port, local)
        except OSError:
            # Somebody else may have taken it meanwhile.
            if attempt == _FORWARD_ATTEMPTS - 1:
                raise
            continue
        return local
    raise AssertionError("unreachable")


def _address(host: str) -> tuple[str, str]:
    """Split an engine's address into scheme and place; raises `DockerUnreachable` if invalid."""
    scheme, _, place = host.partition("://")
    try:
        where = urlsplit(host)
        is_address = scheme == "unix" or bool(where.hostname and where.port != 0)
    except ValueError:
        is_address = False
    if scheme not in _SCHEMES or not place or not is_address:
        raise DockerUnreachable(
            f"{host!r} is no address of an engine",
            "correct `DOCKER_HOST`, or `host` in [docker]; expected unix:///PATH, "
            "tcp://HOST:PORT, https://HOST:PORT or ssh://[USER@]HOST",
        )
    return scheme, place


async def _message(response: aiohttp.ClientResponse) -> str:
    text = await response.text(errors="replace")
    try:
        return str((await response.json(content_type=None))["message"])
    except (ValueError, KeyError, TypeError):
        return text.strip()[:500] or f"HTTP {response.status}"
