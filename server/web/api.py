"""The plain HTTP views: health, readiness, and the models as they stand."""

import msgspec
from aiohttp import web

from server import __version__
from server.web.keys import FLEET

routes = web.RouteTableDef()


@routes.get("/health")
async def health(request: web.Request) -> web.Response:
    """Say that the process lives; touches no model."""
    return _json({"status": "ok", "version": __version__})


@routes.get("/models")
async def models(request: web.Request) -> web.Response:
    """List all models in the order of the settings."""
    return _json(request.app[FLEET].snapshots())


@routes.get("/models/{id}")
async def model(request: web.Request) -> web.Response:
    """Show one model."""
    return _json(request.app[FLEET].snapshot(request.match_info["id"]))


def _json(body: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), content_type="application/json")
