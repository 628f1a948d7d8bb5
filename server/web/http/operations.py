"""An operation of the HTTP API: its route, role, types and documentation, in one place.

The routes, `openapi.json`, the page that shows it and the reference are all made from the same
tables of operations, so that none of them can differ from the others.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

from server.web.bodies import Query
from server.web.entry.roles import RouteRole, add_routes
from server.web.failures import Form, form_at
from server.web.http.addresses import serve_untidy_addresses

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

JSON = "application/json"
TEXT = "text/plain"
EVENTS = "text/event-stream"
BYTES = "application/octet-stream"

_MODEL: Final = "/models/{id}"
_ID: Final = r"[^/\n]+(?:/[^/\n]+)*"


@dataclass(frozen=True)
class Reply:
    """A response: its types by content type, none for an empty body.

    For a stream the type is that of the JSON in each event, `breaks_off_with` that of the last
    event after a failure, and `last_event` the text of the last event otherwise.
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
    body_type: str = JSON
    query: tuple[Query[Any], ...] = ()
    errors: tuple[int, ...] = ()
    also: tuple[Reply, ...] = ()
    example: dict[str, Any] | bool = False
    allows_head: bool = True
    role: RouteRole = "operator"
    """The role it needs; without a declaration it is for operators only."""

    @property
    def form(self) -> Form:
        """Return the form of its errors."""
        return form_at(self.method, self.path)

    @property
    def id(self) -> str:
        """Return a unique name."""
        path = re.sub(r"\{\w+\}", "one", self.path.replace("/models/{id}", "/models/model"))
        words = path.replace(".", "/").split("/")
        return "_".join(filter(None, [self.method.lower(), *words]))

    def route(self, path: str) -> web.RouteDef:
        """Return its route; `path` is its own path with patterns."""
        if self.method == "GET":
            # `web.route` would allow it in any case.
            return web.get(path, self.handler, allow_head=self.allows_head)
        return web.route(self.method, path, self.handler)


class Group:
    """Operations of one kind, each declared where it is handled."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.operations: list[Operation] = []

    def operation(
        self, method: str, path: str, reply: Reply, **details: Any
    ) -> Callable[[Handler], Handler]:
        """Declare what the decorated function handles; its docstring says what that does."""

        def declare(handler: Handler) -> Handler:
            about = " ".join((handler.__doc__ or "").split())
            self.operations.append(
                Operation(method, path, handler, self.name, about, reply, **details)
            )
            return handler

        return declare


def add_operations(app: web.Application, operations: Iterable[Operation]) -> None:
    """Serve operations, also at their addresses with superfluous slashes.

    A model's id may have slashes, encoded or not. An address that ends like one of a
    model's operations is that operation's, so that an id with such an end has to be encoded.
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
        # These are operations, and no conversation's id.
        own = "(?!(?:import|export|tags)$)[^/]+"
        path = path.replace("/conversations/{id}", f"/conversations/{{id:{own}}}")
        return path.replace(_MODEL, f"/models/{{id:{_ID}}}")

    routes = [
        route
        for one in several
        for route in add_routes(app, one.role, [one.route(pattern(one.path))])
    ]
    serve_untidy_addresses(app, routes)
