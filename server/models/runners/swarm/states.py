"""What a swarm's tasks and nodes tell, read without I/O.

Rules:

1. A server runs only if its task runs, Swarm wants it to, and its node answers: a node that is away
   leaves its tasks "running" for a day.
2. A node is `unknown` for seconds after its manager was restarted, and its tasks run on.
3. What Swarm wants to end counts as unknown until it has.
4. With the restart policy `none` every end is final: Swarm starts nothing a second time.
"""

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from server.engines.cause import Cause
from server.models.runners.base import Condition, Replica
from server.models.runners.containers.command import replica_of
from server.models.runners.swarm.errors import (
    KILLED,
    NODE_DRAINED,
    NODE_LOST,
    NODE_RESTARTED,
    REPLACED,
    task_refusal,
)

ALIVE: Final = frozenset(
    {
        "new",
        "allocated",
        "pending",
        "assigned",
        "accepted",
        "preparing",
        "ready",
        "starting",
        "running",
    }
)
ENDED: Final = frozenset({"complete", "failed", "shutdown", "rejected", "orphaned", "remove"})
# What Swarm wants of a task that is to run.
WANTED: Final = frozenset({"ready", "running"})
# Before these a task has no container, and reading its log hangs.
_WITH_LOG: Final = frozenset({"running", "complete", "failed", "shutdown"})
_AWAY: Final = frozenset({"down", "disconnected"})
# A label of a node that says where its ports are reached, as behind NAT.
ADDRESS_LABEL: Final = "sidestream.address"
# What Swarm says when a node has lost its labels or resources, as one that is away has.
_UNFIT: Final = "no longer meets constraints"
# The exit code that an engine reports of a container that it did not see end.
_UNSEEN_END: Final = 255
_KILLED: Final = 128 + signal.SIGKILL


@dataclass(frozen=True)
class Node:
    """One machine of the swarm."""

    id: str
    name: str
    address: str
    is_away: bool
    availability: str
    resources: frozenset[str]
    """The kinds of its generic resources."""


@dataclass(frozen=True)
class Task:
    """One attempt of Swarm's to run a service's container."""

    id: str
    service_id: str
    replica: Replica | None
    node_id: str
    slot: int
    created: str
    state: str
    desired: str
    message: str
    error: str
    exit_code: int
    ports: tuple[int, ...]
    addresses: Mapping[str, str]
    """Its address in each network, by the network's name."""

    @property
    def is_alive(self) -> bool:
        """Tell whether it has not ended."""
        return self.state in ALIVE

    @property
    def is_wanted(self) -> bool:
        """Tell whether Swarm wants it to run."""
        return self.is_alive and self.desired in WANTED

    @property
    def has_log(self) -> bool:
        """Tell whether its log can be read."""
        return self.state in _WITH_LOG and bool(self.node_id) and not self.was_refused

    @property
    def was_refused(self) -> bool:
        """Tell whether its node could not start the container."""
        is_refusal = self.state == "rejected" and not self.has_lost_node
        return is_refusal or (self.state == "failed" and self.message in {"preparing", "starting"})

    @property
    def has_lost_node(self) -> bool:
        """Tell whether Swarm gave it up because its node may not run it any more."""
        return self.state == "orphaned" or (self.state == "rejected" and _UNFIT in self.error)

    @property
    def words(self) -> str:
        """Return what Swarm says of it."""
        return self.error or self.message


@dataclass(frozen=True)
class Service:
    """One of the gateway's services."""

    id: str
    replica: Replica
    labels: Mapping[str, str]
    image: str
    wanted: int
    """How many tasks Swarm is to run of it; 1 unless somebody else has changed it."""


def read_node(shown: Mapping[str, Any]) -> Node:
    """Parse a node as the manager lists it."""
    described = shown.get("Description") or {}
    generic = (described.get("Resources") or {}).get("GenericResources") or []
    kinds = {one["Kind"] for several in generic for one in several.values()}
    return Node(
        id=shown["ID"],
        name=described.get("Hostname") or shown["ID"],
        address=_address(shown),
        is_away=shown["Status"]["State"] in _AWAY,
        availability=shown["Spec"].get("Availability", "active"),
        resources=frozenset(kinds),
    )


