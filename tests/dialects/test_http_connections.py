"""Connections that are kept: which are, which are not, and what if a server closes one."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from server.core.errors import EngineLost
from server.dialects.base import Endpoint
from server.dialects.http.client import HTTPClient, Timeouts
from server.dialects.http.pool import IDLE_SECONDS, MAX_IDLE, REST_SECONDS
from tests.support.clock import Clock
from tests.support.raw_http import (
    CHUNKS,
    EMPTY,
    HELLO,
    Handler,
    RawServer,
    Request,
    always,
    serving,
)


@asynccontextmanager
async def asking(
    handler: Handler, clock: Clock | None = None
) -> AsyncIterator[tuple[RawServer, HTTPClient]]:
    """Run a server, and a client of it."""
    async with serving(handler) as server:
        client = HTTPClient(Endpoint(server.url()), Timeouts(), clock=clock)
        yield server, client
        await client.close()
        await server.has_open(0)


async def read_all(client: HTTPClient, count: int = 1) -> None:
    for _ in range(count):
        assert (await client.get("/")).body == b"hello"


KEPT = {
    "a length": HELLO,
    "chunks": CHUNKS + b"5\r\nhello\r\n0\r\n\r\n",
    "HTTP/1.0 that says so": HELLO.replace(b"/1.1", b"/1.0").replace(
        b"\r\n\r\n", b"\r\nConnection: Keep-Alive\r\n\r\n"
    ),
    "after 100 Continue": b"HTTP/1.1 100 Continue\r\n\r\n" + HELLO,
    "a length that stands twice": HELLO.replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\n"),
}


@pytest.mark.parametrize("answer", KEPT.values(), ids=KEPT)
async def test_the_second_request_goes_over_the_same_connection(answer: bytes) -> None:
    async with asking(always(answer)) as (server, client):
        await read_all(client, 3)
        assert (server.connections, len(server.requests)) == (1, 3)


NOT_KEPT = {
    "close": HELLO.replace(b"\r\n\r\n", b"\r\nConnection: x, Close\r\n\r\n"),
    "HTTP/1.0": HELLO.replace(b"/1.1", b"/1.0"),
    "bytes after the length": HELLO + b"more",
    "bytes after the chunks": CHUNKS + b"5\r\nhello\r\n0\r\n\r\nmore",
    "a long text after the chunks": CHUNKS + b"5\r\nhello\r\n0\r\n\r\n" + b"x" * 20_000,
    "another answer": HELLO + HELLO,
    "two framings": CHUNKS.replace(b"\r\n\r\n", b"\r\nContent-Length: 3\r\n\r\n")
    + b"5\r\nhello\r\n0\r\n\r\n",
    "kept for no time": HELLO.replace(b"\r\n\r\n", b"\r\nKeep-Alive: timeout=1\r\n\r\n"),
}


@pytest.mark.parametrize("answer", NOT_KEPT.values(), ids=NOT_KEPT)
async def test_a_connection_that_cannot_be_trusted_is_not_used_again(answer: bytes) -> None:
    async with asking(always(answer)) as (server, client):
        await read_all(client, 2)
        assert server.connections == 2
        await server.has_open(0)


@pytest.mark.parametrize("status", [b"204 None", b"304 Same"])
async def test_an_answer_without_body_has_none_whatever_its_head_says(status: bytes) -> None:
    answer = b"HTTP/1.1 " + status + b"\r\nContent-Length: 700\r\n\r\n"
    async with asking(always(answer)) as (server, client):
        for _ in range(2):
            assert (await client.get("/")).body == b""
        assert server.connections == 1


async def test_the_answer_to_head_has_no_body() -> None:
    async with asking(always(b"HTTP/1.1 200 OK\r\nContent-Length: 700\r\n\r\n")) as (
        server,
        client,
    ):
        for _ in range(2):
            async with client.request("HEAD", "/") as stream:
                assert await stream.read_bytes(max_bytes=10) == b""
                assert stream.headers["content-length"] == "700"
        assert server.connections == 1


async def test_bytes_on_an_idle_connection_close_it() -> None:
    asked = asyncio.Event()

    async def handler(request: Request) -> None:
        request.writer.write(HELLO)
        await asked.wait()
        request.writer.write(b"HTTP/1.1 408 Too Late\r\nContent-Length: 0\r\n\r\n")

    async with asking(handler) as (server, client):
        await read_all(client)
        asked.set()
        await server.has_open(0)
        await read_all(client)
        assert server.connections == 2


async def test_a_kept_connection_that_the_server_closes_is_forgotten_at_once() -> None:
    async with asking(always(HELLO, closes=True)) as (server, client):
        await read_all(client)
        await server.has_open(0)
        await read_all(client)
        assert (server.connections, len(server.requests)) == (2, 2)


def closing_on_the(number: int, said: bytes = b"", *, with_reset: bool = False) -> Handler:
    """Close the first connection on its request of that number, after saying something."""

    async def handler(request: Request) -> bool:
        seen[request.connection] = seen.get(request.connection, 0) + 1
        if request.connection == 1 and seen[1] == number:
            request.writer.write(said)
            if with_reset:
                request.writer.transport.abort()
            return True
        request.writer.write(HELLO)
        return False

    seen: dict[int, int] = {}
    return handler


@pytest.mark.parametrize("with_reset", [False, True])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_kept_connection_that_closes_without_a_byte_is_asked_once_more(
    method: str, with_reset: bool
) -> None:
    async with asking(closing_on_the(2, with_reset=with_reset)) as (server, client):
        for _ in range(2):
            async with client.request(method, "/", {"a": 1}) as stream:
                assert await stream.read_bytes(max_bytes=10) == b"hello"
        assert server.connections == 2
        assert [request.body for request in server.requests] == [b'{"a":1}'] * 3


async def test_a_fresh_connection_that_closes_without_a_byte_is_not_asked_again() -> None:
    async with asking(closing_on_the(1)) as (server, client):
        with pytest.raises(EngineLost, match="in the middle of an answer"):
            await client.get("/")
        assert len(server.requests) == 1


@pytest.mark.parametrize("said", [b"H", b"HTTP/1.1 100 Continue\r\n\r\n", HELLO[:-1]])
async def test_after_one_byte_nothing_is_asked_again(said: bytes) -> None:
    async with asking(closing_on_the(2, said)) as (server, client):
        await read_all(client)
        with pytest.raises(EngineLost, match="in the middle of an answer"):
            await client.get("/")
        assert len(server.requests) == 2


async def test_a_server_that_closes_every_connection_is_asked_twice_and_no_more() -> None:
    async def handler(request: Request) -> bool:
        if len(server.requests) > 1:
            return True
        request.writer.write(HELLO)
        return False

    async with serving(handler) as server:
        client = HTTPClient(Endpoint(server.url()), Timeouts())
        await read_all(client)
        with pytest.raises(EngineLost):
            await client.get("/")
        assert len(server.requests) == 3
        await client.close()


async def many_at_once(client: HTTPClient, count: int) -> None:
    """Hold so many requests open together, and then have all answered."""

    async def ask() -> None:
        async with client.request("GET", "/") as stream:
            await stream.read_bytes(max_bytes=100)

    await asyncio.gather(*(ask() for _ in range(count)))


async def test_no_more_are_kept_than_are_of_use() -> None:
    everybody = asyncio.Event()

    async def handler(request: Request) -> None:
        if len(server.requests) == MAX_IDLE + 4:
            everybody.set()
        await everybody.wait()
        request.writer.write(HELLO)

    async with asking(handler) as (server, client):
        await many_at_once(client, MAX_IDLE + 4)
        await server.has_open(MAX_IDLE)


async def test_an_idle_connection_is_closed_after_a_while() -> None:
    clock = Clock()
    async with asking(always(HELLO), clock) as (server, client):
        await read_all(client)
        clock.pass_to(clock.now + IDLE_SECONDS - 1)
        await read_all(client)
        assert server.connections == 1
        clock.pass_to(clock.now + IDLE_SECONDS)
        await server.has_open(0)
        assert clock.waiting == 0


async def test_a_server_that_says_how_long_it_keeps_connections_is_believed() -> None:
    answer = HELLO.replace(b"\r\n\r\n", b"\r\nKeep-Alive: timeout=5, max=100\r\n\r\n")
    clock = Clock()
    async with asking(always(answer), clock) as (server, client):
        await read_all(client)
        clock.pass_to(3.9)
        await read_all(client)
        assert server.connections == 1
        clock.pass_to(3.9 + 4)
        await server.has_open(0)


# --- who leaves early ---------------------------------------------------------------------------


async def held(request: Request) -> bool:
    """Begin an answer, and wait for its reader to leave."""
    request.writer.write(CHUNKS + b"1\r\na\r\n")
    assert await request.reader.read() == b""
    return True


async def test_leaving_without_reading_closes_the_connection() -> None:
    async with asking(held) as (server, client):
        async with client.request("GET", "/") as stream:
            assert stream.status == 200
        await server.has_open(0)


async def test_an_exception_closes_the_connection() -> None:
    async with asking(held) as (server, client):
        with pytest.raises(LookupError):
            async with client.request("GET", "/"):
                raise LookupError
        await server.has_open(0)


async def until_all(client: HTTPClient, enough: Callable[[bytes], bool]) -> None:
    async with client.request("GET", "/") as stream:
        await stream.read(enough)


async def test_the_end_of_a_body_that_is_on_its_way_keeps_the_connection() -> None:
    """The last event is all that is wanted; the chunk that ends the body comes behind it."""
    left = asyncio.Event()

    async def handler(request: Request) -> None:
        request.writer.write(CHUNKS + b"4\r\nlast\r\n")
        await left.wait()
        request.writer.write(b"2\r\n\n\n\r\n0\r\n\r\n")

    clock = Clock()
    async with asking(handler, clock) as (server, client):
        await until_all(client, lambda data: data == b"last")
        left.set()
        for _ in range(10_000):
            await asyncio.sleep(0)
            if len(client._pool) == 1:
                break
        await until_all(client, lambda data: data == b"last")
        assert server.connections == 1


@pytest.mark.parametrize("more", [b"1\r\nb\r\n", b"no chunk\r\n"])
async def test_more_than_the_end_closes_the_connection(more: bytes) -> None:
    left = asyncio.Event()

    async def handler(request: Request) -> bool:
        request.writer.write(CHUNKS + b"1\r\na\r\n")
        await left.wait()
        request.writer.write(more)
        assert await request.reader.read() == b""
        return True

    async with asking(handler, Clock()) as (server, client):
        await until_all(client, lambda data: True)
        left.set()
        await server.has_open(0)


async def test_an_end_that_does_not_come_is_not_waited_for() -> None:
    clock = Clock()
    async with asking(held, clock) as (server, client):
        await until_all(client, lambda data: True)
        clock.pass_to(REST_SECONDS)
        await server.has_open(0)


# --- bad answers --------------------------------------------------------------------------------


async def test_an_answer_before_the_request_is_sent_is_read() -> None:
    """A server that does not want so much says so at once, and closes."""

    async def handler(request: Request) -> bool:
        request.writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
        await request.writer.drain()
        return True

    async with asking(handler) as (server, client):
        reply = await client.post("/", "x" * 20_000_000)
        assert (reply.status, reply.body) == (413, b"big")
        assert reply.headers["content-length"] == "3"
        await server.has_open(0)


async def test_an_answer_before_the_request_is_sent_ends_the_connection() -> None:
    async def handler(request: Request) -> bool:
        request.writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
        await left.wait()
        await request.reader.read()
        return True

    left = asyncio.Event()
    async with asking(handler) as (server, client):
        assert (await client.post("/", "x" * 20_000_000)).status == 413
        left.set()
        await server.has_open(0)


WRONG = {
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "a signed length": b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
    "an endless length": b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 400 + b"\r\n\r\n",
    "another encoding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    "no header": b"HTTP/1.1 200 OK\r\nno header\r\n\r\n",
    "another protocol": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    "no HTTP and no line": b"\x00\x01\x02",
    "a flood of heads": b"HTTP/1.1 102 Processing\r\n\r\n" * 5000,
    "a size with an underscore": CHUNKS + b"1_0\r\n",
    "a size with a sign": CHUNKS + b"+5\r\nhello\r\n",
}


@pytest.mark.parametrize("answer", WRONG.values(), ids=WRONG)
async def test_a_bad_framing_is_an_error(answer: bytes) -> None:
    async with asking(always(answer)) as (server, client):
        with pytest.raises(EngineLost, match="the connection to the model server broke"):
            await client.get("/")
        await server.has_open(0)


async def test_a_server_that_asks_for_patience_is_heard_out() -> None:
    async with asking(always(b"HTTP/1.1 102 Processing\r\n\r\n" * 1000, HELLO)) as (_, client):
        await read_all(client)


async def test_a_flood_before_anybody_reads_waits_in_the_connection() -> None:
    sent = 0

    async def handler(request: Request) -> bool:
        nonlocal sent
        request.writer.write(CHUNKS)
        for _ in range(200):
            request.writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
            await request.writer.drain()
            sent += 1
        request.writer.write(b"0\r\n\r\n")
        return False

    async with asking(handler) as (_, client), client.request("GET", "/") as stream:
        for _ in range(2000):
            await asyncio.sleep(0)
        assert sent < 200
        assert len(await stream.read_bytes(max_bytes=100_000_000)) == 200 * 0x10000


# --- the end ------------------------------------------------------------------------------------


async def test_after_closing_nothing_is_left_and_nothing_is_kept() -> None:
    before = asyncio.all_tasks()
    async with serving(always(HELLO)) as server:
        client = HTTPClient(Endpoint(server.url()), Timeouts())
        await asyncio.gather(read_all(client), read_all(client))
        await client.close()
        await server.has_open(0)
        await read_all(client)
        await server.has_open(0)
    assert asyncio.all_tasks() == before
    del client
    gc.collect()


async def test_closing_ends_what_is_still_ending() -> None:
    clock = Clock()
    async with asking(held, clock) as (server, client):
        await until_all(client, lambda data: True)
        await client.close()
        await server.has_open(0)
        assert clock.waiting == 0


async def test_an_empty_answer_is_one() -> None:
    async with asking(always(EMPTY)) as (_, client):
        assert (await client.get("/")).body == b""
