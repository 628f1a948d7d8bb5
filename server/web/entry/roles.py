"""Which role a route needs: declared when the route is added.

Rule: a route that was added without a role is for operators only.
"""

from collections.abc import Iterable
from typing import Literal

from aiohttp import web
from aiohttp.typedefs import Handler

from server.core.protocol import Role

RouteRole = Role | Literal["anyone"]
"""`anyone` needs no key."""

ROLES = web.AppKey("roles", dict[Handler, RouteRole])


def add_routes(
    app: web.Application, role: RouteRole, routes: Iterable[web.RouteDef]
) -> list[web.AbstractRoute]:
    """Add routes for callers of a role; raises `ValueError` for a handler with two roles."""
    added = app.router.add_routes(list(routes))
    roles = app.setdefault(ROLES, {})
    for route in added:
        if roles.setdefault(route.handler, role) != role:
            raise ValueError(f"{route.handler} is added with two roles")
    return added


def role_for(request: web.Request) -> RouteRole:
    """Return the role that the request's route needs."""
    if request.match_info.http_exception is not None:
        return "user"  # no route: 404 or 405, which only callers with a key are told
    return request.app[ROLES].get(request.match_info.handler, "operator")
