"""The pages: their frames by Jinja2, and what they load.

The address of what they load holds a hash of all files, so a browser may keep it for ever and
still never shows an old one beside a new one.
"""

from functools import cached_property
from pathlib import Path
from typing import Any

import jinja2
from aiohttp import web

from server import __version__
from server.access.principal import LOCAL
from server.web.entry.gate import CALLER
from server.web.files.content import ASK_AGAIN, Content
from server.web.files.folder import Folder
from server.web.http.openapi import Description
from server.web.http.reference import DOCS_WORDS

_ROOT = Path(__file__).resolve().parent.parent.parent
STATIC = _ROOT / "static"
TEMPLATES = _ROOT / "templates"


class Page:
    """Serve the pages as their templates were when the server started, and what they load."""

    def __init__(
        self, description: Description, static: Path = STATIC, templates: Path = TEMPLATES
    ) -> None:
        self._description = description
        self._files = Folder(static)
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(templates),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
        )
        self._index_html = _html(self.render("index.html", can_sign_out=False))
        self._signed_in_html = _html(self.render("index.html", can_sign_out=True))

    def routes(self) -> list[web.RouteDef]:
        """Return the page's routes."""
        return [
            web.get("/", self._index),
            web.get("/docs", self._docs),
            web.get("/favicon.ico", self._favicon),
            *self._files.routes(),
        ]

    async def _index(self, request: web.Request) -> web.Response:
        is_signed_in = request[CALLER].principal is not LOCAL
        return (self._signed_in_html if is_signed_in else self._index_html).answer(request)

    async def _docs(self, request: web.Request) -> web.Response:
        return self._docs_html.answer(request)

    @cached_property
    def _docs_html(self) -> Content:
        return _html(self.render("docs.html", description=self._description, **DOCS_WORDS))

    def render(self, template: str, **words: Any) -> str:
        """Return a page made from a template."""
        return self._environment.get_template(template).render(
            version=__version__, static=self._files.path, **words
        )

    async def _favicon(self, request: web.Request) -> web.Response:
        raise web.HTTPFound(f"{self._files.path}/favicon.svg")


def _html(text: str) -> Content:
    return Content(text.encode(), "text/html; charset=utf-8", ASK_AGAIN)