def read_task(shown: Mapping[str, Any]) -> Task:
    """Parse a task as the manager lists it."""
    status = shown["Status"]
    container = status.get("ContainerStatus") or {}
    published = (status.get("PortStatus") or {}).get("Ports") or []
    attached = shown.get("NetworksAttachments") or []
    labels = (shown["Spec"].get("ContainerSpec") or {}).get("Labels") or {}
    return Task(
        id=shown["ID"],
        service_id=shown.get("ServiceID", ""),
        replica=replica_of(labels),
        node_id=shown.get("NodeID", ""),
        slot=shown.get("Slot", 0),
        created=shown.get("CreatedAt", ""),
        state=status["State"],
        desired=shown.get("DesiredState", ""),
        message=status.get("Message", ""),
        error=" ".join(status.get("Err", "").split()),
        exit_code=container.get("ExitCode") or 0,
        # Each is there twice, for IPv4 and IPv6.
        ports=tuple(dict.fromkeys(one["PublishedPort"] for one in published)),
        addresses={
            one["Network"]["Spec"]["Name"]: one["Addresses"][0].partition("/")[0]
            for one in attached
            if one.get("Addresses")
        },
    )


def read_service(shown: Mapping[str, Any]) -> Service | None:
    """Parse a service as the manager lists it; None if it is not the gateway's."""
    spec = shown["Spec"]
    replica = replica_of(spec.get("Labels") or {})
    if replica is None:
        return None
    return Service(
        id=shown["ID"],
        replica=replica,
        labels=spec["Labels"],
        image=spec["TaskTemplate"]["ContainerSpec"]["Image"],
        wanted=(spec["Mode"].get("Replicated") or {}).get("Replicas", 1),
    )


def current_task(tasks: Sequence[Task]) -> Task | None:
    """Return the task that a service is known by: one that is wanted, else the newest."""
    wanted = [task for task in tasks if task.is_wanted]
    if wanted:
        return min(wanted, key=lambda task: (task.slot, task.created))
    return max(tasks, key=lambda task: (task.is_alive, task.created), default=None)


def condition(task: Task, node: Node | None) -> Condition:
    """Return the condition of a task's server."""
    if not task.is_alive:
        return Condition.EXITED
    is_running = task.state == "running" and task.is_wanted
    return Condition.RUNNING if is_running and not is_away(node) else Condition.UNKNOWN


def is_away(node: Node | None) -> bool:
    """Tell whether a task's node is away; one that has no node yet is not."""
    return node is not None and node.is_away


def node_lost(node: Node | None) -> Cause:
    """Return the cause of a server's loss with its node."""
    if node is None:
        return NODE_LOST
    return replace(
        NODE_LOST, message=f"the node {node.name}, which the model server ran on, is away"
    )


def exit_code(task: Task) -> int | None:
    """Return the exit code of an ended server, None if it is not known."""
    is_told = task.state in {"complete", "failed"} or task.exit_code
    return task.exit_code if is_told and not task.was_refused else None


def cause_of_end(task: Task, node: Node | None, wanted: int, *, is_replaced: bool) -> Cause | None:
    """Return why an ended task ended, None where exit code and log tell.

    `wanted` is how many tasks the service is to have, `is_replaced` whether it has another one.
    """
    if task.was_refused:
        refused = task_refusal(task.words)
        code = (refused.details or {}).get("cause", "engine_refused")
        return Cause(str(code), refused.message, refused.hint or "")
    if task.has_lost_node and not is_away(node):
        return replace(NODE_LOST, message=f"the model server's node may not run it: {task.words}")
    if task.has_lost_node:
        return node_lost(node)
    if task.state == "failed":
        return {_UNSEEN_END: NODE_RESTARTED, _KILLED: KILLED}.get(task.exit_code)
    if task.state != "shutdown":
        return None
    if node is not None and node.availability == "drain":
        return replace(NODE_DRAINED, message=f"the node {node.name} was drained")
    if is_replaced:
        return REPLACED
    # Nobody asked for fewer, so that Swarm gave it up together with its node.
    return node_lost(node) if wanted else None


def was_told_to_stop(task: Task, node: Node | None, wanted: int, *, is_replaced: bool) -> bool:
    """Tell whether somebody else stopped the server, as by a service that is to have no tasks."""
    cause = cause_of_end(task, node, wanted, is_replaced=is_replaced)
    return task.state == "shutdown" and cause is None


def _address(shown: Mapping[str, Any]) -> str:
    """Return where a node's ports are reached; a manager's own words may be 0.0.0.0."""
    said = (shown["Spec"].get("Labels") or {}).get(ADDRESS_LABEL, "")
    manager = (shown.get("ManagerStatus") or {}).get("Addr", "").rpartition(":")[0].strip("[]")
    return str(said or manager or shown["Status"].get("Addr", ""))
