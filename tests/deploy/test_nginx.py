"""Behind nginx, by the example in docs/deploy: sockets, streams and all, token by token."""

import asyncio
import json
import os
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.conftest import KeepLog
from tests.fakes.tgi import Fake
from tests.support.dialogue import CEILING_SECONDS
from tests.support.gateway import ROOT
from tests.support.ports import free_ports
from tests.web.conftest import StartWithFake

pytestmark = pytest.mark.needs_nginx

# What nginx wants around a file of conf.d, all of it in a folder of the test's own.
AROUND = """\
{user}
pid {place}/pid;
error_log {place}/error.log info;
daemon off;
events {{}}
http {{
    access_log off;
    client_body_temp_path {place}/body;
    proxy_temp_path {place}/proxy;
    fastcgi_temp_path {place}/fastcgi;
    uwsgi_temp_path {place}/uwsgi;
    scgi_temp_path {place}/scgi;
    include {place}/site.conf;
}}
"""


def as_root() -> str:
    """Return the line by which nginx may enter the folder; as root it would be somebody else."""
    return "user root;" if os.geteuid() == 0 else ""


@dataclass(frozen=True)
class Proxied:
    """A gateway behind nginx: its address there, who trusts that, and its model."""

    url: str
    http: aiohttp.ClientSession
    fake: Fake


def set_up(address: str, port: int, place: Path) -> tuple[list[str], ssl.SSLContext]:
    """Write nginx's files by the example; return its command, and the trust in its certificate."""
    key, certificate = place / "key.pem", place / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    site = (ROOT / "docs" / "deploy" / "nginx.conf").read_text()
    for example, ours in (
        ("server 127.0.0.1:8000;", f"server {address};"),
        ("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        ("/etc/ssl/certs/chat.example.org.pem", str(certificate)),
        ("/etc/ssl/private/chat.example.org.key", str(key)),
    ):
        assert site.count(example) == 1, example
        site = site.replace(example, ours)
    (place / "site.conf").write_text(site)
    (place / "nginx.conf").write_text(AROUND.format(place=place, user=as_root()))
    command = ["nginx", "-p", str(place), "-c", str(place / "nginx.conf")]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    return command, ssl.create_default_context(cafile=str(certificate))


@asynccontextmanager
async def behind_nginx(address: str, fake: Fake, place: Path) -> AsyncIterator[Proxied]:
    """Run nginx before `address`."""
    port, _ = free_ports(1)
    command, trust = set_up(address, port, place)
    process = await asyncio.create_subprocess_exec(*command)
    try:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as http:
            proxied = Proxied(f"https://localhost:{port}", http, fake)
            await until_up(proxied)
            yield proxied
    finally:
        process.terminate()
        await process.wait()


@pytest.fixture
async def before_nginx(
    before_fake: StartWithFake, tmp_path: Path, keep_log: KeepLog
) -> AsyncIterator[Proxied]:
    """Run a gateway behind nginx; its model stops after two tokens until it is released."""
    keep_log("nginx", tmp_path / "error.log")
    gateway, fake = await before_fake(hold_after=2)
    async with behind_nginx(urlsplit(gateway.url).netloc, fake, tmp_path) as proxied:
        yield proxied


async def until_up(proxied: Proxied) -> None:
    """Return once nginx listens."""
    async with asyncio.timeout(CEILING_SECONDS):
        while True:
            try:
                async with proxied.http.get(f"{proxied.url}/health") as answer:
                    assert answer.status == 200
                    return
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0.02)


async def test_a_socket_brings_tokens_while_the_answer_is_written(before_nginx: Proxied) -> None:
    url = before_nginx.url
    async with (
        asyncio.timeout(CEILING_SECONDS),
        # As the page does it: with an origin, which is the name that the browser used.
        before_nginx.http.ws_connect(f"{url}/ws", origin=url) as socket,
    ):
        command = {"id": 1, "type": "generate", "targets": [{"model": "m"}], "prompt": "Why?"}
        await socket.send_json(command)
        while not any(event["type"] == "delta" for event in await socket.receive_json()):
            pass
        before_nginx.fake.state.release()
        while not any(event["type"] == "end" for event in await socket.receive_json()):
            pass


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/generate_stream", {"model": "m", "inputs": "Why?"}),
        ("/v1/completions", {"model": "m", "prompt": "Why?", "stream": True}),
    ],
)
async def test_a_stream_is_not_held_back(
    before_nginx: Proxied, path: str, body: dict[str, object]
) -> None:
    url, headers = f"{before_nginx.url}{path}", {"Content-Type": "application/json"}
    async with (
        asyncio.timeout(CEILING_SECONDS),
        before_nginx.http.post(url, data=json.dumps(body), headers=headers) as answer,
    ):
        assert (await answer.content.readline()).startswith(b"data:")
        before_nginx.fake.state.release()
        assert (await answer.read()).count(b"data:") > 2


async def test_a_foreign_page_and_the_figures_are_kept_out(before_nginx: Proxied) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
        await before_nginx.http.ws_connect(f"{before_nginx.url}/ws", origin="https://evil.test")
    async with before_nginx.http.get(f"{before_nginx.url}/metrics") as answer:
        assert answer.status == 403


async def test_ids_of_requests_are_nginx_own(before_nginx: Proxied) -> None:
    headers = {"X-Request-Id": "from-outside"}
    async with before_nginx.http.get(f"{before_nginx.url}/models", headers=headers) as answer:
        assert len(answer.headers["X-Request-Id"]) == 32
