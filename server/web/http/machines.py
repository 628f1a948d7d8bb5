"""The machines that model servers run on, for operators."""

from collections.abc import Callable
from typing import Final

import msgspec
from aiohttp import web

from server.models.runners.machines import Machine, Machines
from server.web.bodies import json_response
from server.web.entry.gate import CALLER
from server.web.http.operations import JSON, Group, Reply
from server.web.keys import FLEET

GROUP: Final = Group("Machines")


@GROUP.operation(
    "GET",
    "/machines",
    Reply("The machines, and what is wrong with what joins them.", {JSON: Machines}),
    example=True,
)
async def machines(request: web.Request) -> web.StreamResponse:
    """List the machines that model servers run on: nodes of a swarm, engines, this one.

    Each has what it offers, which model has its GPUs, the model servers on it, and what is wrong. A
    place that does not answer within five seconds is told by `problems`.
    """
    seen = await request.app[FLEET].machines()
    sees = request[CALLER].principal.sees
    shown = [_as_seen(one, sees) for one in seen.machines]
    return json_response(Machines(shown, seen.problems))


def _as_seen(machine: Machine, sees: Callable[[str], bool]) -> Machine:
    """Return a machine without the names of models that are not there for the caller."""
    ours = {server.model for server in machine.servers}
    return msgspec.structs.replace(
        machine,
        servers=[server for server in machine.servers if sees(server.model)],
        gpus=[
            msgspec.structs.replace(gpu, used_by="another model")
            if gpu.used_by in ours and not sees(gpu.used_by)
            else gpu
            for gpu in machine.gpus
        ],
    )
