"""Speak the protocol by hand, over a WebSocket client of another make."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import websockets

CEILING_SECONDS = 90

Event = dict[str, Any]


class Dialogue:
    """Send commands, and keep every event in its order."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self._socket = socket
        self._id = 0
        self.events: list[Event] = []

    async def say(self, **command: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        answer = await self.try_to(**command)
        assert answer["type"] == "result", answer
        result: dict[str, Any] = answer["result"]
        return result

    async def try_to(self, **command: Any) -> Event:
        """Send a command and return its answer, whether result or error."""
        self._id += 1
        await self._socket.send(json.dumps({"id": self._id, **command}))
        return await self.until(lambda e: e.get("id") == self._id)

    async def until(self, is_it: Callable[[Event], bool], *, skip: int = 0) -> Event:
        """Return the first event that is meant, past (after `skip` events) or to come."""
        async with asyncio.timeout(CEILING_SECONDS):
            seen = skip
            while True:
                while seen < len(self.events):
                    seen += 1
                    if is_it(self.events[seen - 1]):
                        return self.events[seen - 1]
                self.events += json.loads(await self._socket.recv())

    async def ask(self, *models: str, **options: Any) -> list[str]:
        """Have the models answer; return the generations."""
        if "prompt" not in options:
            options.setdefault("messages", QUESTION)
        targets = [{"model": model} for model in models]
        result = await self.say(type="generate", targets=targets, **options)
        ids: list[str] = result["generations"]
        return ids

    async def delta(self, generation: str, seq: int = 1) -> Event:
        """Wait until a generation has come as far as `seq`."""
        return await self.until(
            lambda e: e["type"] == "delta" and e["generation"] == generation and e["seq"] >= seq
        )

    async def end(self, generation: str) -> Event:
        """Wait for a generation's last event."""
        return await self.until(lambda e: e["type"] == "end" and e["generation"] == generation)

    async def model(self, model: str, state: str, *, skip: int = 0) -> dict[str, Any]:
        """Wait until a model is seen in a state, among the events after `skip`."""
        event = await self.until(
            lambda e: (
                e["type"] == "model" and e["model"]["id"] == model and e["model"]["state"] == state
            ),
            skip=skip,
        )
        seen: dict[str, Any] = event["model"]
        return seen

    async def model_now(self, model: str, state: str) -> dict[str, Any]:
        """Wait until a model is in a state, in which it may have been before this client came."""
        skip = len(self.events)
        welcome = await self.say(type="hello")
        seen: dict[str, Any]
        (seen,) = [shown for shown in welcome["models"] if shown["id"] == model]
        return seen if seen["state"] == state else await self.model(model, state, skip=skip)

    def text(self, generation: str) -> str:
        """Return the joined deltas."""
        return "".join(
            e["text"] for e in self.events if e["type"] == "delta" and e["generation"] == generation
        )

    def seq(self, generation: str) -> int:
        """Return how many deltas of a generation have come."""
        seqs: list[int] = [
            e["seq"] for e in self.events if e.get("generation") == generation and "seq" in e
        ]
        return max(seqs, default=0)


QUESTION = [{"role": "user", "content": "What is a lighthouse for?"}]


@asynccontextmanager
async def dialogue(address: str) -> AsyncIterator[Dialogue]:
    """Connect to the gateway at `HOST:PORT`."""
    async with websockets.connect(f"ws://{address}/ws", max_size=None) as socket:
        yield Dialogue(socket)
