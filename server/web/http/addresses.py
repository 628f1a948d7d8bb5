"""Addresses with superfluous slashes: `//v1/models`, `/v1//chat/completions`, `/models/ID/`.

They come from a base address and a path that were joined carelessly, mostly in a client's
settings. They are served like the address without these slashes: a redirect would make some
clients turn a POST into a GET, and others lose the key. No model's id has two slashes in a row, or
one at its end, that are not encoded.
"""

import re
from collections.abc import Sequence
from typing import Final

from aiohttp import web
from aiohttp.web_urldispatcher import UrlMappingMatchInfo
from yarl import URL

_SLASHES: Final = re.compile(r"/{2,}")


def tidy(path: str) -> str:
    """Return an address without superfluous slashes; encoded ones stay."""
    return _SLASHES.sub("/", path).rstrip("/") or "/"


class UntidyAddresses(web.PlainResource):
    """Resolve addresses with superfluous slashes to the routes of `resources`."""

    def __init__(self, resources: Sequence[web.AbstractResource]) -> None:
        # A path that no route has, lest aiohttp add that route's handler here.
        super().__init__("//")
        self._resources = resources

    @property
    def canonical(self) -> str:
        """Return the common beginning of such addresses."""
        return "/"

    async def resolve(self, request: web.Request) -> tuple[UrlMappingMatchInfo | None, set[str]]:
        """Return the route, and the methods that the address takes."""
        address = request.rel_url
        path = tidy(address.raw_path)
        allowed: set[str] = set()
        if path == address.raw_path:
            return None, allowed
        asked = request.clone(
            rel_url=URL.build(path=path, query_string=address.raw_query_string, encoded=True)
        )
        for resource in self._resources:
            found, methods = await resource.resolve(asked)
            if found is not None:
                return found, allowed
            allowed |= methods
        return None, allowed


def serve_untidy_addresses(app: web.Application, routes: Sequence[web.AbstractRoute]) -> None:
    """Serve these routes at addresses with superfluous slashes, too."""
    resources = dict.fromkeys(filter(None, (route.resource for route in routes)))
    app.router.register_resource(UntidyAddresses([*resources]))
