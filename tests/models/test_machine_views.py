"""Machines with the servers on them: what runners tell, joined with the lifecycles of servers."""

import socket
from dataclasses import replace

from server.dialects.base import Endpoint
from server.models.catalogue.catalog import ModelSpec
from server.models.runners.base import Replica, Report
from server.models.runners.machines import Gpu, Look, Machine, MachineServer, Placed, PlacedServer
from tests.support.fake_fleet import FakeRunner, fake_fleet

TWO = {
    "a": {"runner": "docker", "model_id": "x/y", "gpus": "2"},
    "b": {"runner": "docker", "model_id": "x/z", "gpus": "none"},
}


class _PlacingRunner(FakeRunner):
    """Start every server on the same machine, and tell of machines what a test says."""

    def __init__(self, *machines: Machine, problem: str = "", place: str = "gpu1") -> None:
        super().__init__()
        self._place = place
        self.placed: dict[str, tuple[PlacedServer, ...]] = {}
        self._machines = machines
        self._problem = problem

    async def start(self, replica: Replica, spec: ModelSpec, report: Report) -> Endpoint:
        return replace(await super().start(replica, spec, report), place=self._place)

    async def machines(self) -> Look:
        seen = (Placed(one, self.placed.get(one.name)) for one in self._machines)
        return Look(tuple(seen), (self._problem,) if self._problem else ())


async def test_without_other_places_there_is_the_gateways_own_machine() -> None:
    async with fake_fleet(models=TWO, has_gpus=True) as s:
        await s.use("a")
        (here,) = (await s.fleet.machines()).machines
        assert (here.name, here.kind) == (socket.gethostname(), "here")
        assert here.servers == [MachineServer("a", 1, "ready")]
        assert here.gpus == [Gpu("GPU", "0", "a"), Gpu("GPU", "1", "a")]


async def test_a_server_is_where_it_was_started_or_where_its_runner_says() -> None:
    runner = _PlacingRunner(
        Machine(name="gpu1", kind="docker"), Machine(name="gpu2", kind="docker")
    )
    async with fake_fleet(runner, models=TWO) as s:
        await s.use("a")
        one, two = (await s.fleet.machines()).machines
        assert (one.servers, two.servers) == ([MachineServer("a", 1, "ready")], [])
        runner.placed = {
            "gpu2": (PlacedServer("b", 1), PlacedServer("gone", 3)),
            "gpu1": (PlacedServer("b", 1, is_ending=True),),
        }
        runner.loading.close()
        s.fleet.start("b")
        await s.state("starting", "b")
        one, two = (await s.fleet.machines()).machines
        assert one.servers == [MachineServer("b", 1, "stopping")]
        assert two.servers == [
            MachineServer("b", 1, "starting"),
            MachineServer("gone", 3, "stopping"),
        ]


async def test_a_local_engine_is_the_gateways_machine_also_while_it_does_not_answer() -> None:
    local = Machine(name="engine", kind="here", version="28.5.0")
    runner = _PlacingRunner(local, problem="The Docker engine cannot be asked.", place="")
    async with fake_fleet(runner, models=TWO) as s:
        await s.use("b")
        seen = await s.fleet.machines()
        (here,) = seen.machines
        assert (here.name, here.version) == (socket.gethostname(), "28.5.0")
        assert here.servers == [MachineServer("b", 1, "ready")]
        assert seen.problems == ["The Docker engine cannot be asked."]


async def test_a_server_on_an_engine_elsewhere_is_not_on_the_gateways_machine() -> None:
    local, other = Machine(name="engine", kind="here"), Machine(name="gpu1", kind="docker")
    runner = _PlacingRunner(local, other)
    runner.placed = {"engine": (PlacedServer("b", 1),), "gpu1": (PlacedServer("a", 1),)}
    async with fake_fleet(runner, models=TWO, has_gpus=True) as s:
        await s.use("a")
        await s.use("b")
        here, gpu1 = (await s.fleet.machines()).machines
        assert here.servers == [MachineServer("b", 1, "ready")]
        assert here.gpus == []
        assert gpu1.servers == [MachineServer("a", 1, "ready")]
