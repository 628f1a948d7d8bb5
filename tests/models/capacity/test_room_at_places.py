"""Room at places beside this machine: who is chosen, who waits for which, and what is told."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from server.core.errors import ModelFailed
from server.core.offers import Offer
from server.core.placement import Capacity, Occupant
from server.core.protocol import Progress
from server.models.capacity.room import Room
from server.models.catalogue.catalog import ModelSpec
from tests.support.specs import catalog

MODELS = {
    name: {"runner": "docker", "model_id": "acme/m", "engine_host": host, "memory": memory}
    for name, host, memory in (
        *(("a", "any", 6), ("b", "any", 6), ("c", "any", 6), ("huge", "any", 60)),
        ("one-only", "one", 6),
        ("here", "", 6),
    )
}


class TwoPlaces:
    """Two machines with room for ten bytes each, which may be away."""

    def __init__(self) -> None:
        self.there = {"one": True, "two": True}
        self.chosen: list[tuple[str, str]] = []
        self.never_reached = False

    def has(self, spec: ModelSpec) -> bool:
        return bool(spec.settings.engine_host)

    async def offers(self, spec: ModelSpec) -> Sequence[Offer]:
        await asyncio.sleep(0)
        if self.never_reached:
            raise ModelFailed("nobody is there")
        return [Offer(name, budget_bytes=10) for name in self._names(spec) if self.there[name]]

    def chose(self, spec: ModelSpec, place: str) -> None:
        self.chosen.append((spec.id, place))

    def away(self, spec: ModelSpec) -> str:
        return " and ".join(name for name in self._names(spec) if not self.there[name])

    def answering(self) -> Mapping[str, bool]:
        return self.there

    def _names(self, spec: ModelSpec) -> list[str]:
        host = spec.settings.engine_host
        return [name for name in self.there if host in (name, "any")]


class Machines:
    """A room over the two places and this machine, and who is busy there."""

    def __init__(self, capacity: Capacity | None = None) -> None:
        self.places = TwoPlaces()
        self.busy: set[str] = set()
        self.asked: list[str] = []
        self.told: list[str] = []
        self._catalog = catalog(**{name.replace("-", "_"): one for name, one in MODELS.items()})
        self.room = Room(
            capacity or Capacity(), self._describe, self.asked.append, places=self.places
        )

    def spec(self, name: str) -> ModelSpec:
        return self._catalog.get(name)

    async def enter(self, name: str) -> None:
        await self.room.enter(self.spec(name), self._report)

    async def waits(self, name: str) -> asyncio.Task[None]:
        """Have a server try to enter; it waits."""
        task = asyncio.create_task(self.enter(name))
        await settle()
        assert not task.done()
        return task

    def _describe(self, name: str) -> Occupant:
        spec = self.spec(name)
        idle = None if name in self.busy else 1.0
        return Occupant(name, spec.budgeted_memory, idle, is_pinned=False, root=spec.root)

    def _report(self, progress: Progress) -> None:
        self.told.append(progress.text)


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_servers_are_divided_among_the_places_and_take_nothing_here() -> None:
    machines = Machines(Capacity(memory_bytes=6))
    for name in ("a", "b", "here"):
        await machines.enter(name)
    assert machines.places.chosen == [("a", "one"), ("b", "two")]
    assert machines.asked == []


async def test_an_idle_server_makes_room_at_its_place() -> None:
    machines = Machines()
    await machines.enter("a")
    await machines.enter("b")
    machines.busy.add("a")
    start = await machines.waits("c")
    assert machines.asked == ["b"]
    machines.room.leave("b")
    await start
    assert machines.places.chosen[-1] == ("c", "two")


async def test_who_waits_for_one_place_keeps_nobody_from_another() -> None:
    machines = Machines()
    await machines.enter("a")
    machines.busy.add("a")
    behind = await machines.waits("one-only")
    assert "at one: a in use" in machines.told[-1]
    await machines.enter("b")
    await machines.enter("here")
    assert machines.places.chosen[-1] == ("b", "two")
    machines.room.leave("a")
    await behind


async def test_who_waits_for_any_place_goes_before_those_who_came_later() -> None:
    machines = Machines()
    for name in ("a", "b"):
        await machines.enter(name)
        machines.busy.add(name)
    first = await machines.waits("c")
    second = await machines.waits("one-only")
    assert machines.told[-1] == "waiting behind c for room"
    machines.room.leave("a")
    await first
    assert not second.done()
    machines.room.leave("c")
    await second


async def test_a_model_that_fits_nowhere_is_told_what_each_place_lacks() -> None:
    machines = Machines()
    with pytest.raises(ModelFailed, match=r"no room for huge: one lacks .*; two lacks ") as refused:
        await machines.enter("huge")
    assert "[docker NAME]" in str(refused.value.hint)


async def test_a_place_that_is_away_is_waited_for_by_those_who_have_no_other() -> None:
    machines = Machines()
    machines.places.there["one"] = False
    start = await machines.waits("one-only")
    assert machines.told[-1] == "waiting for one"
    # It could be large enough.
    hopeful = await machines.waits("huge")
    await machines.enter("a")
    assert machines.places.chosen == [("a", "two")]
    machines.places.there["one"] = True
    machines.room.places_changed()
    await start
    with pytest.raises(ModelFailed, match="there can be no room for huge"):
        await hopeful


async def test_a_place_that_never_was_there_is_an_error_at_once() -> None:
    machines = Machines()
    machines.places.never_reached = True
    with pytest.raises(ModelFailed, match="nobody is there"):
        await machines.enter("a")
    machines.room.admit(machines.spec("b"), "one")
    await machines.enter("here")


async def test_a_server_that_is_found_counts_at_its_place() -> None:
    machines = Machines()
    machines.room.admit(machines.spec("a"), "two")
    machines.busy.add("a")
    await machines.enter("b")
    assert machines.places.chosen == [("b", "one")]
    assert not await machines.room.has_room(machines.spec("c"))
    machines.room.leave("a")
    assert await machines.room.has_room(machines.spec("c"))
