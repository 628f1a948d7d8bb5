"""A package index and a model hub on loopback, with a flag for each way they fail."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from tests.weights.tiny import metadata_text

COMMIT = "c0ffee" * 6 + "beef"


@dataclass
class FileServer:
    """Serve one file's bytes, and remember which ranges were asked for.

    `cuts` lists after how many bytes the first, the second … answer breaks off; `hangs` stops
    there without a word instead.
    """

    content: bytes
    cuts: list[int] = field(default_factory=list)
    hangs: bool = False
    ignores_ranges: bool = False
    is_gone: bool = False
    requests: list[str | None] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)
    cut: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def sha256(self) -> str:
        """Return the file's hash."""
        return hashlib.sha256(self.content).hexdigest()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer as a server of large files does, or as told."""
        if self.is_gone:
            raise web.HTTPNotFound
        asked = request.headers.get("Range")
        self.requests.append(asked)
        self.authorizations.append(request.headers.get("Authorization"))
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        if self.ignores_ranges:
            start = 0
        if start >= len(self.content):
            return web.Response(status=416)
        body = self.content[start:]
        response = web.StreamResponse(status=206 if start else 200)
        response.content_length = len(body)
        if start:
            response.headers["Content-Range"] = (
                f"bytes {start}-{len(self.content) - 1}/{len(self.content)}"
            )
        await response.prepare(request)
        if not self.cuts:
            await response.write(body)
            return response
        await response.write(body[: self.cuts.pop(0)])
        self.cut.set()
        if self.hangs:
            await asyncio.Event().wait()
        assert request.transport is not None
        request.transport.close()
        return response


@dataclass
class Index:
    """A package index with one wheel."""

    name: str
    version: str
    wheel: FileServer
    claims_sha256: str | None = None
    pages: int = 0
    has_metadata: bool = True

    @property
    def file(self) -> str:
        """Return the wheel's name."""
        return f"{self.name.replace('-', '_')}-{self.version}-py3-none-any.whl"

    def app(self) -> web.Application:
        """Return the index as an application."""

        async def page(request: web.Request) -> web.Response:
            self.pages += 1
            sha256 = self.claims_sha256 or self.wheel.sha256
            # Both names of the promise that metadata can be had without the wheel.
            promise = 'data-core-metadata="true" data-dist-info-metadata="true"'
            promise = promise if self.has_metadata else ""
            link = f'<a href="/files/{self.file}#sha256={sha256}" {promise}>{self.file}</a>'
            return web.Response(text=f"<html>{link}</html>", content_type="text/html")

        async def metadata(request: web.Request) -> web.Response:
            return web.Response(text=metadata_text(self.name, self.version))

        app = web.Application()
        app.router.add_get(f"/simple/{self.name}/", page)
        app.router.add_get(f"/files/{self.file}", self.wheel.answer)
        app.router.add_get(f"/files/{self.file}.metadata", metadata)
        return app


@dataclass
class Hub:
    """A model hub with one file in one repository; the bytes come from elsewhere, as there."""

    file: FileServer
    repo: str = "org/repo"
    name: str = "model.gguf"
    token: str | None = None
    error: tuple[int, str] | None = None
    claims_sha256: str | None = None
    heads: int = 0
    elsewhere: str = ""

    def app(self) -> web.Application:
        """Return the hub as an application."""

        async def resolve(request: web.Request) -> web.Response:
            self.heads += request.method == "HEAD"
            status, code = self._verdict(request)
            if code:
                # The hub has a code for some errors, and for others words only.
                headers = {"X-Error-Message" if " " in code else "X-Error-Code": code}
                return web.Response(status=status, headers=headers)
            headers = {
                "X-Repo-Commit": COMMIT,
                "X-Linked-ETag": f'"{self.claims_sha256 or self.file.sha256}"',
                "X-Linked-Size": str(len(self.file.content)),
                "Location": f"{self.elsewhere}/bytes?signature=secret",
            }
            return web.Response(status=302, headers=headers)

        app = web.Application()
        app.router.add_route("*", "/{owner}/{repo}/resolve/{revision}/{file}", resolve)
        return app

    def elsewhere_app(self) -> web.Application:
        """Return the place the bytes come from."""
        app = web.Application()
        app.router.add_get("/bytes", self.file.answer)
        return app

    def _verdict(self, request: web.Request) -> tuple[int, str]:
        if self.error is not None:
            return self.error
        if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            return 401, "RepoNotFound"
        where = request.match_info
        if f"{where['owner']}/{where['repo']}" != self.repo:
            return 404, "RepoNotFound"
        if where["revision"] not in ("main", COMMIT):
            return 404, "RevisionNotFound"
        return (404, "EntryNotFound") if where["file"] != self.name else (200, "")


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[str]:
    """Serve on a free port and yield the address."""
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield site.name
    finally:
        await runner.cleanup()
