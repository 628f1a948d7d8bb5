"""Room for model servers: turns, eviction, waiting, and what can never fit."""

import asyncio

import pytest

from server.core.errors import ModelFailed
from server.core.placement import Capacity, Occupant
from server.core.protocol import Progress
from server.models.catalog import ModelSpec
from server.models.room import Room
from tests.support.specs import catalog


class House:
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
    house = House(Capacity(max_running=1))
    await house.enter("a")
    start = house.enters("b")
    await settle()
    assert house.asked == ["a"]
    assert not start.done()
    house.room.leave("a")
    await start


async def test_it_is_asked_once_however_often_the_room_looks() -> None:
    house = House(Capacity(max_running=1))
    await house.enter("a")
    start = house.enters("b")
    for _ in range(3):
        house.room.look_again()
        await settle()
    assert house.asked == ["a"]
    house.room.leave("a")
    await start


async def test_a_busy_server_is_waited_for_and_the_start_says_so() -> None:
    house = House(Capacity(max_running=1))
    await house.enter("a")
    house.busy.add("a")
    start = house.enters("b")
    await settle()
    assert house.asked == []
    assert "a" in house.told[-1]
    house.busy.clear()
    house.room.look_again()
    await settle()
    assert house.asked == ["a"]
    house.room.leave("a")
    await start


async def test_those_who_wait_enter_in_their_order() -> None:
    house = House(Capacity(max_running=1))
    await house.enter("a")
    house.busy.add("a")
    first, second = house.enters("b"), house.enters("c")
    await settle()
    house.busy.clear()
    house.room.leave("a")
    await first
    assert not second.done()
    house.room.look_again()
    await settle()
    assert house.asked == ["b"]
    house.room.leave("b")
    await second


async def test_whoever_gives_up_waiting_holds_up_nobody() -> None:
    house = House(Capacity(max_running=1))
    await house.enter("a")
    house.busy.add("a")
    first, second = house.enters("b"), house.enters("c")
    await settle()
    first.cancel()
    await asyncio.wait([first])
    house.busy.clear()
    house.room.leave("a")
    await second


async def test_what_can_never_fit_is_refused_with_the_way_out() -> None:
    house = House(Capacity(max_running=1), pinned=("a",))
    await house.enter("a")
    with pytest.raises(ModelFailed) as refused:
        await house.enter("b")
    assert "max_running" in str(refused.value.hint)


async def test_a_server_found_running_is_in_although_there_is_no_room() -> None:
    house = House(Capacity(max_running=1))
    house.room.admit("a")
    house.room.admit("b")
    await house.enter("a")
    await house.enter("b")
    assert house.asked == []
