"""A gateway over model servers that are there already, and what clients see of them."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.dialogue import CEILING_SECONDS, Dialogue, dialogue
from tests.support.gateway import Gateway, gateway
from tests.support.real_servers import RealServer

COMMON = """\
[conversations]
enabled = no
[discovery]
enabled = no
interval = 5
[engines]
health_interval = 0.3
connect_timeout = 2
"""
LONG = {"temperature": 0, "max_new_tokens": 400}
SHORT = {"temperature": 0, "max_new_tokens": 12}
_LOOK_SECONDS = 0.05

Model = dict[str, Any]


@dataclass(frozen=True)
class Over:
    """A gateway, and one who speaks to it."""

    gateway: Gateway
    client: Dialogue
    http: aiohttp.ClientSession
    settings: Path

    async def get(self, path: str) -> Any:
        """Return what the gateway answers, decoded."""
        async with self.http.get(f"http://{self.gateway.address}{path}") as response:
            return await response.json()

    async def models(self) -> dict[str, Model]:
        """Return all models by their ids."""
        return {model["id"]: model for model in await self.get("/models")}

    async def sees(self, model_id: str, is_so: Callable[[Model], bool] = lambda _: True) -> Model:
        """Return the model as soon as there is one of that id and it is so."""
        models: dict[str, Model] = {}
        try:
            async with asyncio.timeout(CEILING_SECONDS):
                while not (model_id in models and is_so(models[model_id])):
                    await asyncio.sleep(_LOOK_SECONDS)
                    models = await self.models()
        except TimeoutError:
            raise AssertionError(f"waited in vain for {model_id}: {models}") from None
        return models[model_id]

    async def sees_any(self, prefix: str) -> Model:
        """Return the first model whose id begins so, as soon as there is one."""
        async with asyncio.timeout(CEILING_SECONDS):
            while True:
                for model_id, model in (await self.models()).items():
                    if model_id.startswith(prefix):
                        return model
                await asyncio.sleep(_LOOK_SECONDS)

    async def sees_none(self, model_id: str) -> None:
        """Return as soon as there is no model of that id."""
        async with asyncio.timeout(CEILING_SECONDS):
            while True:
                if model_id not in await self.models():
                    return
                await asyncio.sleep(_LOOK_SECONDS)

    async def state(self, model_id: str, state: str) -> Model:
        """Return the model as soon as it is in that state."""
        return await self.sees(model_id, lambda model: bool(model["state"] == state))

    async def answers(self, model_id: str) -> Model:
        """Return the model as soon as its server answers, whether it has loaded it or not."""
        return await self.sees(
            model_id, lambda model: model["state"] in ("ready", "stopped") and bool(model["engine"])
        )

    async def answer(
        self, model_id: str, content: dict[str, Any], **options: Any
    ) -> tuple[str, dict[str, Any]]:
        """Return a whole answer: its text, and its end."""
        options.setdefault("parameters", SHORT)
        (generation,) = await self.client.ask(model_id, **content, **options)
        end = await self.client.end(generation)
        return self.client.text(generation), end


@asynccontextmanager
async def over(settings: str, folder: Path, *, instance: str = "") -> AsyncIterator[Over]:
    """Run a gateway with these settings beside the common ones, and connect to it."""
    async with (
        gateway(COMMON + settings, folder, instance=instance) as running,
        dialogue(running.address) as client,
        aiohttp.ClientSession() as http,
    ):
        yield Over(running, client, http, folder / "settings.ini")


def upstream(server: RealServer | str, *lines: str, name: str = "u") -> str:
    """Return the section of a server with many models."""
    url = server if isinstance(server, str) else server.url
    return "\n".join([f"[upstream {name}]", f"url = {url}", *lines, ""])


def remote(server: RealServer | str, *lines: str, name: str = "m") -> str:
    """Return the section of one model on a server."""
    url = server if isinstance(server, str) else server.url
    return "\n".join([f"[model {name}]", "runner = remote", f"url = {url}", *lines, ""])


async def until_idle(server: RealServer, http: aiohttp.ClientSession) -> None:
    """Return once the server computes nothing any more, by its own word."""
    if server.name == "ollama":
        # It writes a line about a request when that is over, whatever became of it.
        await server.wait_for_log('"/api/chat"')
        return
    metric, path = {
        "tgi": ("tgi_batch_current_size", "/metrics"),
        "vllm": ("vllm:num_requests_running", "/metrics"),
        "llama-swap": ("llamacpp:requests_processing", f"/upstream/{server.model}/metrics"),
    }.get(server.name, ("llamacpp:requests_processing", "/metrics"))
    async with asyncio.timeout(CEILING_SECONDS):
        while True:
            async with http.get(server.url + path) as response:
                found = re.search(
                    rf"^{metric}(?:{{.*}})? (\S+)$", await response.text(), re.MULTILINE
                )
            if found and float(found[1]) == 0:
                return
            await asyncio.sleep(_LOOK_SECONDS)
