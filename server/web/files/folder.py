"""The files under `static/`: read once, and served under a path that changes with any of them.

Entry points are sent joined with all that they import, without comments and indentation. Every
other file is sent as it is, so that the sources can be read in the browser too.
"""

import asyncio
import hashlib
import mimetypes
from functools import cached_property
from pathlib import Path
from typing import Final

from aiohttp import web

from server.web.files.content import FOR_EVER, Content
from server.web.files.joining import join_later, join_modules, join_sheets, later_files

_ENTRY: Final = "js/main.js"


class Folder:
    """Serve the files of a folder from memory, as they were when the server started."""

    def __init__(self, folder: Path) -> None:
        self._sources = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and not path.name.startswith(".")
        }
        self._made: dict[str, Content] = {}
        digest = hashlib.sha256()
        for name, body in self._sources.items():
            digest.update(name.encode() + b"\0" + body + b"\0")
        self._version = digest.hexdigest()[:12]

    @property
    def path(self) -> str:
        """Return where the files are, relative to the pages, without a slash at the end."""
        return f"static/{self._version}"

    def routes(self) -> list[web.RouteDef]:
        """Return the route of all files."""
        return [web.get("/static/{version}/{name:.+}", self._answer)]

    async def _answer(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in self._sources or request.match_info["version"] != self._version:
            raise web.HTTPNotFound
        if name not in self._made:
            # Once for each file, and beside the loop: the largest takes a twentieth of a second.
            self._made[name] = await asyncio.to_thread(self._make, name)
        return self._made[name].answer(request)

    def _make(self, name: str) -> Content:
        content = Content(self.sent(name), _type_of(name), FOR_EVER)
        _ = content.gzipped
        return content

    def sent(self, name: str) -> bytes:
        """Return a file as it is sent, before compression."""
        if name == _ENTRY:
            return join_modules(self._text(".js"), name).encode()
        if name in self._later:
            return join_later(self._text(".js"), name, _ENTRY).encode()
        if name.endswith(".css"):
            return join_sheets(self._text(".css"), name).encode()
        return self._sources[name]

    @cached_property
    def _later(self) -> set[str]:
        return later_files(self._text(".js"), _ENTRY)

    def _text(self, suffix: str) -> dict[str, str]:
        return {
            name: body.decode() for name, body in self._sources.items() if name.endswith(suffix)
        }


def _type_of(name: str) -> str:
    # The system's table of types may be missing or wrong, and nosniff makes that matter.
    known = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
    kind = known.get(Path(name).suffix) or mimetypes.guess_type(name)[0]
    kind = kind or "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind
