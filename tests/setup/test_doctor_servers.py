"""The doctor asks the servers that the settings name who they are, and looks after their keys."""

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from server.doctor import servers
from server.doctor.findings import Finding, KnownServer, Wanted
from server.doctor.known import known_servers
from server.doctor.servers import check_keys, check_servers
from server.settings.loading import load

VLLM = {"object": "list", "data": [{"id": "Qwen/Qwen3-8B", "owned_by": "vllm"}]}
INFO = {"model_id": "gpt2", "version": "3.3.7"}
TAGS = {"models": [{"name": "qwen3:8b"}, {"name": "a"}]}


@dataclass
class Server:
    """A server that answers as it is told, and remembers what it was asked."""

    url: str = ""
    replies: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer any request."""
        self.asked.append((request.method, request.path))
        self.keys.append(request.headers.get("Authorization"))
        reply = self.replies.get(request.path, 404)
        if isinstance(reply, int):
            return web.Response(status=reply, headers={"Location": "https://me:hunter2@else/?k=1"})
        if isinstance(reply, str):
            return web.Response(text=reply, content_type="text/html")
        return web.json_response(reply)


Start = Callable[[dict[str, Any]], Awaitable[Server]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Return a function that starts a server with those replies by path."""
    runners = []

    async def start(replies: dict[str, Any]) -> Server:
        server = Server(replies=replies)
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", server.answer)
        runner = web.AppRunner(app)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return server

    yield start
    for runner in runners:
        await runner.cleanup()


async def look(tmp_path: Path, text: str, **environment: str) -> Finding:
    """Return what is found of the servers in those settings."""
    file = tmp_path / "settings.ini"
    file.write_text(text)
    wanted = Wanted(servers=known_servers(load(file, environment)))
    return await asyncio.to_thread(check_servers, wanted)


@pytest.mark.parametrize(
    ("replies", "keys", "said"),
    [
        ({"/v1/models": VLLM}, "", "/v1: vLLM, 1 model"),
        ({"/v1/models": {"data": []}}, "", "/v1: an API in OpenAI's form, 0 models"),
        ({"/v1/models": {"data": None}}, "", "/v1: an API in OpenAI's form, 0 models"),
        ({"/info": INFO}, "", "/v1: TGI 3.3.7 with gpt2"),
        ({"/info": INFO}, "dialect = tgi\n", "/v1: TGI 3.3.7 with gpt2"),
        ({"/api/tags": TAGS}, "dialect = ollama\n", "/v1: Ollama, 2 models"),
    ],
)
async def test_a_server_says_who_it_is(
    tmp_path: Path, start: Start, replies: dict[str, Any], keys: str, said: str
) -> None:
    server = await start(replies)
    found = await look(tmp_path, f"[upstream box]\nurl = {server.url}//v1/\n{keys}")
    assert found == Finding("servers", "ok", f"[upstream box] {server.url}{said}")
    # Nothing that loads, wakes or costs.
    assert {method for method, _ in server.asked} == {"GET"}
    assert {path for _, path in server.asked} <= {"/v1/models", "/info", "/api/tags"}


@pytest.mark.parametrize(
    ("reply", "said", "mend"),
    [
        (401, "wants a key (401)", "Set `api_key` there."),
        (302, "sends on to https://else/", "Write that address as `url`."),
        (404, "has nothing at /v1/models (404)", "Correct `url`, or `dialect`."),
        (503, "answers 503", "look again later"),
        ("<!doctype html><p>Hello", "answers with a web page, no API", "Correct `url`."),
        ({"hello": 1}, "/v1/models is no list of models", "set `dialect`"),
        ([1], "/v1/models is no list of models", "set `dialect`"),
    ],
)
async def test_wrong_replies_are_reported_with_a_fix(
    tmp_path: Path, start: Start, reply: Any, said: str, mend: str
) -> None:
    server = await start({"/v1/models": reply})
    found = await look(tmp_path, f"[upstream box]\nurl = {server.url}\n")
    assert (found.name, found.level) == ("servers", "warn")
    assert said in found.seen
    assert found.mend.startswith("[upstream box]: ")
    assert mend in found.mend
    assert "hunter2" not in found.seen


