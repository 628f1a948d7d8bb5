"""One request and its answer as it comes, against servers that say exactly what they are told."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import cast

import pytest

from server.dialects.http.stream import MAX_HEAD_BYTES, BadAnswer, HTTPStream, open_stream

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
    url: str, *, read_timeout_seconds: float = LONG_SECONDS
) -> AsyncIterator[HTTPStream]:
    async with open_stream(
        "POST",
        url + "/path",
        {"X-Name": "value"},
        b"the body",
        connect_timeout_seconds=LONG_SECONDS,
        read_timeout_seconds=read_timeout_seconds,
    ) as stream:
        yield stream


async def whole(url: str, *, read_timeout_seconds: float = LONG_SECONDS) -> tuple[int, bytes]:
    """Return status and body."""
    parts: list[bytes] = []
    async with asking(url, read_timeout_seconds=read_timeout_seconds) as stream:
        await stream.read(lambda data: parts.append(data) is not None)
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


async def test_the_request_is_one_post_on_its_own_connection() -> None:
    async with Server().answering(saying(OK, b"0\r\n\r\n")) as server:
        await whole(server.url)
    [request] = server.requests
    head, _, body = request.partition(b"\r\n\r\n")
    first, *fields = head.decode().split("\r\n")
    assert first == "POST /path HTTP/1.1"
    assert body == b"the body"
    host = server.url.removeprefix("http://")
    expected = {f"Host: {host}", "Connection: close", "Content-Length: 8", "X-Name: value"}
    assert set(fields) == expected


async def test_an_empty_body_ends_at_once_while_the_connection_stays() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
        await reader.read()

    async with Server().answering(handler) as server:
        assert await whole(server.url) == (503, b"")


async def test_what_came_with_the_head_is_not_lost() -> None:
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


async def test_who_has_enough_leaves_and_the_server_sees_it() -> None:
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
            await stream.read(lambda data: bool(heard.set()))

    async with Server().answering(handler) as server:
        reading = asyncio.create_task(read(server.url))
        await heard.wait()
        reading.cancel()
        await server.left.wait()
        with pytest.raises(asyncio.CancelledError):
            await reading


async def test_what_the_reader_raises_is_raised_where_it_reads() -> None:
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
        with pytest.raises(ConnectionError, match="in the middle"):
            await whole(server.url)


STRANGE = {
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "no status": b"HTTP/1.1 fine\r\n\r\n",
    "no length": b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
    "no chunk": OK + b"hello\r\n",
    "a head without end": b"HTTP/1.1 200 OK\r\nX: " + b"x" * (MAX_HEAD_BYTES + 1),
}


@pytest.mark.parametrize("answer", STRANGE.values(), ids=list(STRANGE))
async def test_what_is_not_http_is_an_error(answer: bytes) -> None:
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
        with pytest.raises(TimeoutError):
            await whole(server.url, read_timeout_seconds=0.1)
        await server.left.wait()


class Clock:
    """Stand in for the loop's clock and its one timer."""

    def __init__(self) -> None:
        self.now = 0.0
        self.create_future = asyncio.get_running_loop().create_future
        self._timer: tuple[float, Callable[[], None]] | None = None

    def time(self) -> float:
        return self.now

    def call_later(self, seconds: float, callback: Callable[[], None]) -> "Clock":
        self._timer = (self.now + seconds, callback)
        return self

    def cancel(self) -> None:
        self._timer = None

    def pass_to(self, moment: float) -> None:
        """Let time pass, and what is due then happen when it is due."""
        while self._timer is not None and self._timer[0] <= moment:
            self.now, callback = self._timer
            self._timer = None
            callback()
        self.now = moment

    def starve_to(self, moment: float) -> None:
        """Let time pass in which nothing runs, and then what is due."""
        self.now = moment
        if self._timer is not None and self._timer[0] <= moment:
            callback = self._timer[1]
            self._timer = None
            callback()


@asynccontextmanager
async def reading(clock: Clock) -> AsyncIterator[tuple[HTTPStream, asyncio.Task[None]]]:
    """Read a stream whose limit is 10 s and whose first byte has come."""
    stream = HTTPStream(cast(asyncio.AbstractEventLoop, clock), read_timeout_seconds=10.0)
    stream.data_received(OK)
    task = asyncio.create_task(stream.read(lambda data: False))
    await asyncio.sleep(0)
    yield stream, task
    stream.close()
    task.cancel()
    await asyncio.wait([task])


async def test_silence_counts_from_the_last_byte() -> None:
    clock = Clock()
    async with reading(clock) as (stream, task):
        clock.pass_to(8.9)
        stream.data_received(b"1\r\na\r\n")
        clock.pass_to(18.8)
        await asyncio.sleep(0)
        assert not task.done()
        clock.pass_to(20)
        with pytest.raises(TimeoutError):
            await task


async def test_time_in_which_we_did_not_run_is_not_the_servers_silence() -> None:
    """Regression: after a standstill the time-out was due before what had come was read."""
    clock = Clock()
    async with reading(clock) as (stream, task):
        clock.pass_to(9.5)
        clock.starve_to(60)
        await asyncio.sleep(0)
        assert not task.done()
        stream.data_received(b"1\r\na\r\n")
        clock.pass_to(69)
        clock.starve_to(120)
        await asyncio.sleep(0)
        assert not task.done()


async def test_a_silent_server_is_given_up_after_a_standstill_too() -> None:
    clock = Clock()
    async with reading(clock) as (_, task):
        clock.starve_to(60)
        clock.pass_to(71.1)
        with pytest.raises(TimeoutError):
            await task


async def test_a_server_that_takes_no_connection_is_given_up() -> None:
    """The listener's queue is full: the kernel lets further ones wait."""
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        with pytest.raises(ConnectionError, match="no connection in time"):
            async with open_stream(
                "GET",
                f"http://127.0.0.1:{listener.getsockname()[1]}/",
                {},
                b"",
                connect_timeout_seconds=0.1,
                read_timeout_seconds=LONG_SECONDS,
            ):
                raise AssertionError("it was taken")


async def test_where_nobody_listens_is_an_error() -> None:
    async with Server().answering(saying(b"")) as server:
        url = server.url
    with pytest.raises(ConnectionError):
        await whole(url)
