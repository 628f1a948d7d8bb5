"""Connect to a model server: detect its dialect and flavour, and return an upstream for it."""

from dataclasses import dataclass
from typing import Final

from server.core.errors import EngineError
from server.dialects.base import ANY_MODEL, Endpoint, Upstream
from server.dialects.detection import ROUTES, Seen, is_sidestream, recognise
from server.dialects.http.client import HTTPClient, Reply
from server.dialects.http.timeouts import Timeouts
from server.dialects.openai.flavour import MODELS, NO_ROUTE, Flavour
from server.dialects.openai.flavours import FLAVOURS, PLAIN
from server.dialects.openai.listing import read_list
from server.dialects.registry import DIALECTS

_LOOK_SECONDS: Final = 5.0
_MAX_LIST_BYTES: Final = 32 * 1024 * 1024
_MAX_LOOK_BYTES: Final = 1024 * 1024
_KEY: Final = frozenset({401, 403})


@dataclass(frozen=True)
class Recognised:
    """The server at an address: the name of a flavour or dialect, empty for an unknown server.

    `is_sidestream` is whether it is a gateway like this one, or a model server of one.
    """

    name: str
    is_sidestream: bool = False

    @property
    def title(self) -> str:
        """Return the server's name for people."""
        known = FLAVOURS.get(self.name) or DIALECTS.get(self.name) or PLAIN
        return known.title

    @property
    def dialect(self) -> str:
        """Return the dialect that serves it best."""
        names = (name for name, one in DIALECTS.items() if self.name in (name, one.serves))
        return next(names, "openai")

    @property
    def flavour(self) -> str:
        """Return the flavour that it is known by in this dialect, empty for an unknown server."""
        return self.name if self.dialect == "openai" else self.dialect


class Connector:
    """Give the upstream for an endpoint, asking a server what it is if the settings do not say."""

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts

    async def connect(self, endpoint: Endpoint) -> Upstream:
        """Return what speaks to a server; the caller closes it.

        Raises `EngineLost` or `EngineTimeout` while nobody answers, `EngineOverloaded` while the
        server is not ready, and `EngineError` for a server that is no model server or wants a key.
        """
        if endpoint.dialect not in {"auto", "openai"}:
            return DIALECTS[endpoint.dialect].make(endpoint, PLAIN, self._timeouts)
        if endpoint.flavour:
            flavour = flavour_named(endpoint.flavour)
            return DIALECTS["openai"].make(endpoint, flavour, self._timeouts)
        return self.speaking(endpoint, await self.recognise(endpoint))

    def speaking(self, endpoint: Endpoint, who: Recognised) -> Upstream:
        """Return what speaks to a server that was recognised; the caller closes it."""
        dialect = who.dialect if endpoint.dialect == "auto" else endpoint.dialect
        flavour = FLAVOURS.get(who.name or endpoint.likely, PLAIN)
        return DIALECTS[dialect].make(endpoint, flavour, self._timeouts)

    async def recognise(self, endpoint: Endpoint) -> Recognised:
        """Ask a server who it is, by what costs it nothing; raises what `connect` does."""
        http = HTTPClient(endpoint, self._timeouts)
        try:
            return await _look(http, endpoint)
        finally:
            await http.close()


def flavour_named(name: str) -> Flavour:
    """Return a flavour by its name in the settings; raises `EngineError` if there is none."""
    if name not in FLAVOURS:
        raise EngineError(
            f"there is no flavour {name!r}", hint=f"there are {', '.join(sorted(FLAVOURS))}"
        )
    return FLAVOURS[name]


async def _look(http: HTTPClient, endpoint: Endpoint) -> Recognised:
    reply = await http.get(
        endpoint.api + MODELS, max_bytes=_MAX_LIST_BYTES, timeout_seconds=_LOOK_SECONDS
    )
    replies = {MODELS: reply}
    seen = Seen(endpoint.url, replies)
    if reply.status in _KEY or reply.status == 503:
        _check(reply, endpoint)
    name = recognise(seen)
    for route in ROUTES:
        if name or is_sidestream(seen):
            break
        try:
            replies[route] = await http.get(
                route, max_bytes=_MAX_LOOK_BYTES, timeout_seconds=_LOOK_SECONDS
            )
        except EngineError:
            continue  # This server may not have the route.
        name = recognise(seen)
    is_named = endpoint.model not in ("", ANY_MODEL)
    if not name and not (reply.status in NO_ROUTE and is_named):
        _check(reply, endpoint)
    return Recognised(name, is_sidestream(seen))


def _check(reply: Reply, endpoint: Endpoint) -> None:
    """Raise what an answer means that is no list of models."""
    address = endpoint.url + endpoint.api + MODELS
    read_list(reply, engine=PLAIN.title, address=address)
