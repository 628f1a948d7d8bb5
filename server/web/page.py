"""The pages: their frames by Jinja2, and their files under a path that changes with them.

A file's address holds a hash of all static files, so a browser may keep it for ever and
still never shows an old one beside a new one.
"""

import hashlib
import mimetypes
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jinja2
from aiohttp import web

from server import __version__
from server.access.principal import LOCAL
from server.web.gate import CALLER
from server.web.openapi import Description
from server.web.reference import DOCS_WORDS

_ROOT = Path(__file__).resolve().parent.parent.parent
STATIC = _ROOT / "static"
TEMPLATES = _ROOT / "templates"

_FOR_EVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class _File:
    body: bytes
    content_type: str


class Page:
    """Serve the page and its files from memory, as they were when the server started."""

    def __init__(
        self, description: Description, static: Path = STATIC, templates: Path = TEMPLATES
    ) -> None:
        self._description = description
        self._files = {
            path.relative_to(static).as_posix(): _File(path.read_bytes(), _type_of(path))
            for path in sorted(static.rglob("*"))
            if path.is_file() and not path.name.startswith(".")
        }
        digest = hashlib.sha256()
        for name, file in self._files.items():
            digest.update(name.encode() + b"\0" + file.body + b"\0")
        self._version = digest.hexdigest()[:12]
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(templates),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
        )
        self._html = self.render("index.html", can_sign_out=False)
        self._signed_in_html = self.render("index.html", can_sign_out=True)

    def routes(self) -> list[web.RouteDef]:
        """Return the page's routes."""
        return [
            web.get("/", self._index),
            web.get("/docs", self._docs),
            web.get("/favicon.ico", self._favicon),
            web.get("/static/{version}/{name:.+}", self._file),
        ]

    async def _index(self, request: web.Request) -> web.Response:
        is_signed_in = request[CALLER].principal is not LOCAL
        return web.Response(
            text=self._signed_in_html if is_signed_in else self._html,
            content_type="text/html",
            headers={"Cache-Control": "no-cache"},
        )

    async def _docs(self, request: web.Request) -> web.Response:
        return web.Response(
            text=self._docs_html, content_type="text/html", headers={"Cache-Control": "no-cache"}
        )

    @cached_property
    def _docs_html(self) -> str:
        return self.render("docs.html", description=self._description, **DOCS_WORDS)

    def render(self, template: str, **words: Any) -> str:
        """Return a page made from a template."""
        return self._environment.get_template(template).render(
            version=__version__, static=f"/static/{self._version}", **words
        )

    async def _favicon(self, request: web.Request) -> web.Response:
        raise web.HTTPFound(f"/static/{self._version}/favicon.svg")

    async def _file(self, request: web.Request) -> web.Response:
        file = self._files.get(request.match_info["name"])
        if file is None or request.match_info["version"] != self._version:
            raise web.HTTPNotFound
        return web.Response(
            body=file.body,
            headers={"Content-Type": file.content_type, "Cache-Control": _FOR_EVER},
        )


def _type_of(path: Path) -> str:
    # The system's table of types may be missing or wrong, and nosniff makes that matter.
    known = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
    kind = known.get(path.suffix) or mimetypes.guess_type(path.name)[0]
    kind = kind or "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind
