"""The nodes of a swarm as an operator sees them, from what real managers have said."""

import asyncio
from typing import Any

import pytest

from server.models.runners.machines import Gpu, Machine, PlacedServer
from server.models.runners.swarm import machines
from server.models.runners.swarm.errors import SwarmNotReady
from server.models.runners.swarm.machines import Machines, placed_machines

FULL_ID = "GPU-5ad8e0f2"


def node(name: str, **shown: Any) -> dict[str, Any]:
    """Return a node as a manager lists it."""
    status = {"State": shown.pop("state", "ready"), "Addr": "10.0.0.2"}
    spec = {"Role": "worker", "Availability": shown.pop("availability", "active"), "Labels": {}}
    resources = {
        "NanoCPUs": 8_000_000_000,
        "MemoryBytes": 64 << 30,
        "GenericResources": shown.pop("gpus", []),
    }
    engine = {"EngineVersion": shown.pop("version", "20.10.24")}
    described = {"Hostname": name, "Resources": resources, "Engine": engine}
    manager = shown.pop("manager", None)
    if manager:
        spec["Role"], shown["ManagerStatus"] = "manager", {"Addr": "10.0.0.2:2377", **manager}
    return {"ID": name, "Spec": spec, "Description": described, "Status": status, **shown}


def task(
    on: str, gpus: list[Any], *, model: str = "", state: str = "running", desired: str = "running"
) -> dict[str, Any]:
    """Return a task of the gateway's model, or of another service without one."""
    labels = {"sidestream.instance": "test", "sidestream.model": model, "sidestream.replica": "2"}
    return {
        "NodeID": on,
        "ServiceID": "s",
        "Spec": {"ContainerSpec": {"Labels": labels if model else {}}},
        "Status": {"State": state},
        "DesiredState": desired,
        "GenericResources": gpus,
    }


def named(value: str) -> dict[str, Any]:
    return {"NamedResourceSpec": {"Kind": "GPU", "Value": value}}


def counted(value: int) -> dict[str, Any]:
    return {"DiscreteResourceSpec": {"Kind": "GPU", "Value": value}}


SERVICES = [{"ID": "s", "Spec": {"Name": "training"}}]


def seen(nodes: list[Any], tasks: list[Any] | None = None) -> list[Machine]:
    """Return the machines of a swarm with a service of somebody else."""
    return [one.machine for one in placed_machines(nodes, tasks or [], SERVICES, "test")]


def test_a_node_tells_its_gpus_and_who_has_them() -> None:
    nodes = [node("gpu2", gpus=[counted(3)]), node("gpu1", gpus=[named(FULL_ID), named("b")])]
    tasks = [
        task("gpu1", [named(FULL_ID)], model="org/a"),
        task("gpu1", [named("b")], model="org/b", state="failed"),
        task("gpu2", [counted(2)]),
    ]
    one, other = seen(nodes, tasks)
    assert one.gpus == [Gpu("GPU", FULL_ID, "org/a"), Gpu("GPU", "b", "")]
    assert [gpu.used_by for gpu in other.gpus] == ["training", "training", ""]
    assert (one.cpus, one.memory_bytes, one.version) == (8.0, 64 << 30, "20.10.24")


def test_a_server_that_swarm_wants_no_more_is_on_its_node_until_it_has_ended() -> None:
    nodes = [node("gpu1")]
    tasks = [task("gpu1", [], model="org/a"), task("gpu1", [], model="org/b", desired="shutdown")]
    (one,) = placed_machines(nodes, tasks, SERVICES, "test")
    assert one.servers == (PlacedServer("org/a", 2), PlacedServer("org/b", 2, is_ending=True))
    (removed,) = placed_machines(nodes, tasks, [], "test")
    assert [server.is_ending for server in removed.servers or ()] == [True, True]
    (others,) = placed_machines(nodes, tasks, SERVICES, "another")
    assert others.servers == ()


@pytest.mark.parametrize(
    ("odd", "problem"),
    [
        (node("gpu3", state="down"), "gpu3 is down"),
        (node("gpu3", availability="drain"), "gpu3 is drained"),
        (node("gpu3", availability="pause"), "gpu3 is paused"),
        (node("gpu3", version="28.5.0"), "gpu3 has Docker 28.5.0, the others have 20.10.24"),
        (node("gpu3", manager={"Reachability": "unreachable"}), "gpu3 does not answer as a man"),
    ],
)
def test_what_is_wrong_with_a_node_is_said_of_that_node(odd: Any, problem: str) -> None:
    *well, wrong = seen([node("gpu1"), node("gpu2"), odd])
    assert [one.problems for one in well] == [[], []]
    (said,) = wrong.problems
    assert said.startswith(problem)


class _Managers:
    """Managers that say what they are told to, or nothing at all."""

    def __init__(self) -> None:
        self.nodes = [node("gpu1", manager={"Reachability": "reachable", "Leader": True})]
        self.error: Exception | None = None
        self.is_silent = False

    async def get(self, what: str, path: str) -> Any:
        if self.error:
            raise self.error
        if self.is_silent:
            await asyncio.Event().wait()
        return self.nodes if path == "nodes" else []


async def test_without_managers_the_nodes_are_shown_as_they_were(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(machines, "_PATIENCE_SECONDS", 0.01)
    managers = _Managers()
    swarm = Machines(managers, "test")  # type: ignore[arg-type]
    (there,) = (await swarm.see()).machines
    assert (there.machine.role, there.machine.is_leader) == ("manager", True)
    managers.error = SwarmNotReady("the swarm does not have a leader")
    lost = await swarm.see()
    assert [one.machine.state for one in lost.machines] == ["unknown"]
    assert "does not have a leader" in lost.problems[0]
    managers.error, managers.is_silent = None, True
    assert (await swarm.see()).problems == ("The managers of the swarm do not answer in time.",)


async def test_what_is_wrong_with_a_whole_swarm_is_said_once() -> None:
    managers = _Managers()
    managers.nodes = [
        node(name, availability="drain", manager={"Reachability": "reachable"})
        for name in ("m1", "m2")
    ]
    two, none = (await Machines(managers, "test").see()).problems  # type: ignore[arg-type]
    assert two.startswith("Of two managers none may be lost")
    assert none == "No node of the swarm takes models."
