"""The plain HTTP views: health, readiness, and the models as they stand."""

from datetime import UTC, datetime

import msgspec
from aiohttp import web

from server import __version__
from server.core.errors import InvalidCommand
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


@routes.get("/models/{id}/logs")
async def logs(request: web.Request) -> web.StreamResponse:
    """Give the last lines of a model server's log as text; `?follow=1` goes on with new ones."""
    book = request.app[FLEET].log(request.match_info["id"])
    tail = request.query.get("tail", "200")
    if not tail.isascii() or not tail.isdigit():
        raise InvalidCommand(f"`tail` is a number of lines, not {tail[:20]!r}")
    response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
    await response.prepare(request)
    follow = request.query.get("follow") in ("1", "true", "yes")
    async for lines in book.read(tail=int(tail), follow=follow):
        text = "".join(f"{_moment(line.time)} {line.text}\n" for line in lines)
        await response.write(text.encode())
    await response.write_eof()
    return response


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _json(body: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), content_type="application/json")
