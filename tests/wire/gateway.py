"""The real gateway in a test's own loop, with remote models in front of fake TGIs.

`async with gateway({"small": fake.url}, sessions={"session_ttl": 1.0}) as running:` listens on a
free port of loopback until the block ends. Settings are given as the keys of their sections;
ranges are not checked, so that times can be short.
"""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web

from server.app import build_app
from server.models.runners.programs.launch import Launcher
from server.settings.conversations import ConversationSettings
from server.settings.models import ModelSettings
from server.settings.runs import RunSettings
from server.settings.tables import (
    AnswerSettings,
    EngineSettings,
    ServerSettings,
    SessionSettings,
    Settings,
)
from server.web.keys import GENERATIONS, SESSIONS, SOCKETS

CEILING_SECONDS = 20.0


@dataclass(frozen=True)
class Running:
    """A gateway that listens in this process."""

    app: web.Application
    port: int
    runner: web.AppRunner

    @property
    def url(self) -> str:
        """Return the address of its WebSocket."""
        return f"ws://127.0.0.1:{self.port}/ws"

    @property
    def sockets(self) -> int:
        """Return how many sockets are open."""
        return len(self.app[SOCKETS])

    @property
    def connections(self) -> int:
        """Return how many TCP connections are served, those that linger among them."""
        assert self.runner.server is not None
        return len(self.runner.server.connections)

    @property
    def sessions(self) -> int:
        """Return how many sessions are kept."""
        return len(self.app[SESSIONS])

    @property
    def live(self) -> int:
        """Return how many answers are under way."""
        return len(self.app[GENERATIONS]._live)

    @property
    def kept(self) -> int:
        """Return how many answers the sessions hold, live and ended."""
        sessions = self.app[SESSIONS]._sessions.values()
        return sum(len(session.infos()) for session in sessions)

    @property
    def known_requests(self) -> int:
        """Return how many request ids the sessions hold."""
        return sum(len(session._by_request_id) for session in self.app[SESSIONS]._sessions.values())


@asynccontextmanager
async def gateway(
    models: Mapping[str, str | ModelSettings],
    *,
    port: int = 0,
    send_buffer_bytes: int | None = None,
    embedded: Launcher | None = None,
    **sections: Mapping[str, Any],
) -> AsyncIterator[Running]:
    """Run a gateway; a model is the address of its server, or its settings.

    With a small `send_buffer_bytes` it feels soon when a client does not read.
    """
    kinds = {
        "server": ServerSettings,
        "sessions": SessionSettings,
        "answers": AnswerSettings,
        "engines": EngineSettings,
        "conversations": ConversationSettings,
        "runs": RunSettings,
    }
    ours: dict[str, dict[str, Any]] = {
        "server": {"shutdown_grace": 0.0},
        "conversations": {"enabled": False},
        # Its file would be that of whoever runs the tests.
        "runs": {"enabled": False},
    }
    given = sections | {name: keys | dict(sections.get(name, {})) for name, keys in ours.items()}
    settings = Settings(
        **{name: kinds[name](**keys) for name, keys in given.items()},
        models={
            name: ModelSettings(runner="remote", url=model) if isinstance(model, str) else model
            for name, model in models.items()
        },
    )
    app = build_app(settings, embedded=embedded)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", port))
    if send_buffer_bytes is not None:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_bytes)
    try:
        await web.SockSite(runner, listener).start()
        yield Running(app, listener.getsockname()[1], runner)
    finally:
        await runner.cleanup()


async def until(
    is_true: Callable[[], object], what: str, *, ceiling_seconds: float = CEILING_SECONDS
) -> None:
    """Return as soon as `is_true()`; raises AssertionError if it does not come to that."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + ceiling_seconds
    while not is_true():
        assert loop.time() < deadline, f"it never came to this: {what}"
        await asyncio.sleep(0.002)


class Speaker:
    """A client without any cleverness: says frames, hears events, remembers all of them."""

    def __init__(self, socket_: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket_
        self.events: list[dict[str, Any]] = []
        self._last_id = 0
        self._unread: list[dict[str, Any]] = []

    async def say(self, kind: str, **fields: Any) -> int:
        """Send a command and return its id."""
        self._last_id += 1
        await self.socket.send_str(json.dumps({"id": self._last_id, "type": kind, **fields}))
        return self._last_id

    async def hear(self) -> dict[str, Any]:
        """Return the next event; raises ConnectionError when the socket has ended."""
        while not self._unread:
            message = await self.socket.receive(timeout=CEILING_SECONDS)
            if message.type is not aiohttp.WSMsgType.TEXT:
                raise ConnectionError(f"closed with {self.socket.close_code}")
            self._unread = json.loads(message.data)
            self.events += self._unread
        return self._unread.pop(0)

    async def hear_until(self, is_it: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """Return the first event from now on of which `is_it` is true."""
        while not is_it(event := await self.hear()):
            pass
        return event

    async def ask(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Send a command and return its one answer."""
        command = await self.say(kind, **fields)
        return await self.hear_until(
            lambda event: event["type"] in ("result", "error") and event.get("id") == command
        )


@asynccontextmanager
async def speaking(url: str, *, receive_buffer_bytes: int | None = None) -> AsyncIterator[Speaker]:
    """Open a socket to a gateway; with a small buffer, not hearing soon holds up the sender."""

    def make_socket(address: Any) -> socket.socket:
        family, kind, protocol, _, _ = address
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        if receive_buffer_bytes is not None:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        return made

    connector = aiohttp.TCPConnector(socket_factory=make_socket)
    async with (
        aiohttp.ClientSession(connector=connector) as http,
        http.ws_connect(url, max_msg_size=0) as opened,
    ):
        yield Speaker(opened)
