"""Who may come in, and what every answer carries: names, origins, headers, errors as JSON."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest
import websockets
from aiohttp.http_exceptions import BadHttpMessage, BadStatusLine, InvalidURLError, LineTooLong

from server.web.middleware import HEADERS
from server.web.unreadable import unreadable
from tests.conftest import StartFake
from tests.web.conftest import Start
from tests.web.gateway import Gateway, Reply, remote

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.fixture
async def gateway(start_gateway: Start, fake_tgi: StartFake) -> Gateway:
    """Run a gateway with one remote model, which answers to a name of its own too."""
    models = {"m": remote((await fake_tgi()).url)}
    return await start_gateway(models, server={"allowed_hosts": ("Box.Example",)})


def own_host(gateway: Gateway) -> str:
    """Return the name and port by which the gateway was asked."""
    return gateway.url.removeprefix("http://")


def forbidden(reply: Reply) -> bool:
    """Tell whether a request was refused as the protocol says, or not refused at all."""
    if reply.status != 403:
        return False
    assert reply.json["error"]["code"] == "forbidden"
    assert reply.json["error"]["message"]
    return True


# --- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [
        ("localhost", True),
        ("LOCALHOST:8000", True),
        ("127.0.0.1:1", True),
        ("[::1]:8000", True),
        ("192.168.1.5", True),
        ("box.example", True),
        ("BOX.example:443", True),
        ("evil.test", False),
        ("localhost.evil.test", False),
        ("evil.test:8000", False),
        ("127.0.0.1.evil.test", False),
        ("2130706433", False),
        ("", False),
        ("[", False),
        ("[::1", False),
        ("x" * 5000, False),
    ],
)
@pytest.mark.parametrize("path", ["/health", "/ws", "/", "/nowhere"])
async def test_a_page_whose_name_is_made_to_point_here_gets_nothing(
    gateway: Gateway, path: str, host: str, is_ours: bool
) -> None:
    reply = await gateway.get(path, headers={"Host": host})
    assert forbidden(reply) is not is_ours


async def test_a_request_that_names_no_host_is_refused_and_no_name_is_looked_up(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTTP/1.0 knows none; aiohttp would ask the system, perhaps a DNS server, for our own."""
    monkeypatch.setattr("socket.getfqdn", lambda: pytest.fail("everybody waits for that"))
    host, _, port = own_host(gateway).partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /health HTTP/1.0\r\n\r\n")
    assert b" 403 " in await reader.readline()
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    ("origin", "is_ours"),
    [
        (None, True),
        ("http://{host}", True),
        ("https://{host}", True),
        ("HTTP://{host}", True),
        ("http://evil.test", False),
        ("http://{host}.evil.test", False),
        ("http://evil.test@{host}", False),
        ("http://127.0.0.1:1", False),
        ("http://localhost", False),
        ("null", False),
        ("", False),
        ("http://[", False),
        ("file://", False),
        ("{host}", False),
        ("//{host}", False),
        ("ftp://{host}", False),
    ],
)
async def test_a_page_of_another_origin_opens_no_socket(
    gateway: Gateway, origin: str | None, is_ours: bool
) -> None:
    headers = dict(UPGRADE)
    if origin is not None:
        headers["Origin"] = origin.format(host=own_host(gateway))
    async with gateway.http.get(f"{gateway.url}/ws", headers=headers) as response:
        assert response.status == (101 if is_ours else 403)
        if not is_ours:
            assert (await response.json())["error"]["code"] == "forbidden"


async def test_a_page_of_another_origin_changes_nothing(gateway: Gateway) -> None:
    for path in ("/models/m/start", "/models/m/stop", "/generate"):
        reply = await gateway.post(path, headers={"Origin": "http://evil.test"}, data="{}")
        assert forbidden(reply)


# --- the upgrade --------------------------------------------------------------------------------


async def test_compression_is_not_agreed_to(gateway: Gateway) -> None:
    async with websockets.connect(f"ws://{own_host(gateway)}/ws", compression="deflate") as socket:
        assert socket.response is not None
        assert "Sec-WebSocket-Extensions" not in socket.response.headers


@pytest.mark.parametrize("missing", UPGRADE)
async def test_a_request_that_is_no_upgrade_is_refused_in_json(
    gateway: Gateway, missing: str
) -> None:
    headers = {name: value for name, value in UPGRADE.items() if name != missing}
    reply = await gateway.get("/ws", headers=headers)
    assert 400 <= reply.status < 500
    error = reply.json["error"]
    assert "WebSocket" in error["message"]
    assert "ws://" in error["hint"]
    assert error["details"]["reason"]


# --- every answer -------------------------------------------------------------------------------

