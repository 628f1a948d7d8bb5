"""A gateway with keys, in the test's own loop, and visitors of it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from server.access.key import Key, digest_of, make_secret
from server.access.key_file import KeyFile
from server.core.protocol import Role
from server.web.entry.gate import GATE
from tests.fakes.tgi import Fake
from tests.web.gateway import Gateway, Reply
from tests.wire.gateway import Speaker
from tests.wire.gateway import until as watched

CEILING_SECONDS = 20


@dataclass
class KeyedGateway:
    """A gateway, the fake behind its models, and its keys by name."""

    gateway: Gateway
    fake: Fake
    file: KeyFile
    keys: dict[str, str] = field(default_factory=dict)

    @property
    def sockets_url(self) -> str:
        return self.gateway.url.replace("http", "ws", 1) + "/ws"

    def write(
        self,
        name: str,
        role: Role = "operator",
        models: tuple[str, ...] | None = None,
        expires_at: float | None = None,
    ) -> str:
        """Put a key into the file as `key add` does; return it."""
        secret = make_secret()
        key = Key(name, digest_of(secret), role, models, time.time(), expires_at)
        self.file.change(lambda keys: (*keys, key))
        self.keys[name] = secret
        return secret

    async def add(self, name: str, *words: Any, **more: Any) -> str:
        """Make a key and return it once the server knows it."""
        secret = self.write(name, *words, **more)
        keyring = self.gateway.app[GATE].keyring
        await until(lambda: keyring.find(secret) is not None)
        return secret

    def remove(self, name: str) -> None:
        """Take a key out of the file as `key remove` does."""
        self.file.change(lambda keys: tuple(key for key in keys if key.name != name))

    async def ask(self, method: str, path: str, *, key: str | None = None, **words: Any) -> Reply:
        """Make a request, with the key of that name."""
        headers = {**words.pop("headers", {}), **self.bearer(key)}
        async with self.gateway.http.request(
            method, self.gateway.url + path, headers=headers, allow_redirects=False, **words
        ) as response:
            return Reply(response.status, response.headers, (await response.read()).decode())

    def bearer(self, key: str | None) -> dict[str, str]:
        """Return the header that shows the key of that name."""
        return {} if key is None else {"Authorization": f"Bearer {self.keys[key]}"}

    @asynccontextmanager
    async def speaking(self, key: str | None = None, **words: Any) -> AsyncIterator[Speaker]:
        """Open a socket, with the key of that name."""
        url = words.pop("url", self.sockets_url)
        headers = {**words.pop("headers", {}), **self.bearer(key)}
        async with (
            aiohttp.ClientSession() as http,
            http.ws_connect(url, headers=headers, max_msg_size=0, **words) as socket,
        ):
            yield Speaker(socket)

    @asynccontextmanager
    async def streaming(self, key: str | None, **body: Any) -> AsyncIterator[aiohttp.StreamReader]:
        """Have a stream over HTTP, its first event read."""
        body = {"model": "m", "inputs": "Once", **body}
        async with self.gateway.http.post(
            f"{self.gateway.url}/generate_stream", json=body, headers=self.bearer(key)
        ) as response:
            assert response.status == 200, await response.text()
            await response.content.readuntil(b"\n\n")
            yield response.content


async def until(is_so: Callable[[], object], *, ceiling_seconds: float = CEILING_SECONDS) -> None:
    """Return as soon as `is_so()`; raises AssertionError if it does not come to that."""
    await watched(is_so, "what the test waits for", ceiling_seconds=ceiling_seconds)


async def close_code(speaker: Speaker) -> int | None:
    """Hear a socket to its end and return the code it was closed with."""
    async with asyncio.timeout(CEILING_SECONDS):
        while (await speaker.socket.receive()).type is aiohttp.WSMsgType.TEXT:
            pass
    return speaker.socket.close_code
