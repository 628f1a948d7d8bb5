"""The pages: their templates, and the static files that they load.

The address of static files contains a hash of all of them, so that a browser may cache them for
ever and never mixes files of two versions. Pages name every address relative to their own, so that
they work below any path of a proxy's.
"""

from functools import partial
from pathlib import Path
from typing import Any, Final

import jinja2
from aiohttp import web

from server import __version__
from server.access.principal import LOCAL
from server.core.errors import SidestreamError
from server.web.entry.gate import CALLER
from server.web.entry.peer import peer_of
from server.web.files.content import ASK_AGAIN, Content
from server.web.files.folder import Folder
from server.web.http.openapi import Description
from server.web.http.reference import ADDRESS, DOCS_WORDS, MODEL, example
from server.web.keys import FLEET

_ROOT = Path(__file__).resolve().parent.parent.parent
STATIC = _ROOT / "static"
TEMPLATES = _ROOT / "templates"


class Page:
    """Serve the pages, with templates and files as they were when the server started."""

    def __init__(
        self,
        description: Description,
        static: Path = STATIC,
        templates: Path = TEMPLATES,
        *,
        has_runs: bool = True,
    ) -> None:
        self._description = description
        self._files = Folder(static)
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(templates),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
        )
        # The reference as it was asked for last, by the address and the model of its examples.
        self._docs_html: dict[tuple[str, str], Content] = {}
        # By whether the caller has signed in, is an operator, and may add models.
        self._index_html = {
            (signed_in, operates, adds): _html(
                self.render(
                    "index.html",
                    can_sign_out=signed_in,
                    is_operator=operates,
                    can_add=adds,
                    has_runs=has_runs,
                )
            )
            for signed_in in (False, True)
            for operates, adds in ((False, False), (True, False), (True, True))
        }

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of the pages."""
        return [web.get("/", self._index), web.get("/docs", self._docs)]

    def public_routes(self) -> list[web.RouteDef]:
        """Return the routes that need no key: the page for signing in is made of them, too."""
        return [web.get("/favicon.ico", self._favicon), *self._files.routes()]

    async def _index(self, request: web.Request) -> web.Response:
        principal = request[CALLER].principal
        operates = principal.role == "operator"
        adds = operates and principal.models is None
        return self._index_html[principal is not LOCAL, operates, adds].answer(request)

    async def _docs(self, request: web.Request) -> web.Response:
        peer = peer_of(request)
        scheme = "https" if peer.is_encrypted else "http"
        address = f"{scheme}://{peer.host}" if peer.host else ADDRESS
        sees = request[CALLER].principal.sees
        usable = (
            one.id
            for one in request.app[FLEET].shown()
            if sees(one.id) and not (one.server and one.server.found)
        )
        key = address, next(usable, MODEL)
        if key not in self._docs_html:
            self._docs_html = {key: self._render_docs(*key)}
        return self._docs_html[key].answer(request)

    def _render_docs(self, address: str, model: str) -> Content:
        words = DOCS_WORDS | {"example": partial(example, address=address, model=model)}
        return _html(self.render("docs.html", description=self._description, **words))

    def refuse(self, error: SidestreamError) -> web.Response:
        """Return a page that says why there is no page."""
        text = self.render("refused.html", error=error)
        return web.Response(text=text, content_type="text/html", status=error.status)

    def render(self, template: str, **words: Any) -> str:
        """Return a page made from a template."""
        return self._environment.get_template(template).render(
            version=__version__, static=self._files.path, **words
        )

    async def _favicon(self, request: web.Request) -> web.Response:
        raise web.HTTPFound(f"{self._files.path}/favicon.svg")


PAGE: Final = web.AppKey("page", Page)


def _html(text: str) -> Content:
    return Content(text.encode(), "text/html; charset=utf-8", ASK_AGAIN)
