"""Servers that run on the machine are seen, used by an operator's word, and given up again."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.conftest import KeepLog
from tests.fakes.openai import serve
from tests.fakes.openai_options import like
from tests.support.dialogue import CEILING_SECONDS, Dialogue, dialogue
from tests.support.gateway import Gateway, gateway
from tests.support.ports import free_ports
from tests.web.test_reload import reload, write

MODEL = "vllm/fake-model"


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


def settings(*ports: int, more: str = "") -> str:
    return f"[discovery]\nports = {', '.join(map(str, ports))}\ninterval = 5\n{more}"


@pytest.fixture
def place(tmp_path: Path, keep_log: KeepLog) -> Path:
    keep_log("the gateway", tmp_path / "server.log")
    return tmp_path


async def models(running: Gateway, path: str = "/models") -> list[dict[str, Any]]:
    _, found = await ask(running, "GET", path)
    return list(found["data"] if isinstance(found, dict) else found)


async def ask(running: Gateway, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    url = f"http://{running.address}{path}"
    async with aiohttp.ClientSession() as http, http.request(method, url, json=body) as answer:
        text = await answer.text()
        return answer.status, json.loads(text) if text else None


async def seen(client: Dialogue, *ids: str, is_found: bool = True, skip: int = 0) -> None:
    """Return once these are all models that the client knows of."""

    def are_they(event: Any) -> bool:
        listed = event.get("models", event.get("result", {}).get("models"))
        if listed is None:
            return False
        shown = [(one["id"], (one["server"] or {}).get("found", False)) for one in listed]
        return shown == [(name, is_found) for name in ids]

    await client.until(are_they, skip=skip)


@asynccontextmanager
async def found(place: Path, more: str = "") -> AsyncIterator[tuple[Gateway, Dialogue]]:
    """Run a gateway beside a server that it has found, and a client that has seen it."""
    async with AsyncExitStack() as stack:
        fake = await stack.enter_async_context(serve(like("vllm")))
        running = await stack.enter_async_context(
            gateway(settings(port_of(fake.url), more=more), place)
        )
        client = await stack.enter_async_context(dialogue(running.address))
        await client.say(type="hello")
        await seen(client, MODEL)
        yield running, client


async def test_a_server_is_seen_used_kept_and_given_up(place: Path) -> None:
    async with serve(like("vllm")) as fake:
        text = settings(port_of(fake.url))
        name = f"found-{uuid.uuid4().hex[:8]}"
        async with (
            gateway(text, place, instance=name) as running,
            dialogue(running.address) as client,
        ):
            await client.say(type="hello")
            await seen(client, MODEL)
            refused = await client.try_to(
                type="generate", targets=[{"model": MODEL}], prompt="Hello"
            )
            assert refused["error"]["code"] == "unknown_model"
            assert "found on this machine and is not in use yet" in refused["error"]["message"]
            assert await models(running, "/v1/models") == []

            events = len(client.events)
            assert await client.say(type="use", server="vllm") == {}
            await seen(client, MODEL, is_found=False, skip=events)
            (generation,) = await client.ask(MODEL)
            assert (await client.end(generation))["finish_reason"] == "stop"
            assert [one["id"] for one in await models(running, "/v1/models")] == [MODEL]
        written = place / "servers.ini"
        assert f"url = {fake.url}/v1\nmodels = *\n" in written.read_text()
        assert written.stat().st_mode & 0o777 == 0o600

        async with gateway(text, place, instance=name) as running:
            (model,) = await models(running)
            assert (model["id"], model["server"].get("found", False)) == (MODEL, False)
            body = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}]}
            status, _ = await ask(running, "POST", "/v1/chat/completions", body)
            assert status == 200
            async with dialogue(running.address) as client:
                await client.say(type="hello")
                assert await ask(running, "DELETE", "/servers/vllm") == (204, None)
                # It runs on, and is found again at once.
                await seen(client, MODEL)
            assert "vllm" not in written.read_text()
            assert (await ask(running, "DELETE", "/servers/vllm"))[0] == 404


async def test_over_http_the_answer_has_the_models(place: Path) -> None:
    async with found(place) as (running, _):
        status, used = await ask(running, "POST", "/servers/vllm/use")
        assert (status, [model["id"] for model in used]) == (200, [MODEL])
        # Once more it is as it was.
        status, used = await ask(running, "POST", "/servers/vllm/use")
        assert (status, [model["id"] for model in used]) == (200, [MODEL])


async def test_several_who_use_a_server_at_once_get_one_entry(place: Path) -> None:
    async with found(place) as (running, _):
        answers = await asyncio.gather(
            *(ask(running, "POST", "/servers/vllm/use") for _ in range(5))
        )
        assert [status for status, _ in answers] == [200] * 5
        assert (place / "servers.ini").read_text().count("[upstream") == 1


async def test_an_unknown_server_is_refused(place: Path) -> None:
    async with found(place) as (_, client):
        for name in ("ollama", "", "x" * 300, "../../etc", "vllm\n[server]"):
            refused = await client.try_to(type="use", server=name)
            assert refused["error"]["code"] == "invalid_command"
        assert not (place / "servers.ini").exists()


async def test_a_file_that_cannot_be_read_is_not_written_over(place: Path) -> None:
    async with found(place) as (running, client):
        (place / "servers.ini").write_text("nonsense\n")
        refused = await client.try_to(type="use", server="vllm")
        assert refused["error"]["code"] == "storage_failed"
        assert "servers.ini" in refused["error"]["message"]
        assert (place / "servers.ini").read_text() == "nonsense\n"
        assert (await ask(running, "DELETE", "/servers/vllm"))[0] == 503
        assert [model["server"]["found"] for model in await models(running)] == [True]


async def test_a_folder_where_nothing_can_be_written_is_told(place: Path) -> None:
    async with found(place) as (running, client):
        # Even root cannot write through it.
        (place / "servers.ini.new").mkdir()
        refused = await client.try_to(type="use", server="vllm")
        assert refused["error"]["code"] == "storage_failed"
        assert not (place / "servers.ini").exists()
        assert [model["server"]["found"] for model in await models(running)] == [True]


async def test_settings_that_are_broken_by_now_undo_it(place: Path) -> None:
    async with found(place) as (running, client):
        file = place / "settings.ini"
        whole = file.read_text()
        file.write_text(whole + "\n[serverr]\n")
        refused = await client.try_to(type="use", server="vllm")
        assert refused["error"]["code"] == "invalid_command"
        assert "serverr" in refused["error"]["message"]
        assert "[upstream" not in (place / "servers.ini").read_text()
        file.write_text(whole)
        assert await client.say(type="use", server="vllm") == {}
        file.write_text(whole + "\n[serverr]\n")
        assert (await ask(running, "DELETE", "/servers/vllm"))[0] == 409
        assert "[upstream vllm]" in (place / "servers.ini").read_text()
        assert [model["id"] for model in await models(running, "/v1/models")] == [MODEL]


async def test_a_name_that_settings_ini_has_taken_meanwhile_undoes_it(place: Path) -> None:
    async with found(place) as (_, client):
        file = place / "settings.ini"
        file.write_text(file.read_text() + "\n[upstream vllm]\nurl = http://127.0.0.1:9\n")
        refused = await client.try_to(type="use", server="vllm")
        assert refused["error"]["code"] == "invalid_command"
        assert "[upstream vllm]" in refused["error"]["message"]
        assert "[upstream" not in (place / "servers.ini").read_text()


async def test_servers_of_settings_ini_cannot_be_removed_by_the_page(place: Path) -> None:
    more = "\n[upstream box]\nurl = http://127.0.0.1:9\n"
    async with gateway(settings(9, more=more), place) as running:
        status, refused = await ask(running, "DELETE", "/servers/box")
        assert (status, refused["error"]["code"]) == (404, "invalid_command")


async def test_other_programs_at_known_ports_are_ignored(place: Path) -> None:
    held = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await held.wait()
        writer.close()

    async def page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = b"<!doctype html><h1>It works!</h1>"
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while not held.is_set():
                writer.write(b"x" * 65536)
                await writer.drain()
        except ConnectionError:
            pass
        writer.close()

    own, _ = free_ports(1)
    async with AsyncExitStack() as stack:
        ports = [own]
        for serves in (hang, page, flood):
            server = await stack.enter_async_context(
                await asyncio.start_server(serves, "127.0.0.1", 0)
            )
            ports.append(server.sockets[0].getsockname()[1])
        fake = await stack.enter_async_context(serve(like("vllm")))
        text = settings(*ports, port_of(fake.url))
        running = await stack.enter_async_context(
            gateway(text, place, options=("--port", str(own)))
        )
        client = await stack.enter_async_context(dialogue(running.address))
        async with asyncio.timeout(CEILING_SECONDS):
            await client.say(type="hello")
            await seen(client, MODEL)
        held.set()
    told = [json.loads(line) for line in (place / "server.log").read_text().splitlines()]
    assert [one for one in told if one["level"] in ("warning", "error")] == []
    # It does not ask itself who it is.
    assert not [one for one in told if one.get("route") == "/v1/models"]


async def test_reload_turns_looking_off_and_on(place: Path) -> None:
    async with serve(like("vllm")) as fake:
        text = settings(port_of(fake.url))
        async with gateway(text, place) as running, dialogue(running.address) as client:
            await client.say(type="hello")
            await seen(client, MODEL)
            events = len(client.events)
            write(place, text + "enabled = no\n")
            assert await reload(place, SIDESTREAM_DISCOVERY__ENABLED="no") == (
                0,
                "[discovery] enabled = no\n",
            )
            await seen(client, skip=events)
            events = len(client.events)
            write(place, text)
            await reload(place)
            await seen(client, MODEL, skip=events)
