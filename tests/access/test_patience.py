"""Connections and requests that are slow or too large hold no place for long."""

import asyncio

import pytest

from tests.access.conftest import Open
from tests.access.keyed_gateway import CEILING_SECONDS, KeyedGateway


async def connect(keyed: KeyedGateway) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = keyed.gateway.url.removeprefix("http://").partition(":")
    return await asyncio.open_connection(host, int(port))


async def say(keyed: KeyedGateway, head: bytes) -> bytes:
    """Send bytes and return all that comes until the other side closes."""
    reader, writer = await connect(keyed)
    writer.write(head)
    async with asyncio.timeout(CEILING_SECONDS):
        answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize("head", [b"", b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: "])
async def test_a_connection_that_never_asks_anything_whole_is_closed(
    open_keyed: Open, head: bytes
) -> None:
    keyed = await open_keyed(access={"connection_timeout": 0.3})
    assert await say(keyed, head) == b""
    assert (await keyed.ask("GET", "/health")).status == 200


async def test_a_body_that_does_not_come_is_not_waited_for(open_keyed: Open) -> None:
    keyed = await open_keyed(keys=False, access={"request_timeout": 0.3})
    for path, kind in (
        (b"/generate", b"application/json"),
        (b"/sign-in", b"application/x-www-form-urlencoded"),
        (b"/conversations/import", b"application/json"),
    ):
        answer = await say(
            keyed,
            b"POST %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: %s\r\n"
            b"Content-Length: 100\r\n\r\n{" % (path, kind),
        )
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"did not arrive in time" in answer


@pytest.mark.parametrize(
    "head",
    [
        b"X-Long: " + b"x" * 3000,
        b"\r\n".join(b"X-%d: y" % number for number in range(200)),
    ],
    ids=["a long header", "many headers"],
)
async def test_headers_have_limits(open_keyed: Open, head: bytes) -> None:
    keyed = await open_keyed(keys=False, access={"max_header_bytes": 2048})
    request = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s\r\n\r\n"
    assert (await say(keyed, request % b"X: y")).startswith(b"HTTP/1.1 200 ")
    assert (await say(keyed, request % head)).startswith(b"HTTP/1.0 400 ")
    assert (await keyed.ask("GET", "/health")).status == 200


async def test_a_long_address_is_refused(open_keyed: Open) -> None:
    keyed = await open_keyed(keys=False, access={"max_header_bytes": 2048})
    request = b"GET /%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert (await say(keyed, request % (b"x" * 3000))).startswith(b"HTTP/1.0 400 ")


async def test_a_body_has_a_limit(open_keyed: Open) -> None:
    keyed = await open_keyed(server={"max_frame_bytes": 2000})
    body = {"model": "m", "inputs": "x" * 3000}
    reply = await keyed.ask("POST", "/generate", key="use", json=body)
    assert (reply.status, reply.json["error"]["code"]) == (413, "too_large")


async def test_a_body_that_says_it_is_too_large_is_not_waited_for(open_keyed: Open) -> None:
    keyed = await open_keyed(keys=False)
    head = (
        b"POST /generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 99999999999\r\n\r\n{"
    )
    assert (await say(keyed, head)).startswith(b"HTTP/1.1 413 ")
