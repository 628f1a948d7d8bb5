"""Ask the engine over HTTP, and read its streams byte for byte."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

CEILING_SECONDS = 100
POLL_SECONDS = 0.02
PROMPT = "<|im_start|>user\nTell me about the sea.<|im_end|>\n<|im_start|>assistant\n"


class Client:
    """Speak to one engine."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.session = session

    async def post(
        self, path: str, body: object, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """Return the status and the decoded body of an answer."""
        async with self.session.post(self.url + path, json=body, headers=headers) as response:
            text = await response.text()
            is_json = response.content_type == "application/json"
            return response.status, json.loads(text) if is_json else text

    async def generate(self, inputs: str = PROMPT, **parameters: Any) -> Any:
        """Return the body of a `/generate` that succeeds."""
        status, body = await self.post("/generate", {"inputs": inputs, "parameters": parameters})
        assert status == 200, body
        return body

    async def stream(self, inputs: str = PROMPT, **parameters: Any) -> list[dict[str, Any]]:
        """Return all events of a stream."""
        async with self.open_stream(inputs, **parameters) as events:
            return [event async for event in events]

    @asynccontextmanager
    async def open_stream(
        self, inputs: str = PROMPT, **parameters: Any
    ) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """Open a stream and yield its events as they come; leaving closes the connection."""
        body = {"inputs": inputs, "parameters": parameters}
        async with self.session.post(self.url + "/generate_stream", json=body) as response:
            assert response.status == 200, await response.text()
            try:
                yield read_events(response)
            finally:
                response.close()

    async def metric(self, name: str) -> float:
        """Return the value of a metric, 0 while it is not there."""
        async with self.session.get(self.url + "/metrics") as response:
            lines = (await response.text()).splitlines()
        values = [line.rpartition(" ")[2] for line in lines if line.startswith(f"{name} ")]
        return float(values[0]) if values else 0.0

    async def wait_for_metric(self, name: str, value: float) -> None:
        """Return when the metric has that value."""
        async with asyncio.timeout(CEILING_SECONDS):
            while await self.metric(name) != value:  # noqa: ASYNC110  (another process's state)
                await asyncio.sleep(POLL_SECONDS)


async def read_events(response: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    """Yield a stream's events; the bytes of each must be UTF-8 and JSON by themselves."""
    rest = b""
    async for chunk in response.content.iter_any():
        *blocks, rest = (rest + chunk).split(b"\n\n")
        for block in blocks:
            if block == b":":
                continue
            assert block.startswith(b"data: "), block
            yield json.loads(block.removeprefix(b"data: ").decode("utf-8"))
    assert rest == b"", rest


def text_of(events: list[dict[str, Any]]) -> str:
    """Return the joined texts, without special tokens."""
    return "".join(event["token"]["text"] for event in events if not event["token"]["special"])
