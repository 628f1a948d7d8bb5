"""The nodes of a swarm as an operator sees them: looked at when somebody asks."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from server.core.errors import ModelFailed
from server.models.runners.containers.command import replica_of
from server.models.runners.machines import Gpu, Look, Machine, Placed, PlacedServer
from server.models.runners.swarm.managers import Managers
from server.models.runners.swarm.states import ALIVE, WANTED, read_node

Listed = Sequence[Mapping[str, Any]]

_NANO: Final = 1_000_000_000
# Swarm's word for a node, and what an operator can do about it.
_OF_STATES: Final = {
    "down": "is down: it is off, its Docker engine has ended, or nothing reaches it",
    "disconnected": "is disconnected: it has left the managers and may be back soon",
    "unknown": "is unknown: a manager has just started and has not heard of it yet",
}
_OF_AVAILABILITY: Final = {
    "drain": "is drained: it runs no models (`docker node update --availability active`)",
    "pause": "is paused: it takes no more models (`docker node update --availability active`)",
}


# Somebody looks at a page; managers without a majority take twenty to say so.
_PATIENCE_SECONDS: Final = 5.0
_SAFE_MANAGERS: Final = 3


class Machines:
    """See the nodes through the managers, and remember them for when no manager answers."""

    def __init__(self, managers: Managers, instance: str) -> None:
        self._managers = managers
        self._instance = instance
        self._last: list[Placed] = []

    async def see(self) -> Look:
        """Look at the nodes and at the swarm; as `HasMachines.machines`."""
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                nodes, tasks, services = (
                    await self._managers.get("list nodes", "nodes"),
                    await self._managers.get("list tasks", "tasks"),
                    await self._managers.get("list services", "services"),
                )
        except TimeoutError:
            return self._as_last_seen("The managers of the swarm do not answer in time.")
        except ModelFailed as error:
            hint = f" Mend: {error.hint}." if error.hint else ""
            return self._as_last_seen(f"The swarm cannot be asked: {error.message}.{hint}")
        self._last = placed_machines(nodes, tasks, services, self._instance)
        return Look(tuple(self._last), tuple(_problems([one.machine for one in self._last])))

    def _as_last_seen(self, problem: str) -> Look:
        last = (
            Placed(msgspec.structs.replace(one.machine, state="unknown"), one.servers)
            for one in self._last
        )
        return Look(tuple(last), (problem,))


def _problems(nodes: Sequence[Machine]) -> list[str]:
    problems = []
    managers = sum(node.role == "manager" for node in nodes)
    if 1 < managers < _SAFE_MANAGERS:
        problems.append("Of two managers none may be lost: have one manager or three.")
    if not any(node.availability == "active" and node.state == "ready" for node in nodes):
        problems.append("No node of the swarm takes models.")
    return problems


def placed_machines(nodes: Listed, tasks: Listed, services: Listed, instance: str) -> list[Placed]:
    """Return the nodes with their GPUs and what is wrong, and whose servers are on each.

    `tasks` and `services` are those of everybody, since all use GPUs; `instance` is the gateway's.
    """
    names = {service["ID"]: service["Spec"]["Name"] for service in services}
    usual = _usual_version(nodes)
    placed = []
    for node in nodes:
        here = [task for task in tasks if task.get("NodeID") == node["ID"] and _is_alive(task)]
        used = Counter(use for task in here for use in _uses(task, names, instance))
        own = (_server_of(task, names, instance) for task in here)
        servers = tuple(sorted(server for server in own if server is not None))
        placed.append(Placed(_machine(node, used, usual), servers))
    return sorted(placed, key=lambda one: one.machine.name)


def _machine(
    node: Mapping[str, Any], used: Counter[tuple[str, str, str]], usual_version: str
) -> Machine:
    read, described = read_node(node), node.get("Description") or {}
    resources = described.get("Resources") or {}
    version = (described.get("Engine") or {}).get("EngineVersion", "")
    state, manager = node["Status"]["State"], node.get("ManagerStatus") or {}
    problems = []
    if state != "ready":
        said = node["Status"].get("Message", "")
        about = _OF_STATES.get(state, f"is {state}")
        problems.append(f"{read.name} {about}{f' ({said})' if said else ''}.")
    if read.availability in _OF_AVAILABILITY:
        problems.append(f"{read.name} {_OF_AVAILABILITY[read.availability]}.")
    if manager and manager.get("Reachability") != "reachable":
        problems.append(f"{read.name} does not answer as a manager.")
    if version != usual_version:
        problems.append(f"{read.name} has Docker {version}, the others have {usual_version}.")
    return Machine(
        name=read.name,
        kind="swarm",
        address=read.address,
        role=node["Spec"].get("Role", ""),
        is_leader=bool(manager.get("Leader")),
        state=state,
        availability=read.availability,
        version=version,
        cpus=resources["NanoCPUs"] / _NANO if "NanoCPUs" in resources else None,
        memory_bytes=resources.get("MemoryBytes"),
        gpus=_gpus(resources.get("GenericResources") or [], used),
        problems=problems,
    )


def _gpus(declared: Listed, used: Counter[tuple[str, str, str]]) -> list[Gpu]:
    """Return what a node offers, each with who has it: by its id, else by number."""
    gpus = []
    for kind, one_id, count in _resources(declared):
        takers = [
            user
            for (of_kind, of_id, user), number in sorted(used.items())
            for _ in range(number)
            if (of_kind, of_id) == (kind, one_id)
        ]
        gpus += [Gpu(kind, one_id, (takers[at : at + 1] or [""])[0]) for at in range(count)]
    return gpus


def _resources(generic: Listed) -> Iterator[tuple[str, str, int]]:
    """Yield kind, id and number of each generic resource; those that are counted have no id."""
    for one in generic:
        if named := one.get("NamedResourceSpec"):
            yield named["Kind"], named["Value"], 1
        elif counted := one.get("DiscreteResourceSpec"):
            yield counted["Kind"], "", int(counted["Value"])


def _uses(
    task: Mapping[str, Any], names: Mapping[str, str], instance: str
) -> Iterator[tuple[str, str, str]]:
    """Yield kind, id and user of each resource that a task has."""
    own = _server_of(task, names, instance)
    user = own.model if own else names.get(task.get("ServiceID", ""), "another service")
    # Docker's reference has the second name, its engines the first.
    assigned = task.get("GenericResources") or task.get("AssignedGenericResources") or []
    for kind, one_id, count in _resources(assigned):
        for _ in range(count):
            yield kind, one_id, user


def _server_of(
    task: Mapping[str, Any], names: Mapping[str, str], instance: str
) -> PlacedServer | None:
    """Return the gateway's server that a task is, if it is one."""
    replica = replica_of((task["Spec"].get("ContainerSpec") or {}).get("Labels") or {})
    if replica is None or replica.instance != instance:
        return None
    is_wanted = task.get("DesiredState", "") in WANTED and task.get("ServiceID") in names
    return PlacedServer(replica.model, replica.number, is_ending=not is_wanted)


def _is_alive(task: Mapping[str, Any]) -> bool:
    return task["Status"]["State"] in ALIVE


def _usual_version(nodes: Listed) -> str:
    """Return the engine's version that most nodes have."""
    versions = Counter(
        ((node.get("Description") or {}).get("Engine") or {}).get("EngineVersion", "")
        for node in nodes
    )
    return max(versions, key=lambda one: (versions[one], one), default="")
