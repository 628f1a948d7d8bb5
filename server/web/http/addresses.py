"""Addresses with slashes too many: `//v1/models`, `/v1//chat/completions`, `/models/ID/`.

They come from an address and a path that were put together carelessly, mostly in a client's
settings. They lead where they would without: a redirect would turn a POST into a GET with some
clients, and lose the key with others. No model's id has two slashes in a row, or one at its end,
that are not encoded.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from aiohttp import web
from aiohttp.web_urldispatcher import UrlMappingMatchInfo
from yarl import URL

_SLASHES: Final = re.compile(r"/{2,}")


def tidy(path: str) -> str:
    """Return an address without the slashes that say nothing; those that are encoded stay."""
    return _SLASHES.sub("/", path).rstrip("/") or "/"


class UntidyAddresses(web.AbstractResource):
    """Find the route of an address that one of `resources` would have without its slashes."""

    def __init__(self, resources: Sequence[web.AbstractResource]) -> None:
        super().__init__()
        self._resources = resources

    @property
    def canonical(self) -> str:
        """Return where such addresses begin: anywhere."""
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

    def raw_match(self, path: str) -> bool:
        """Tell whether an address is of this kind."""
        return tidy(path) != path

    def url_for(self, **kwargs: str) -> URL:
        """Raise `RuntimeError`: nobody is led to such an address."""
        raise RuntimeError("an untidy address is nobody's own")

    def add_prefix(self, prefix: str) -> None:
        """Raise `RuntimeError`: this application is no part of another."""
        raise RuntimeError("untidy addresses have no prefix")

    def get_info(self) -> Any:
        """Return nothing: the routes are those of others."""
        return {}

    def __len__(self) -> int:
        return 0

    def __iter__(self) -> Iterator[web.AbstractRoute]:
        return iter(())


def serve_untidy_addresses(app: web.Application, routes: Sequence[web.AbstractRoute]) -> None:
    """Have these routes serve addresses with slashes too many, too."""
    resources = dict.fromkeys(filter(None, (route.resource for route in routes)))
    app.router.register_resource(UntidyAddresses([*resources]))
