"""An operation of the HTTP API: its route, its types and its words, in one place.

The routes that are served, `openapi.json`, the page that shows it and the reference are all
made from the same tables of operations, so none can have what another has not.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

from server.web.failures import Form, form_at
from server.web.http.bodies import Query

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

JSON = "application/json"
TEXT = "text/plain"
EVENTS = "text/event-stream"

_MODEL: Final = "/models/{id}"
_ID: Final = r"[^/\n]+(?:/[^/\n]+)*"


@dataclass(frozen=True)
class Reply:
    """What a request is answered with: its types by content type, none for an empty body.

    Of a stream, the type is that of the JSON in each event; `breaks_off_with` is that of the last
    event of one that fails, and `last_event` what the last one of all others holds instead.
    """

    about: str
    content: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200
    breaks_off_with: Any = None
    last_event: str = ""


@dataclass(frozen=True)
class Operation:
    """One method of one address."""

    method: str
    path: str
    handler: Handler
    group: str
    about: str
    reply: Reply
    body: Any = None
    query: tuple[Query[Any], ...] = ()
    errors: tuple[int, ...] = ()
    also: tuple[Reply, ...] = ()
    example: dict[str, Any] | bool = False
    allows_head: bool = True

    @property
    def form(self) -> Form:
        """Return the form in which its errors are told."""
        return form_at(self.method, self.path)

    @property
    def id(self) -> str:
        """Return a name that no other operation has."""
        path = re.sub(r"\{\w+\}", "one", self.path.replace("/models/{id}", "/models/model"))
        words = path.replace(".", "/").split("/")
        return "_".join(filter(None, [self.method.lower(), *words]))

    def route(self, path: str) -> web.RouteDef:
        """Return the route that serves it at `path`, which is its own with patterns in it."""
        if self.method == "GET" and self.allows_head:
            return web.get(path, self.handler)
        return web.route(self.method, path, self.handler)


def routes(operations: Iterable[Operation]) -> list[web.RouteDef]:
    """Return the routes of all operations.

    A model's id may have slashes, as they are or encoded. What ends like the address of a model's
    operation is that one's, so that an id that ends so has to be encoded. Addresses with slashes
    too many are not these routes': `addresses` sees to them.
    """
    several = list(operations)
    behind = sorted(
        one.path.removeprefix(_MODEL) for one in several if one.path.startswith(f"{_MODEL}/")
    )
    tails = "|".join(map(re.escape, dict.fromkeys(behind)))
    whole = f"(?!.*(?:{tails})$){_ID}" if tails else _ID

    def pattern(path: str) -> str:
        if path == _MODEL:
            return f"/models/{{id:{whole}}}"
        # No conversation is called so: at its address, other methods are not allowed.
        path = path.replace("/conversations/{id}", "/conversations/{id:(?!import$)[^/]+}")
        return path.replace(_MODEL, f"/models/{{id:{_ID}}}")

    return [one.route(pattern(one.path)) for one in several]
