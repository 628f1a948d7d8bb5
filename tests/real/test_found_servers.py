"""Looking at real servers costs them nothing, and what is found can be used."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from server.models.catalogue.discovery import Discovery
from server.models.catalogue.found_servers import FoundServers
from server.settings.tables import Settings
from server.settings.upstreams import DiscoverySettings
from server.settings.values import Numbers
from tests.conftest import KeepLog
from tests.support.dialogue import dialogue
from tests.support.gateway import gateway
from tests.support.real_servers import RealServer, available, has, llama_swap, ollama

# As many as there are in ten minutes.
LOOKS = 20
KINDS = available("llama.cpp", "llama-server", "tgi", "ollama", "llama-swap")
NAMES = {"llama-server": "llama.cpp"}


@asynccontextmanager
async def looking(*servers: RealServer) -> AsyncIterator[Discovery]:
    ports = Numbers(server.port for server in servers)
    found = FoundServers()
    settings = Settings(discovery=DiscoverySettings(ports=ports))
    discovery = Discovery(settings, found, own_ports=tuple)
    try:
        await discovery.look()
        assert found.models()
        yield discovery
    finally:
        await discovery.close()


async def ask(url: str, body: Any = None) -> Any:
    method = "GET" if body is None else "POST"
    async with aiohttp.ClientSession() as http, http.request(method, url, json=body) as answer:
        text = await answer.text()
        assert answer.status == 200, text
        return json.loads(text)


async def until_unloaded(discovery: Discovery, url: str, key: str) -> None:
    """Return once nothing is loaded, looking again and again all the while."""
    async with asyncio.timeout(60):
        while (await ask(url))[key]:
            await discovery.look()


if has("ollama"):

    async def test_ollama_is_neither_loaded_nor_kept_loaded_by_looks() -> None:
        async with ollama() as server, looking(server) as discovery:
            for _ in range(LOOKS):
                await discovery.look()
            assert (await ask(server.url + "/api/ps"))["models"] == []
            body = {"model": server.model, "prompt": "Hi", "options": {"num_predict": 2}}
            await ask(server.url + "/api/generate", {**body, "keep_alive": "10m", "stream": False})
            for _ in range(LOOKS):
                await discovery.look()
            # Ollama sets the moment of unloading again a little after the answer.
            before = (await ask(server.url + "/api/ps"))["models"]
            assert before
            for _ in range(LOOKS):
                await discovery.look()
            # The moment of unloading is among what is compared.
            assert (await ask(server.url + "/api/ps"))["models"] == before
            await ask(server.url + "/api/generate", {**body, "keep_alive": "1s", "stream": False})
            await until_unloaded(discovery, server.url + "/api/ps", "models")


if has("llama-swap"):

    async def test_llama_swap_neither_swaps_nor_stays_loaded_for_looks() -> None:
        async with (
            llama_swap(model_options={"ttl": 2}) as server,
            looking(server) as discovery,
        ):
            for _ in range(LOOKS):
                await discovery.look()
            assert (await ask(server.url + "/running"))["running"] == []
            body = {
                "model": "two",
                "max_tokens": 2,
                "messages": [{"role": "user", "content": "Hi"}],
            }
            await ask(server.url + "/v1/chat/completions", body)
            assert [one["model"] for one in (await ask(server.url + "/running"))["running"]] == [
                "two"
            ]
            await until_unloaded(discovery, server.url + "/running", "running")


@pytest.mark.parametrize("any_process", KINDS, indirect=True)
async def test_a_real_server_is_found_used_and_answers(
    real_server: RealServer, tmp_path: Path, keep_log: KeepLog
) -> None:
    keep_log("the gateway", tmp_path / "server.log")
    name = NAMES.get(real_server.name, real_server.name)
    settings = f"[discovery]\nports = {real_server.port}\ninterval = 5\n"
    async with gateway(settings, tmp_path) as running, dialogue(running.address) as client:
        welcome = await client.say(type="hello")
        while not welcome["models"]:
            welcome = await client.until(
                lambda event: event["type"] == "models" and event["models"] != []
            )
        first, *_ = welcome["models"]
        assert (first["server"]["name"], first["server"]["found"]) == (name, True)
        assert await client.say(type="use", server=name) == {}
        (generation,) = await client.ask(first["id"], parameters={"max_new_tokens": 4})
        end = await client.end(generation)
        assert end["finish_reason"] in ("length", "stop"), end
        assert end["usage"]["completion_tokens"] <= 4
