"""All machines with their model servers: what runners tell of places, joined with lifecycles.

Rules:

1. Only runners of models in the settings are asked, all at once, and only when somebody looks.
2. A server is on the machine that its runner names; where that knows none, on the one that its
   start has told.
3. What runs beside the gateway is on its own machine, which a local Docker engine describes too.
"""

import asyncio
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final

import msgspec

from server.core.placement import ALL_GPUS
from server.hub.machine import total_memory
from server.models.capacity.gpus import TakesOfGpus
from server.models.lifecycle.crew import Crew
from server.models.lifecycle.deployment import Deployment
from server.models.runners.base import Runner
from server.models.runners.machines import (
    Gpu,
    HasMachines,
    Machine,
    Machines,
    MachineServer,
    Placed,
    PlacedServer,
)

# Of these nothing is on a machine.
_ABSENT: Final = ("stopped", "failed")
# Whether there are GPUs, an engine tells.
_PATIENCE_SECONDS: Final = 5.0


async def see_machines(
    crews: Sequence[Crew], runners: Mapping[str, Runner], takes_of_gpus: TakesOfGpus
) -> Machines:
    """Return the machines of all model servers that are started here, the gateway's own first."""
    managed = [crew for crew in crews if crew.is_managed]
    used = {crew.spec.runner: runners[crew.spec.runner] for crew in managed}
    asked = {name: one for name, one in used.items() if isinstance(one, HasMachines)}
    told = await asyncio.gather(*(runner.machines() for runner in asked.values()))
    own = [crew for crew in managed if crew.spec.runner not in asked]
    servers = [_server(crew, one) for crew in own for one in _present(crew)]
    rows: list[Machine] = []
    for name, look in zip(asked, told, strict=True):
        theirs = [crew for crew in managed if crew.spec.runner == name]
        is_only = len(look.machines) == 1
        rows += [_with_servers(one, theirs, is_only=is_only) for one in look.machines]
    here = next((row for row in rows if row.kind == "here"), None)
    others = [row for row in rows if row is not here]
    if own or here is not None or not others:
        others.insert(0, await _own_machine(here, servers, managed, takes_of_gpus))
    return Machines(others, [problem for look in told for problem in look.problems])


async def _own_machine(
    known: Machine | None,
    servers: Sequence[MachineServer],
    crews: Sequence[Crew],
    takes_of_gpus: TakesOfGpus,
) -> Machine:
    there = [*servers, *([] if known is None else known.servers)]
    models = {server.model for server in there}
    gpus: list[Gpu] = []
    with suppress(TimeoutError):
        async with asyncio.timeout(_PATIENCE_SECONDS):
            gpus = [
                Gpu("GPU", "" if name == ALL_GPUS else name, crew.spec.id)
                for crew in crews
                if crew.spec.id in models
                for name in await takes_of_gpus(crew.spec)
            ]
    return Machine(
        name=socket.gethostname(),
        kind="here",
        version="" if known is None else known.version,
        cpus=os.cpu_count(),
        memory_bytes=total_memory(),
        gpus=gpus,
        servers=there,
    )


def _with_servers(placed: Placed, crews: Sequence[Crew], *, is_only: bool) -> Machine:
    """Return a machine with the servers on it; `is_only` tells that all are on it."""
    machine = placed.machine
    if placed.servers is None:
        servers = [
            _server(crew, one)
            for crew in crews
            for one in _present(crew)
            if one.place == machine.name or (is_only and not one.place)
        ]
    else:
        by_id = {crew.spec.id: crew for crew in crews}
        servers = [_placed_server(one, by_id.get(one.model)) for one in placed.servers]
    return msgspec.structs.replace(machine, servers=servers)


def _placed_server(there: PlacedServer, crew: Crew | None) -> MachineServer:
    known = None if crew is None else crew.get(there.number)
    # One that no model has any more is on its way out, too.
    state = "stopping" if there.is_ending or known is None else known.status.state
    return MachineServer(there.model, there.number, state)


def _present(crew: Crew) -> Iterator[Deployment]:
    return (one for one in crew if one.status.state not in _ABSENT)


def _server(crew: Crew, one: Deployment) -> MachineServer:
    return MachineServer(crew.spec.id, one.number, one.status.state)