ANSWERS: list[tuple[str, str, dict[str, Any], int]] = [
    ("GET", "/", {}, 200),
    ("GET", "/health", {}, 200),
    ("GET", "/models", {}, 200),
    ("GET", "/models/m", {}, 200),
    ("GET", "/models/nobody", {}, 404),
    ("GET", "/nowhere", {}, 404),
    ("GET", "/static/x/../../../etc/passwd", {}, 404),
    ("GET", "/static/other/main.js", {}, 404),
    ("DELETE", "/health", {}, 405),
    ("POST", "/models", {}, 405),
    ("GET", "/health", {"Host": "evil.test"}, 403),
    ("GET", "/ws", {**UPGRADE, "Origin": "http://evil.test"}, 403),
]


@pytest.mark.parametrize(("method", "path", "headers", "status"), ANSWERS, ids=str)
async def test_every_answer_has_strict_headers_and_every_error_is_json(
    gateway: Gateway, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    reply = await gateway.ask(method, path, headers=headers)
    assert reply.status == status
    for name, value in HEADERS.items():
        assert reply.headers[name] == value
    assert reply.headers["Server"] == "Sidestream"
    assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
    assert "Access-Control-Allow-Origin" not in reply.headers
    if status >= 400:
        assert reply.headers["Content-Type"].startswith("application/json")
        assert set(reply.json["error"]) >= {"code", "message"}
    if status == 405:
        assert reply.headers["Allow"]


async def test_a_socket_has_the_strict_headers_too(gateway: Gateway) -> None:
    async with gateway.http.get(f"{gateway.url}/ws", headers=UPGRADE) as response:
        assert response.status == 101
        for name, value in HEADERS.items():
            assert response.headers[name] == value


async def test_the_pages_files_are_kept_for_ever_under_a_name_that_changes_with_them(
    gateway: Gateway,
) -> None:
    page = await gateway.get("/")
    assert page.headers["Cache-Control"] == "no-cache"
    path = next(part for part in page.text.split('"') if part.startswith("static/"))
    file = await gateway.get(f"/{path}")
    assert file.status == 200
    assert "immutable" in file.headers["Cache-Control"]
    icon = await gateway.get("/favicon.ico")
    assert icon.status == 200
    assert icon.headers["Content-Type"].startswith("image/")


@pytest.mark.parametrize(
    "raw",
    [
        b"GARBAGE\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nno header at all\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
        b"GET /%s HTTP/1.1\r\nHost: a\r\n\r\n" % (b"x" * 100_000),
        b"GET / HTTP/1.1\r\nHost: a\r\nX: %s\r\n\r\n" % (b"x" * 100_000),
        b"POST /generate HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"GET http://[xxx HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET xxx%s HTTP/1.1\r\nHost: a\r\n\r\n" % (b"\xa0" * 5000),
        b"CONNECT xxx:99999999 HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
    ids=[
        *("line", "host", "header", "zero", "long line", "long header", "length"),
        *("address", "path", "authority"),
    ],
)
async def test_invalid_http_is_refused_in_our_form_and_the_next_request_answered(
    gateway: Gateway, raw: bytes
) -> None:
    host, _, port = own_host(gateway).partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(raw)
    try:
        async with asyncio.timeout(20):
            answer = await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    error = json.loads(body)["error"]
    assert b" 400 " in head.splitlines()[0]
    assert b"Server: Sidestream" in head
    assert error["code"] == "invalid_command"
    assert error["message"].startswith("the request cannot be read as HTTP: ")
    assert "\n" not in error["message"]
    assert "xxx" not in error["message"]
    assert (await gateway.get("/health")).status == 200


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (InvalidURLError("http://[::1"), ": its target is no address"),
        (
            InvalidURLError("Invalid characters in url:\n\n  b'GET x'\n  ^"),
            ": Invalid characters in url",
        ),
        (BadHttpMessage("Invalid HTTP header: bytearray(b'no')"), ": Invalid HTTP header"),
        (BadStatusLine("GET / it"), ": Bad status line"),
        (LineTooLong(b"it", 8190), ": Got more than 8190 bytes when reading"),
        # What looks for an end behind each space does not come to one here.
        (BadHttpMessage("It" + " " * 400_000 + "is b'x'"), f": It{' ' * 198}"),
        (BadHttpMessage(""), ""),
    ],
)
def test_what_is_no_http_is_said_without_what_was_sent(error: BadHttpMessage, why: str) -> None:
    assert unreadable(error, error.message).message == f"the request cannot be read as HTTP{why}"


async def test_a_health_check_touches_no_model(start_gateway: Start) -> None:
    """Nobody listens where the model should be."""
    gateway = await start_gateway({"m": remote("http://127.0.0.1:9")})
    async with aiohttp.ClientSession() as http, http.get(f"{gateway.url}/health") as response:
        assert response.status == 200
        assert (await response.json())["status"] == "ok"
