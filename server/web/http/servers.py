"""The operations on model servers that were found on this machine: use, remove."""

from typing import Final

from aiohttp import web

from server.core.protocol import Model
from server.web.bodies import json_response
from server.web.http.operations import JSON, Group, Reply
from server.web.keys import ADDED_SERVERS, FLEET

GROUP: Final = Group("Servers")


@GROUP.operation(
    "POST",
    "/servers/{name}/use",
    Reply("Its models, as far as they are known.", {JSON: list[Model]}),
    errors=(404, 409, 503),
)
async def use(request: web.Request) -> web.StreamResponse:
    """Use a server that was found on this machine, now and after a restart."""
    name = request.match_info["name"]
    await request.app[ADDED_SERVERS].use(name)
    models = request.app[FLEET].snapshots()
    return json_response([model for model in models if model.server and model.server.name == name])


@GROUP.operation(
    "DELETE", "/servers/{name}", Reply("It was removed.", status=204), errors=(404, 409, 503)
)
async def remove(request: web.Request) -> web.StreamResponse:
    """Remove a server that was added in the page or by this API."""
    await request.app[ADDED_SERVERS].remove(request.match_info["name"])
    return web.Response(status=204)
