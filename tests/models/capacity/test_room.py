"""Room for model servers: order of entry, eviction, waiting, and servers that can never fit."""

import asyncio

import pytest

from server.core.errors import ModelFailed
from server.core.placement import Capacity, Occupant
from server.core.protocol import Progress
from server.models.capacity.room import Room
from server.models.catalogue.catalog import ModelSpec
from tests.support.specs import catalog


class Machine:
    """Three models, who is busy among them, and who was asked to go."""

    def __init__(self, capacity: Capacity, *, pinned: tuple[str, ...] = ()) -> None:
        self.busy: set[str] = set()
        self.asked: list[str] = []
        self.told: list[str] = []
        self.idle_since = {"a": 1.0, "b": 2.0, "c": 3.0}
        self._pinned = pinned
        self._catalog = catalog(**{name: {"weights": "/w.gguf"} for name in ("a", "b", "c")})
        self.room = Room(capacity, self._describe, self.asked.append)

    def spec(self, name: str) -> ModelSpec:
        return self._catalog.get(name)

    async def enter(self, name: str) -> None:
        await self.room.enter(self.spec(name), self._report)

    def enters(self, name: str) -> asyncio.Task[None]:
        return asyncio.create_task(self.enter(name))

    def _describe(self, name: str) -> Occupant:
        idle_since = None if name in self.busy else self.idle_since[name]
        return Occupant(name, 0, idle_since, name in self._pinned)

    def _report(self, progress: Progress) -> None:
        self.told.append(progress.text)


async def settle() -> None:
    """Let every task run until it waits."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_an_idle_server_is_asked_to_go_and_the_start_waits_until_it_has() -> None:
    machine = Machine(Capacity(max_running=1))
    await machine.enter("a")
    start = machine.enters("b")
    await settle()
    assert machine.asked == ["a"]
    assert not start.done()
    machine.room.leave("a")
    await start


async def test_a_server_is_asked_to_leave_once() -> None:
    machine = Machine(Capacity(max_running=1))
    await machine.enter("a")
    start = machine.enters("b")
    for _ in range(3):
        machine.room.use_changed()
        await settle()
    assert machine.asked == ["a"]
    machine.room.leave("a")
    await start


async def test_a_busy_server_is_waited_for_and_the_start_says_so() -> None:
    machine = Machine(Capacity(max_running=1))
    await machine.enter("a")
    machine.busy.add("a")
    start = machine.enters("b")
    await settle()
    assert machine.asked == []
    assert "a" in machine.told[-1]
    machine.busy.clear()
    machine.room.use_changed()
    await settle()
    assert machine.asked == ["a"]
    machine.room.leave("a")
    await start


async def test_those_who_wait_enter_in_their_order() -> None:
    machine = Machine(Capacity(max_running=1))
    await machine.enter("a")
    machine.busy.add("a")
    first, second = machine.enters("b"), machine.enters("c")
    await settle()
    machine.busy.clear()
    machine.room.leave("a")
    await first
    assert not second.done()
    machine.room.use_changed()
    await settle()
    assert machine.asked == ["b"]
    machine.room.leave("b")
    await second


async def test_a_cancelled_wait_for_room_blocks_nobody() -> None:
    machine = Machine(Capacity(max_running=1))
    await machine.enter("a")
    machine.busy.add("a")
    first, second = machine.enters("b"), machine.enters("c")
    await settle()
    first.cancel()
    await asyncio.wait([first])
    machine.busy.clear()
    machine.room.leave("a")
    await second


async def test_a_model_that_can_never_fit_is_refused_with_a_hint() -> None:
    machine = Machine(Capacity(max_running=1), pinned=("a",))
    await machine.enter("a")
    with pytest.raises(ModelFailed) as refused:
        await machine.enter("b")
    assert "max_running" in str(refused.value.hint)


async def test_a_server_found_running_is_in_although_there_is_no_room() -> None:
    machine = Machine(Capacity(max_running=1))
    machine.room.admit(machine.spec("a"))
    machine.room.admit(machine.spec("b"))
    await machine.enter("a")
    await machine.enter("b")
    assert machine.asked == []
