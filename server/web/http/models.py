"""The operations on models: list, show, start, stop, read logs."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Final

import msgspec
from aiohttp import web

from server.core.errors import InvalidCommand, SidestreamError
from server.core.protocol import Model
from server.models.fleet import Fleet
from server.web.bodies import Query, json_response
from server.web.entry.gate import CALLER
from server.web.http.operations import JSON, TEXT, Group, Reply
from server.web.keys import FLEET

_WAIT: Final = Query(
    "wait",
    Annotated[float, msgspec.Meta(ge=0, le=3600)],
    0.0,
    "Seconds to wait at most until the model is ready, has failed or has stopped.",
)
_TAIL: Final = Query(
    "tail", Annotated[int, msgspec.Meta(ge=0, le=10_000)], 200, "How many lines at most."
)
_FOLLOW: Final = Query("follow", bool, False, "Whether to go on with new lines: 1 or 0.")

GROUP: Final = Group("Models")
_CHANGED: Final = Reply("The state of the model.", {JSON: Model}, status=202)


class NotOurs(InvalidCommand):
    """The gateway did not start the model's server, and does not stop it."""

    status = 409


@GROUP.operation(
    "GET", "/models", Reply("The models.", {JSON: list[Model]}), example=True, role="user"
)
async def models(request: web.Request) -> web.StreamResponse:
    """List all models, in the order of the settings."""
    sees = request[CALLER].principal.sees
    return json_response([model for model in request.app[FLEET].shown() if sees(model.id)])


@GROUP.operation(
    "GET",
    "/models/{id}",
    Reply("The model.", {JSON: Model}),
    errors=(404,),
    example=True,
    role="user",
)
async def model(request: web.Request) -> web.StreamResponse:
    """Show one model."""
    return json_response(request.app[FLEET].snapshot(request.match_info["id"]))


@GROUP.operation(
    "POST", "/models/{id}/start", _CHANGED, query=(_WAIT,), errors=(400, 404), example=True
)
async def start(request: web.Request) -> web.StreamResponse:
    """Start a model, or load it if it is on an external server that can load models.

    A model that runs stays as it is.
    """
    fleet, model_id = request.app[FLEET], request.match_info["id"]
    seconds = _WAIT.read(request)
    was_known = fleet.info(model_id).can_load
    fleet.start(model_id)
    if seconds:
        # A client that leaves does not stop the start; a failure is shown in the model's state.
        with suppress(TimeoutError, SidestreamError):
            async with asyncio.timeout(seconds):
                async with fleet.lease(model_id):
                    pass
                if fleet.info(model_id).can_load:
                    if not was_known:  # it was not up yet
                        fleet.start(model_id)
                    await _until(fleet, model_id, lambda m: m.state == "ready" or _has_failed(m))
    return json_response(fleet.snapshot(model_id), status=202)


@GROUP.operation("POST", "/models/{id}/stop", _CHANGED, query=(_WAIT,), errors=(400, 404, 409))
async def stop(request: web.Request) -> web.StreamResponse:
    """Stop a model after its answers under way have ended.

    Or unload it if it is on an external server that can unload models.
    """
    fleet, model_id = request.app[FLEET], request.match_info["id"]
    seconds = _WAIT.read(request)
    try:
        fleet.stop(model_id)
    except InvalidCommand as error:
        raise NotOurs(error.message) from None
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await _until_gone(fleet, model_id)
    return json_response(fleet.snapshot(model_id), status=202)


@GROUP.operation("POST", "/models/{id}/restart", _CHANGED, query=(_WAIT,), errors=(400, 404, 409))
async def restart(request: web.Request) -> web.StreamResponse:
    """Restart a model's servers with today's settings, one after the other.

    While one restarts, the others answer. Where there is room, an additional one is started first;
    if that fails, those that run are left as they are.
    """
    fleet, model_id = request.app[FLEET], request.match_info["id"]
    seconds = _WAIT.read(request)
    try:
        fleet.restart(model_id)
    except InvalidCommand as error:
        raise NotOurs(error.message) from None
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await fleet.wait_until_restarted(model_id)
    return json_response(fleet.snapshot(model_id), status=202)


@GROUP.operation(
    "GET",
    "/models/{id}/logs",
    Reply("Lines, each with its time.", {TEXT: str}),
    query=(_TAIL, _FOLLOW),
    errors=(400, 404),
    example=True,
    allows_head=False,
)
async def logs(request: web.Request) -> web.StreamResponse:
    """Read the last lines of a model server's log."""
    book = request.app[FLEET].log(request.match_info["id"])
    tail, follow = _TAIL.read(request), _FOLLOW.read(request)
    response = web.StreamResponse(headers={"Content-Type": f"{TEXT}; charset=utf-8"})
    await response.prepare(request)
    async for lines in book.read(tail=tail, follow=follow):
        text = "".join(f"{_moment(line.time)} {line.text}\n" for line in lines)
        await response.write(text.encode())
    await response.write_eof()
    return response


async def _until_gone(fleet: Fleet, model_id: str) -> None:
    def is_gone(model: Model) -> bool:
        if model.state == "ready" and model.server is not None and not model.server.name:
            # Its server goes on without it, and is shown as ready.
            return True
        return model.state == "stopped" or _has_failed(model)

    await _until(fleet, model_id, is_gone)


def _has_failed(model: Model) -> bool:
    is_under_way = model.state in ("loading", "stopping")
    return model.state == "failed" or (model.error is not None and not is_under_way)


async def _until(fleet: Fleet, model_id: str, is_so: Callable[[Model], bool]) -> None:
    changed = asyncio.Event()
    unsubscribe = fleet.subscribe(lambda _: changed.set(), lambda _: changed.set())
    try:
        while not is_so(fleet.snapshot(model_id)):
            changed.clear()
            await changed.wait()
    finally:
        unsubscribe()


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
