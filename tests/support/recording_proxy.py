"""A proxy on loopback that passes bytes on as they are and keeps what each connection carried.

    async with recording_proxy(server.url) as proxy:
        ...                                     # talk to proxy.url
        exchange = proxy.exchange(containing=b"the question")
        exchange.request.body, exchange.response.status, exchange.response.body

So a test compares what a client made of an answer with the very bytes that the server sent. An
exchange is read by aiohttp-independent code of a few lines: HTTP/1.1 with `Content-Length`, chunks,
or an end by closing, several exchanges on one connection.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Message:
    """One HTTP request or answer; the names of headers are in lower case."""

    start_line: str
    headers: dict[str, str]
    body: bytes
    is_whole: bool

    @property
    def status(self) -> int:
        """Return an answer's status."""
        return int(self.start_line.split()[1])

    @property
    def path(self) -> str:
        """Return a request's path, with its query."""
        return self.start_line.split()[1]


@dataclass(frozen=True)
class Exchange:
    """A request and what was answered."""

    request: Message
    response: Message


@dataclass
class Connection:
    """What one connection carried so far: the bytes, and when each read from the server came."""

    sent: bytearray = field(default_factory=bytearray)
    received: bytearray = field(default_factory=bytearray)
    reads: list[tuple[float, int]] = field(default_factory=list)
    """For each read from the server the loop's time and how many bytes it brought."""
    is_open: bool = True

    def exchanges(self) -> list[Exchange]:
        """Return the exchanges so far; the last answer may be in the middle."""
        requests = read_messages(bytes(self.sent), at_eof=not self.is_open)
        heads = [request.start_line.startswith("HEAD ") for request in requests]
        responses = read_messages(bytes(self.received), at_eof=not self.is_open, bodiless=heads)
        finals = [answer for answer in responses if answer.status >= 200]
        return [Exchange(*pair) for pair in zip(requests, finals, strict=False)]


class RecordingProxy:
    """The proxy while it runs; `connections` are all since its start, the oldest first."""

    def __init__(self, host: str, port: int) -> None:
        self.url = ""
        self.connections: list[Connection] = []
        self._host, self._port = host, port
        self._writers: set[asyncio.StreamWriter] = set()
        self._changed = asyncio.Event()

    def exchanges(self) -> list[Exchange]:
        """Return all exchanges of all connections."""
        return [exchange for each in self.connections for exchange in each.exchanges()]

    def exchange(self, *, containing: bytes = b"", path: str = "") -> Exchange:
        """Return the only exchange whose request has that in its body and that path."""
        found = [
            exchange
            for exchange in self.exchanges()
            if containing in exchange.request.body and path in ("", exchange.request.path)
        ]
        assert len(found) == 1, f"{len(found)} exchanges with {containing!r} {path}"
        return found[0]

    async def until(
        self, condition: Callable[["RecordingProxy"], object], *, ceiling_seconds: float = 20
    ) -> None:
        """Return once `condition(proxy)` is true, looked at whenever bytes have passed."""
        try:
            async with asyncio.timeout(ceiling_seconds):
                while not condition(self):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"{len(self.connections)} connections, and still not so") from None

    def cut(self) -> None:
        """Break all connections that are open, as a cable that is pulled out."""
        for writer in self._writers:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until either side has ended it."""
        connection = Connection()
        self.connections.append(connection)
        self._writers.add(writer)
        try:
            server_reader, server_writer = await asyncio.open_connection(self._host, self._port)
        except OSError:
            # Whoever connects here learns what it would have learnt there, if a moment later.
            writer.transport.abort()
            self._ended(connection, writer)
            return
        self._writers.add(server_writer)
        upwards = asyncio.create_task(self._carry(reader, server_writer, connection.sent.extend))
        try:
            await self._carry(server_reader, writer, lambda data: self._keep(connection, data))
        finally:
            upwards.cancel()
            await asyncio.wait([upwards])
            self._ended(connection, writer, server_writer)

    async def _carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        keep: Callable[[bytes], None],
    ) -> None:
        try:
            while data := await reader.read(1 << 16):
                keep(data)
                self._changed.set()
                writer.write(data)
                await writer.drain()
            writer.write_eof()
        except (OSError, RuntimeError):
            writer.transport.abort()

    def _keep(self, connection: Connection, data: bytes) -> None:
        connection.received.extend(data)
        connection.reads.append((time.monotonic(), len(data)))

    def _ended(self, connection: Connection, *writers: asyncio.StreamWriter) -> None:
        connection.is_open = False
        for writer in writers:
            writer.close()
            self._writers.discard(writer)
        self._changed.set()


@asynccontextmanager
async def recording_proxy(url: str) -> AsyncIterator[RecordingProxy]:
    """Run a proxy before the server at `url` until the block ends."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    proxy = RecordingProxy(parts.hostname, parts.port or 80)
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(proxy.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, backlog=1024)
    host, port = server.sockets[0].getsockname()
    proxy.url = f"http://{host}:{port}"
    try:
        yield proxy
    finally:
        server.close()
        proxy.cut()
        for task in list(tasks):
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def read_messages(
    data: bytes, *, at_eof: bool = True, bodiless: list[bool] | None = None
) -> list[Message]:
    """Return the HTTP messages in a connection's bytes; the last may be in the middle."""
    messages: list[Message] = []
    while b"\r\n\r\n" in data:
        head, _, data = data.partition(b"\r\n\r\n")
        start_line, *lines = head.decode("latin-1").split("\r\n")
        pairs = [line.partition(":")[::2] for line in lines]
        headers = {name.strip().lower(): value.strip() for name, value in pairs}
        is_answer = start_line.startswith("HTTP/")
        number = len([m for m in messages if not is_answer or m.status >= 200])
        has_no_body = is_answer and (
            int(start_line.split()[1]) in (204, 304)
            or start_line.split()[1].startswith("1")
            or (bodiless is not None and number < len(bodiless) and bodiless[number])
        )
        if has_no_body:
            body, is_whole = b"", True
        elif "chunked" in headers.get("transfer-encoding", ""):
            body, data, is_whole = _unchunk(data)
        elif "content-length" in headers or not is_answer:
            size = int(headers.get("content-length", 0))
            body, data = data[:size], data[size:]
            is_whole = len(body) == size
        else:
            body, data, is_whole = data, b"", at_eof
        messages.append(Message(start_line, headers, body, is_whole))
    return messages


def _unchunk(data: bytes) -> tuple[bytes, bytes, bool]:
    """Return the body, what comes behind it, and whether the last chunk is there."""
    body = b""
    while b"\r\n" in data:
        line, _, rest = data.partition(b"\r\n")
        size = int(line.partition(b";")[0], 16)
        if size == 0:
            # No server here sends trailers.
            return body, rest[2:], rest.startswith(b"\r\n")
        body += rest[:size]
        if len(rest) < size + 2:
            return body, b"", False
        data = rest[size + 2 :]
    return body, b"", False
