"""A fake server on the WebSocket, with frames from the test, behind the real page."""

import json
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, WebSocketRoute

Json = dict[str, Any]


def model(model_id: str, **more: Any) -> Json:
    """Return a model of our own that is ready."""
    return {
        "id": model_id,
        "name": model_id,
        "description": "",
        "runner": "process",
        "engine": "llama.cpp",
        "state": "ready",
        "progress": None,
        "error": None,
        "running": 0,
        "waiting": 0,
        "limits": {},
        "capabilities": {"chat": True, "cancel": True, "logprobs": True},
        "parameters": {},
        "outdated": False,
        "defaults": {},
        "server": None,
        "details": {},
        "config": None,
        **more,
    }


def elsewhere(model_id: str, address: str, engine: str, *, server: Json, **more: Any) -> Json:
    """Return a model on a remote server."""
    said = {"address": address, "model": model_id, **server}
    return model(model_id, runner="remote", engine=engine, server=said, **more)


class FakeWire:
    """The server side of every socket that the page opens."""

    def __init__(self, page: Page, models: list[Json]) -> None:
        self.models = models
        self.said: list[Json] = []
        self.refusals: dict[str, Json] = {}
        self.closes: dict[str, int] = {}
        """The code with which the socket is closed at a command of this type."""
        self.on_generate: Callable[[str, Json], None] = lambda generation, command: None
        self._socket: WebSocketRoute | None = None
        self._count = 0
        page.route_web_socket("**/ws", self._open)

    def say(self, *events: Json) -> None:
        """Send one frame."""
        assert self._socket is not None
        self._socket.send(json.dumps(events))

    def commands(self, kind: str) -> list[Json]:
        """Return the commands of a kind that the page has sent."""
        return [command for command in self.said if command["type"] == kind]

    def wait(self, generation: str, state: str, **more: Any) -> None:
        """Send the reason for which an answer waits."""
        self.say({"type": "state", "generation": generation, "state": state, **more})

    def answer(self, generation: str, text: str, *, before: int = 0, **end: Any) -> None:
        """Write an answer, behind so many deltas of other kinds, and end it."""
        tokens = before + len(text.split())
        self.say({"type": "delta", "generation": generation, "seq": tokens, "text": text})
        self.say(
            {
                "type": "end",
                "generation": generation,
                "seq": tokens,
                "finish_reason": "stop",
                "usage": {"prompt_tokens": 3, "completion_tokens": tokens},
                "timings": {
                    "queued_ms": 1.0,
                    "ttft_ms": 210.0,
                    "total_ms": 2310.0,
                    "tokens_per_second": 41.3,
                },
                **end,
            }
        )

    def hang_up(self) -> None:
        """Close the socket; the session of the next one is another."""
        assert self._socket is not None
        self._socket.close()

    def _open(self, socket: WebSocketRoute) -> None:
        self._socket = socket
        socket.on_message(self._take)

    def _take(self, frame: str | bytes) -> None:
        command = json.loads(frame)
        self.said.append(command)
        kind = command["type"]
        if kind in self.closes:
            assert self._socket is not None
            self._socket.close(code=self.closes[kind], reason="refused")
            return
        if kind in self.refusals:
            self.say({"type": "error", "id": command["id"], "error": self.refusals[kind]})
            return
        result: Json = {}
        if kind == "hello":
            result = {
                "protocol": 1,
                "server": {"name": "sidestream", "version": "0"},
                "session": "s_1",
                "resumed": False,
                "models": self.models,
                "generations": [],
                "conversations": {"state": "off"},
            }
        elif kind in ("start", "stop"):
            result = {"model": next(one for one in self.models if one["id"] == command["model"])}
        elif kind == "generate":
            self._count += 1
            result = {"generations": [f"g{self._count}"]}
        elif kind == "cancel":
            result = {"cancelled": command.get("generations", [])}
        self.say({"type": "result", "id": command["id"], "result": result})
        if kind == "generate":
            self.on_generate(f"g{self._count}", command)