async def test_the_key_goes_along_and_is_never_shown(tmp_path: Path, start: Start) -> None:
    server = await start({"/v1/models": 401})
    found = await look(
        tmp_path,
        f"[model m]\nrunner = remote\nurl = {server.url}\napi_key = env:BOX\n",
        BOX="hunter2",
    )
    assert server.keys == ["Bearer hunter2"]
    assert "refuses the key (401)" in found.seen
    assert "hunter2" not in str(found)
    assert "hunter2" not in repr(known_servers(load(tmp_path / "settings.ini", {"BOX": "hunter2"})))


async def test_servers_that_are_not_there_are_each_said(tmp_path: Path, start: Start) -> None:
    server = await start({"/v1/models": VLLM})
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        found = await look(
            tmp_path,
            f"[upstream one]\nurl = 127.0.0.1:{closed.getsockname()[1]}\n"
            f"[upstream two]\nurl = 127.0.0.1:{silent.getsockname()[1]}\n"
            f"[upstream three]\nurl = {server.url.replace('http:', 'https:')}\n"
            f"[upstream four]\nurl = {server.url}\n",
        )
    one, two, three, four = found.seen.split("; ")
    assert one.endswith("nobody listens there")
    assert two.endswith("no answer within 2.5 s")
    assert three.endswith("speaks no TLS there")
    assert four.endswith("vLLM, 1 model")


def test_a_loopback_address_in_a_container_is_the_containers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "is_in_container", lambda: True)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        found = check_servers(Wanted(servers=(KnownServer("[upstream o]", url, is_here=True),)))
    assert "In a container this address is the container itself" in found.mend
    assert "`host.docker.internal`" in found.mend


def test_servers_that_do_not_speak_http_are_reported() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def greet() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.sendall(b"220 mail.example ready\r\n")
                connection.recv(1000)

        thread = threading.Thread(target=greet)
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        found = check_servers(Wanted(servers=(KnownServer("[upstream m]", url, is_here=True),)))
        thread.join()
    assert "speaks no HTTP" in found.seen


def test_a_certificate_that_is_not_trusted_is_said() -> None:
    error = ssl.SSLCertVerificationError()
    error.verify_message = "self-signed certificate"
    seen = servers._unreachable(KnownServer("[upstream s]", "https://h"), error)
    assert "not trusted: self-signed certificate" in seen.words
    assert "`ca_file`" in seen.mend


def test_without_servers_there_is_nothing_to_ask() -> None:
    assert check_servers(Wanted()).level == check_keys(Wanted()).level == "ok"


def test_keys_in_the_settings_file_are_better_elsewhere(tmp_path: Path) -> None:
    open_file, private = tmp_path / "open", tmp_path / "private"
    open_file.write_text("k")
    private.write_text("k")
    open_file.chmod(0o644)
    private.chmod(0o600)
    file = tmp_path / "settings.ini"
    file.write_text(
        "[upstream written]\nurl = localhost\napi_key = hunter2\n"
        "[upstream header]\nurl = localhost\nheaders = {\"X-Api-Key\": \"hunter2\"}\n"
        "[upstream open]\nurl = localhost\napi_key = file:open\n"
        "[upstream private]\nurl = localhost\napi_key = file:private\n"
        "[upstream env]\nurl = localhost\napi_key = env:K\n"
        "[upstream org]\nurl = localhost\nheaders = {\"X-Org\": \"me\"}\n"
    )  # fmt: skip
    (tmp_path / "servers.ini").write_text("[upstream page]\nurl = localhost\napi_key = hunter2\n")
    found = check_keys(Wanted(servers=known_servers(load(file, {"K": "k"}))))
    assert found == Finding(
        "keys",
        "warn",
        "the key of [upstream written], [upstream header] stands in settings.ini itself; "
        f"everybody on this machine may read {open_file}",
        "Better: `api_key = env:NAME` or `file:PATH`. chmod 600 it.",
    )
