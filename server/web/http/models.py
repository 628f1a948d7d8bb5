"""The models: what they are, how they stand, starting and stopping them, their logs."""

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
from server.web.entry.gate import CALLER
from server.web.http.bodies import Query, json_response
from server.web.http.operations import JSON, TEXT, Operation, Reply
from server.web.keys import FLEET

_WAIT: Final = Query(
    "wait",
    Annotated[float, msgspec.Meta(ge=0, le=3600)],
    0.0,
    "Seconds to hold the answer at most until the model is ready, has failed or has stopped.",
)
_TAIL: Final = Query(
    "tail", Annotated[int, msgspec.Meta(ge=0, le=10_000)], 200, "How many lines at most."
)
_FOLLOW: Final = Query("follow", bool, False, "Whether to go on with new lines: 1 or 0.")


class NotOurs(InvalidCommand):
    """The model's server is somebody else's to stop."""

    status = 409


async def models(request: web.Request) -> web.StreamResponse:
    """Answer `GET /models`."""
    sees = request[CALLER].principal.sees
    return json_response([model for model in request.app[FLEET].shown() if sees(model.id)])


async def model(request: web.Request) -> web.StreamResponse:
    """Answer `GET /models/{id}`."""
    return json_response(request.app[FLEET].snapshot(request.match_info["id"]))


async def start(request: web.Request) -> web.StreamResponse:
    """Answer `POST /models/{id}/start`."""
    fleet, model_id = request.app[FLEET], request.match_info["id"]
    seconds = _WAIT.read(request)
    was_known = fleet.info(model_id).can_load
    fleet.start(model_id)
    if seconds:
        # Leaving early leaves the start to itself; that it failed is to be seen of the model.
        with suppress(TimeoutError, SidestreamError):
            async with asyncio.timeout(seconds):
                async with fleet.lease(model_id):
                    pass
                if fleet.info(model_id).can_load:
                    if not was_known:  # it was not up yet
                        fleet.start(model_id)
                    await _until(fleet, model_id, lambda m: m.state == "ready" or _has_failed(m))
    return json_response(fleet.snapshot(model_id), status=202)


async def stop(request: web.Request) -> web.StreamResponse:
    """Answer `POST /models/{id}/stop`."""
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


async def logs(request: web.Request) -> web.StreamResponse:
    """Answer `GET /models/{id}/logs`."""
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
            # It is out of memory, and its server, which has no more to tell of it, is still there.
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


_GROUP: Final = "Models"
_CHANGED: Final = Reply("How the model stands now.", {JSON: Model}, status=202)

OPERATIONS: Final = (
    Operation(
        "GET",
        "/models",
        models,
        _GROUP,
        "List all models, in the order of the settings.",
        Reply("The models.", {JSON: list[Model]}),
        example=True,
    ),
    Operation(
        "GET",
        "/models/{id}",
        model,
        _GROUP,
        "Show one model.",
        Reply("The model.", {JSON: Model}),
        errors=(404,),
        example=True,
    ),
    Operation(
        "POST",
        "/models/{id}/start",
        start,
        _GROUP,
        "Have a model started, or loaded where it is on a server of somebody else that takes such "
        "requests. One that runs is left alone.",
        _CHANGED,
        query=(_WAIT,),
        errors=(400, 404),
        example=True,
    ),
    Operation(
        "POST",
        "/models/{id}/stop",
        stop,
        _GROUP,
        "Have a model stopped, once its answers under way have ended, or taken out of memory where "
        "it is on a server of somebody else that takes such requests.",
        _CHANGED,
        query=(_WAIT,),
        errors=(400, 404, 409),
    ),
    Operation(
        "GET",
        "/models/{id}/logs",
        logs,
        _GROUP,
        "Read the last lines of a model server's log.",
        Reply("Lines, each with its time.", {TEXT: str}),
        query=(_TAIL, _FOLLOW),
        errors=(400, 404),
        example=True,
        allows_head=False,
    ),
)
