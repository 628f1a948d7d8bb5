"""The operations on added models: look up a name at the hub or a server, add, list, remove."""

from typing import Final

from aiohttp import web

from server.core.errors import Forbidden
from server.core.protocol import Model
from server.models.catalogue.added_models import AddedModel, AddRequest, Look, LookRequest
from server.web.bodies import json_response, read_body
from server.web.entry.gate import CALLER
from server.web.http.operations import JSON, Group, Reply
from server.web.keys import ADDED_MODELS, FLEET

GROUP: Final = Group("Adding models")


@GROUP.operation(
    "GET",
    "/catalog",
    Reply("The models, as their entries say.", {JSON: list[AddedModel]}),
    errors=(409, 503),
)
async def added(request: web.Request) -> web.StreamResponse:
    """List the models that were added in the page, by this API or by `run.py model add`."""
    sees = request[CALLER].principal.sees
    return json_response([one for one in await request.app[ADDED_MODELS].added() if sees(one.id)])


@GROUP.operation(
    "POST",
    "/catalog/look",
    Reply("What was found: `hub` or `server`.", {JSON: Look}),
    body=LookRequest,
    errors=(400, 403, 404, 409, 415, 422, 502, 503, 504),
)
async def look(request: web.Request) -> web.StreamResponse:
    """Look up a name at the hub or at a server; downloads, loads and writes nothing.

    Of a repository of the hub the files are told, with the memory and disk that each quantization
    takes and whether it fits this machine; of the model server at an address the number of its
    models.
    """
    wanted = await read_body(request, LookRequest)
    return json_response(await request.app[ADDED_MODELS].look(wanted))


@GROUP.operation(
    "POST",
    "/catalog",
    Reply("The models that were added.", {JSON: list[Model]}, status=201),
    body=AddRequest,
    errors=(400, 403, 404, 409, 415, 422, 502, 503, 504),
)
async def add(request: web.Request) -> web.StreamResponse:
    """Add a model of the hub, or a server with all its models, now and after a restart.

    Weights are fetched when the model is first started.
    """
    if request[CALLER].principal.models is not None:
        raise Forbidden("this key is for some models only, and adds no others")
    wanted = await read_body(request, AddRequest)
    model_id, server = await request.app[ADDED_MODELS].add(wanted)
    models = [
        model
        for model in request.app[FLEET].snapshots()
        if model.id == model_id or (server and model.server and model.server.name == server)
    ]
    return json_response(models, status=201)


@GROUP.operation(
    "DELETE",
    "/catalog/{id}",
    Reply("It is not in the catalogue any more.", status=204),
    errors=(404, 409, 503),
)
async def remove(request: web.Request) -> web.StreamResponse:
    """Remove a model that was added.

    Its server ends once its answers under way have; its weights stay in the hub's cache.
    """
    model_id = request.match_info["id"]
    request[CALLER].principal.check_model(model_id)
    await request.app[ADDED_MODELS].remove(model_id)
    return web.Response(status=204)
