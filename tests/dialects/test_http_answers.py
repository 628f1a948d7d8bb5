"""One request and its answer as it comes, against servers that say exactly what they are told."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from server.core.errors import EngineLost, EngineTimeout
from server.dialects.base import Endpoint
from server.dialects.http.client import HTTPClient, HTTPStream, Timeouts
from server.dialects.http.head import MAX_HEAD_BYTES
from server.dialects.http.stream import BadAnswer
from tests.support.clock import Clock

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LONG_SECONDS = 30.0


class Server:
    """Listen on loopback, keep the requests, and let the test say what is answered."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.left = asyncio.Event()
        self.url = ""

    @asynccontextmanager
    async def answering(self, handler: Handler) -> AsyncIterator["Server"]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split()[0])
            self.requests.append(head + await reader.readexactly(length))
            try:
                await handler(reader, writer)
            except ConnectionError:
                pass
            finally:
                self.left.set()
                writer.close()

        listener = await asyncio.start_server(serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        async with listener:
            yield self


def noting(heard: asyncio.Event) -> Callable[[bytes], bool]:
    """Return what sets the event at each part, and wants more."""

    def note(_: bytes) -> bool:
        heard.set()
        return False

    return note


def saying(*parts: bytes) -> Handler:
    """Say these parts, each in a packet of its own as far as that can be had, and close."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)

    return handler


@asynccontextmanager
async def asking(
    url: str, *, read_timeout_seconds: float = LONG_SECONDS, clock: Clock | None = None
) -> AsyncIterator[HTTPStream]:
    timeouts = Timeouts(connect=LONG_SECONDS, read=read_timeout_seconds)
    client = HTTPClient(Endpoint(url), timeouts, clock=clock)
    try:
        async with client.request(
            "POST", "/path", "the body", headers={"X-Name": "value"}
        ) as stream:
            yield stream
    finally:
        await client.close()


async def whole(url: str, *, read_timeout_seconds: float = LONG_SECONDS) -> tuple[int, bytes]:
    """Return status and body."""
    parts: list[bytes] = []
    async with asking(url, read_timeout_seconds=read_timeout_seconds) as stream:

        def take(data: bytes) -> bool:
            parts.append(data)
            return False

        await stream.read(take)
        return stream.status, b"".join(parts)


BODIES = {
    "chunks": OK + b"3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n",
    "a length": b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabcdef",
    "a length, and no close": b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabcdef",
    "until the end": b"HTTP/1.0 200 OK\r\n\r\nabcdef",
    "after 100 Continue": b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"6\r\nabcdef\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("answer", BODIES.values(), ids=list(BODIES))
@pytest.mark.parametrize("size", [1, 7, 10_000], ids=["bytes", "sevens", "whole"])
async def test_a_body_is_read_however_it_is_framed_and_cut(answer: bytes, size: int) -> None:
    parts = [answer[at : at + size] for at in range(0, len(answer), size)]
    async with Server().answering(saying(*parts)) as server:
        assert await whole(server.url) == (200, b"abcdef")


async def test_the_request_is_one_post() -> None:
    async with Server().answering(saying(OK, b"0\r\n\r\n")) as server:
        await whole(server.url)
    [request] = server.requests
    head, _, body = request.partition(b"\r\n\r\n")
    first, *fields = head.decode().split("\r\n")
    assert first == "POST /path HTTP/1.1"
    assert body == b'"the body"'
    assert set(fields) == {
        f"Host: {server.url.removeprefix('http://')}",
        "Accept-Encoding: identity",
        "Content-Type: application/json",
        "Content-Length: 10",
        "X-Name: value",
    }


async def test_an_empty_body_ends_at_once_while_the_connection_stays() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
        await reader.read()

    async with Server().answering(handler) as server:
        assert await whole(server.url) == (503, b"")


async def test_body_bytes_read_with_the_head_are_not_lost() -> None:
    async with (
        Server().answering(saying(OK + b"3\r\nabc\r\n0\r\n\r\n")) as server,
        asking(server.url) as stream,
    ):
        await server.left.wait()
        assert await stream.read_bytes(max_bytes=100) == b"abc"


async def test_a_body_is_cut_where_it_is_too_long() -> None:
    async with (
        Server().answering(saying(OK, b"a\r\n0123456789\r\n")) as server,
        asking(server.url) as stream,
    ):
        assert await stream.read_bytes(max_bytes=4) == b"0123"


async def test_leaving_early_closes_the_connection() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK + b"1\r\na\r\n")
        assert await reader.read() == b""

    async with Server().answering(handler) as server:
        async with asking(server.url) as stream:
            await stream.read(lambda data: True)
        await server.left.wait()


async def test_cancelled_it_closes_the_connection() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK + b"1\r\na\r\n")
        assert await reader.read() == b""

    heard = asyncio.Event()

    async def read(url: str) -> None:
        async with asking(url) as stream:
            await stream.read(noting(heard))

    async with Server().answering(handler) as server:
        reading = asyncio.create_task(read(server.url))
        await heard.wait()
        reading.cancel()
        await server.left.wait()
        with pytest.raises(asyncio.CancelledError):
            await reading


async def test_an_exception_of_the_reader_is_raised_to_the_caller() -> None:
    def refuse(data: bytes) -> bool:
        raise ValueError("not that")

    async with (
        Server().answering(saying(OK, b"1\r\na\r\n")) as server,
        asking(server.url) as stream,
    ):
        with pytest.raises(ValueError, match="not that"):
            await stream.read(refuse)


BROKEN = {
    "closed at once": b"",
    "closed in the head": b"HTTP/1.1 200 OK\r\n",
    "closed in the middle of the chunks": OK + b"3\r\nabc\r\n",
    "closed before its length": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=list(BROKEN))
async def test_an_answer_that_breaks_off_is_an_error(answer: bytes) -> None:
    async with Server().answering(saying(answer)) as server:
        with pytest.raises(EngineLost, match="in the middle"):
            await whole(server.url)


STRANGE = {
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "no status": b"HTTP/1.1 fine\r\n\r\n",
    "no length": b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
    "no chunk": OK + b"hello\r\n",
    "a head without end": b"HTTP/1.1 200 OK\r\nX: " + b"x" * (MAX_HEAD_BYTES + 1),
}


@pytest.mark.parametrize("answer", STRANGE.values(), ids=list(STRANGE))
async def test_a_peer_without_http_is_an_error(answer: bytes) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await reader.read()

    async with Server().answering(handler) as server:
        with pytest.raises(BadAnswer):
            await whole(server.url)


@pytest.mark.parametrize("said", [b"", OK, OK + b"1\r\na\r\n"], ids=["no head", "head", "body"])
async def test_silence_ends_it(said: bytes) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await reader.read()

    async with Server().answering(handler) as server:
        with pytest.raises(EngineTimeout):
            await whole(server.url, read_timeout_seconds=0.1)
        await server.left.wait()


class Held:
    """A server that says what the test wants, when it wants it; 10 s of silence are allowed."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.heard = asyncio.Event()
        self.task: asyncio.Task[None]
        self._writer: asyncio.StreamWriter

    async def says(self, data: bytes) -> None:
        """Say something, and return when it has arrived."""
        self.heard.clear()
        self._writer.write(data)
        await self.heard.wait()

    async def read(self, url: str) -> None:
        async with asking(url, read_timeout_seconds=10.0, clock=self.clock) as stream:
            self.heard.set()
            await stream.read(noting(self.heard))

    async def handler(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        writer.write(OK)
        await reader.read()


@asynccontextmanager
async def reading(clock: Clock) -> AsyncIterator[Held]:
    """Read from a server whose head has come, at the clock's beginning."""
    held = Held(clock)
    async with Server().answering(held.handler) as server:
        held.task = asyncio.create_task(held.read(server.url))
        await held.heard.wait()
        yield held
        held.task.cancel()
        await asyncio.wait([held.task])


async def settled() -> None:
    """Let what is due in the loop happen."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_silence_counts_from_the_last_byte() -> None:
    clock = Clock()
    async with reading(clock) as held:
        clock.pass_to(8.9)
        await held.says(b"1\r\na\r\n")
        clock.pass_to(18.8)
        await settled()
        assert not held.task.done()
        clock.pass_to(20)
        with pytest.raises(EngineTimeout):
            await held.task


async def test_time_in_which_we_did_not_run_is_not_the_servers_silence() -> None:
    """Regression: after a standstill the time-out was due before what had come was read."""
    clock = Clock()
    async with reading(clock) as held:
        # One look before it is too long: the first one heard the head.
        clock.pass_to(10.5)
        clock.starve_to(60)
        await settled()
        assert not held.task.done()
        await held.says(b"1\r\na\r\n")
        clock.pass_to(70.5)
        clock.starve_to(120)
        await settled()
        assert not held.task.done()


async def test_a_silent_server_is_given_up_after_a_standstill_too() -> None:
    clock = Clock()
    async with reading(clock) as held:
        clock.starve_to(60)
        clock.pass_to(71.1)
        with pytest.raises(EngineTimeout):
            await held.task


async def test_a_server_that_takes_no_connection_is_given_up() -> None:
    """The listener's queue is full: the kernel lets further ones wait."""
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        endpoint = Endpoint(f"http://127.0.0.1:{listener.getsockname()[1]}")
        client = HTTPClient(endpoint, Timeouts(connect=0.1))
        with pytest.raises(EngineLost, match="no connection in time"):
            await client.get("/")


async def test_a_closed_port_is_an_error() -> None:
    async with Server().answering(saying(b"")) as server:
        url = server.url
    with pytest.raises(EngineLost, match=r"at http://127.0.0.1:\d+: connection refused"):
        await whole(url)
