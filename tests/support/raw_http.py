"""An HTTP server that says byte by byte what a test wants, over as many connections as it gets."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@dataclass
class Request:
    """What was asked, and where."""

    connection: int
    head: bytes
    body: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def first_line(self) -> str:
        return self.head.decode("latin-1").split("\r\n")[0]

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers, names in lower case; none may stand twice."""
        lines = [
            line.split(": ", 1) for line in self.head.decode("latin-1").split("\r\n")[1:] if line
        ]
        headers = {name.lower(): value for name, value in lines}
        assert len(headers) == len(lines)
        return headers


# Writes the answer; True closes the connection behind it.
Handler = Callable[[Request], Awaitable[bool | None]]


def always(*parts: bytes, closes: bool = False) -> Handler:
    """Answer every request with these bytes."""

    async def handler(request: Request) -> bool:
        for part in parts:
            request.writer.write(part)
            await request.writer.drain()
        return closes

    return handler


@dataclass
class RawServer:
    """What a server has seen."""

    port: int = 0
    connections: int = 0
    requests: list[Request] = field(default_factory=list)
    open: set[asyncio.StreamWriter] = field(default_factory=set)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    stop_listening: Callable[[], None] = lambda: None
    """Close the port; connections that are open stay."""

    def url(self, host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}"

    async def has_open(self, count: int) -> None:
        """Return once so many connections are open."""
        async with asyncio.timeout(10), self.changed:
            await self.changed.wait_for(lambda: len(self.open) == count)


@asynccontextmanager
async def serving(
    handler: Handler, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[RawServer]:
    """Run a server; connections that are open at the end are closed."""
    server = RawServer()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        number = server.connections
        async with server.changed:
            server.open.add(writer)
            server.changed.notify_all()
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                request = Request(number, head[:-4], b"", reader, writer)
                length = int(request.headers.get("content-length", "0"))
                # A handler that says nothing of it gets the body before it is called.
                if length < 1_000_000:
                    request.body = await reader.readexactly(length)
                server.requests.append(request)
                if await handler(request):
                    break
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            writer.close()
            async with server.changed:
                server.open.discard(writer)
                server.changed.notify_all()

    listener = await asyncio.start_server(serve, host, 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    server.stop_listening = listener.close
    try:
        yield server
    finally:
        listener.close()
        for writer in list(server.open):
            writer.transport.abort()
        await server.has_open(0)
