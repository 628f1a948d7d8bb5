"""The machines that model servers run on, as an operator sees them."""

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import msgspec

from server.core.protocol import ModelState

PlaceKind = Literal["here", "docker", "swarm"]


class Gpu(msgspec.Struct, frozen=True):
    """A GPU that a machine offers, or that a model's settings name.

    `id` is as declared, empty where only the number is known. `used_by` is the id of the model that
    has it, the name of another service, or empty.
    """

    kind: str
    id: str = ""
    used_by: str = ""


class MachineServer(msgspec.Struct, frozen=True):
    """A model server on a machine; `number` is its number among the model's replicas."""

    model: str
    number: int
    state: ModelState


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """One machine: what it has, what is on it, and what is wrong with it.

    `kind` is `here` for the gateway's own machine, else who runs servers there. `role`, `state` and
    `availability` are Swarm's words for a node, empty elsewhere. `version` is that of its Docker
    engine. `problems` are sentences.
    """

    name: str
    kind: PlaceKind
    address: str = ""
    role: str = ""
    is_leader: bool = False
    state: str = ""
    availability: str = ""
    version: str = ""
    cpus: float | None = None
    memory_bytes: int | None = None
    gpus: list[Gpu] = []
    servers: list[MachineServer] = []
    problems: list[str] = []


class Machines(msgspec.Struct, frozen=True):
    """All machines, and what is wrong with what joins them."""

    machines: list[Machine]
    problems: list[str] = []


@dataclass(frozen=True, order=True)
class PlacedServer:
    """A model server that a runner knows to be on a machine, and whether it is to end."""

    model: str
    number: int
    is_ending: bool = False


@dataclass(frozen=True)
class Placed:
    """A machine as a runner tells it, and the servers on it, None where it does not know them."""

    machine: Machine
    servers: tuple[PlacedServer, ...] | None = None


@dataclass(frozen=True)
class Look:
    """What a runner has seen of its machines, and what is wrong with what joins them."""

    machines: tuple[Placed, ...] = ()
    problems: tuple[str, ...] = ()


@runtime_checkable
class HasMachines(Protocol):
    """A runner that knows the machines that its servers run on."""

    async def machines(self) -> Look:
        """Look at the machines; never raises.

        Machines that cannot be asked now are told as they were last seen. A machine of the kind
        `here` is the gateway's own.
        """
