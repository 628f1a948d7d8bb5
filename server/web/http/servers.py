"""Model servers of somebody else: those found on this machine, taken into use and given up."""

from typing import Final

from aiohttp import web

from server.core.protocol import Model
from server.web.http.bodies import json_response
from server.web.http.operations import JSON, Operation, Reply
from server.web.keys import FLEET, SERVERS


async def use(request: web.Request) -> web.StreamResponse:
    """Answer `POST /servers/{name}/use`."""
    name = request.match_info["name"]
    await request.app[SERVERS].use(name)
    models = request.app[FLEET].snapshots()
    return json_response([model for model in models if model.server and model.server.name == name])


async def remove(request: web.Request) -> web.StreamResponse:
    """Answer `DELETE /servers/{name}`."""
    await request.app[SERVERS].remove(request.match_info["name"])
    return web.Response(status=204)


_GROUP: Final = "Servers"

OPERATIONS: Final = (
    Operation(
        "POST",
        "/servers/{name}/use",
        use,
        _GROUP,
        "Use a server that was found on this machine, now and after a restart.",
        Reply("Its models as far as they are known.", {JSON: list[Model]}),
        errors=(404, 409, 503),
    ),
    Operation(
        "DELETE",
        "/servers/{name}",
        remove,
        _GROUP,
        "Give a server up that was taken into use in the page or by this API.",
        Reply("It is not in use any more.", status=204),
        errors=(404, 409, 503),
    ),
)
