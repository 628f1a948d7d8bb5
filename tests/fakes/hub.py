"""A model hub on loopback: its list of files, their beginnings and bytes, and each way it fails."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.weights.tiny import TINY_METADATA, gguf_bytes

COMMIT = "c0ffee" * 6 + "beef"
# As SmolLM2 135M has it: 30 layers, 3 heads of 64 for keys and values.
METADATA: dict[str, Any] = {
    **TINY_METADATA,
    "llama.context_length": 8192,
    "llama.block_count": 30,
    "llama.embedding_length": 576,
    "llama.attention.head_count": 9,
    "llama.attention.head_count_kv": 3,
    "llama.vocab_size": 49152,
}
BYTES_PER_TOKEN = 30 * 3 * (64 + 64) * 2


@dataclass
class FakeRepo:
    """One repository: sizes by name, as the hub claims them, and what is in each file.

    `gate` is an error code that its files are refused with; a `token` is needed to see it at all.
    """

    sizes: dict[str, int] = field(default_factory=dict)
    content: bytes = gguf_bytes(METADATA)
    gate: str = ""
    token: str = ""

    def siblings(self) -> list[dict[str, Any]]:
        """Return its files as the hub lists them."""
        return [
            {"rfilename": name, "size": size, "lfs": {"sha256": self.sha256(name), "size": size}}
            for name, size in self.sizes.items()
        ]

    def body(self, name: str) -> bytes:
        """Return a file's bytes; those of no two are the same."""
        return self.content + name.encode()

    def sha256(self, name: str) -> str:
        """Return a file's hash."""
        return hashlib.sha256(self.body(name)).hexdigest()


@dataclass
class FakeHub:
    """A hub with repositories; `says` replaces its lists, and `is_silent` has it never answer."""

    repos: dict[str, FakeRepo] = field(default_factory=dict)
    says: bytes | None = None
    status: int = 200
    is_silent: bool = False
    asked: list[str] = field(default_factory=list)
    ranges: list[str | None] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    def app(self) -> web.Application:
        """Return the hub as an application."""
        app = web.Application()
        app.router.add_get("/api/models/{owner}/{name}", self._list)
        app.router.add_get("/api/models/{owner}/{name}/revision/{revision}", self._list)
        app.router.add_route("*", "/{owner}/{name}/resolve/{revision}/{file:.+}", self._resolve)
        return app

    async def _list(self, request: web.Request) -> web.StreamResponse:
        refused = await self._refusal(request)
        if refused is not None:
            return refused
        if self.says is not None:
            return web.Response(body=self.says, status=self.status)
        repo = self.repos[_name(request)]
        # Gated ones are listed all the same.
        return web.json_response({"sha": COMMIT, "siblings": repo.siblings()})

    async def _resolve(self, request: web.Request) -> web.StreamResponse:
        refused = await self._refusal(request)
        if refused is not None:
            return refused
        repo, name = self.repos[_name(request)], request.match_info["file"]
        if repo.gate:
            return web.Response(status=403, headers={"X-Error-Code": repo.gate})
        if name not in repo.sizes:
            return web.Response(status=404, headers={"X-Error-Code": "EntryNotFound"})
        body = repo.body(name)
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{repo.sha256(name)}"'}
        asked = request.headers.get("Range")
        self.ranges.append(asked)
        if asked:
            start, _, end = asked.removeprefix("bytes=").partition("-")
            part = body[int(start) : int(end or len(body)) + 1]
            return web.Response(body=part, status=206, headers=headers)
        return web.Response(body=body, headers=headers)

    async def _refusal(self, request: web.Request) -> web.StreamResponse | None:
        self.asked.append(request.path)
        self.authorizations.append(request.headers.get("Authorization"))
        self.reached.set()
        if self.is_silent:
            await asyncio.Event().wait()
        repo = self.repos.get(_name(request))
        if self.says is not None and repo is None:
            return None
        has_token = repo and self.authorizations[-1] == f"Bearer {repo.token}"
        if repo is None or (repo.token and not has_token):
            return web.Response(status=401, headers={"X-Error-Code": "RepoNotFound"})
        if request.match_info.get("revision", "main") not in ("main", COMMIT):
            return web.Response(status=404, headers={"X-Error-Code": "RevisionNotFound"})
        return None


def _name(request: web.Request) -> str:
    return f"{request.match_info['owner']}/{request.match_info['name']}"


@asynccontextmanager
async def serve(hub: FakeHub) -> AsyncIterator[FakeHub]:
    """Serve a hub on a free port; its address is `url` meanwhile."""
    runner = web.AppRunner(
        hub.app(), access_log=None, handler_cancellation=True, shutdown_timeout=0.1
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        hub.url = site.name
        yield hub
    finally:
        await runner.cleanup()
