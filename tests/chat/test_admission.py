"""The queue of a model server: bounded, in turn, with each slot told where it stands."""

import asyncio
from dataclasses import replace

import pytest

from server.chat.admission import Admission, QueueSlot
from server.core.errors import EngineLimited, EngineOverloaded, QueueFull
from server.core.protocol import Notice
from server.models.catalogue.catalog import ModelSpec
from tests.support.specs import spec


class Waiter:
    """Somebody who waits for a turn, and what he is told meanwhile."""

    def __init__(
        self,
        slot: QueueSlot,
        *,
        capacity: int | None = 1,
        timeout: float = 60,
        model: ModelSpec | None = None,
    ) -> None:
        self.slot = slot
        self.positions: list[int] = []
        self.notices: list[Notice | None] = []
        self.task = asyncio.create_task(
            slot.turn(
                capacity=capacity,
                timeout_seconds=timeout,
                on_position=self.move,
                model=model,
            )
        )

    def move(self, position: int, notice: Notice | None) -> None:
        self.positions.append(position)
        self.notices.append(notice)

    async def served(self) -> None:
        async with asyncio.timeout(5):
            await self.task


@pytest.fixture
def admission() -> Admission:
    """Return queues with room for four answers each."""
    return Admission(max_slots=4)


async def queue(admission: Admission, *parties: str) -> list[Waiter]:
    """Have the parties ask one after the other."""
    waiters = []
    for party in parties:
        waiters.append(Waiter(admission.reserve(["m"], party)[0]))
        await asyncio.sleep(0)
    return waiters


async def test_turns_come_in_order_and_the_place_is_told(admission: Admission) -> None:
    first, second, third = await queue(admission, "a", "b", "c")
    await first.served()
    assert (first.positions, second.positions, third.positions) == ([], [1], [2])
    first.slot.release()
    await second.served()
    assert third.positions == [2, 1]
    second.slot.release()
    await third.served()


async def test_a_cancelled_slot_makes_room_for_the_next(admission: Admission) -> None:
    first, second, third = await queue(admission, "a", "b", "c")
    await first.served()
    second.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second.task
    second.slot.release()
    assert third.positions == [2, 1]
    first.slot.release()
    await third.served()


async def test_a_cancelled_slot_gets_no_positions(admission: Admission) -> None:
    """Regression: two that were cancelled at once told each other's ended answers to move."""
    first, second, third = await queue(admission, "a", "b", "c")
    await first.served()
    for waiter in (second, third):
        waiter.task.cancel()
    await asyncio.wait([second.task, third.task])
    second.slot.release()
    third.slot.release()
    assert third.positions == [2]


async def test_without_a_limit_there_is_no_waiting(admission: Admission) -> None:
    waiters = [Waiter(admission.reserve(["m"], "a")[0], capacity=None) for _ in range(4)]
    for waiter in waiters:
        await waiter.served()


async def test_each_model_has_a_queue_of_its_own(admission: Admission) -> None:
    one, other = (Waiter(admission.reserve([model], "a")[0]) for model in "xy")
    await one.served()
    await other.served()


async def test_a_turn_that_does_not_come_in_time_is_given_up(admission: Admission) -> None:
    (first,) = await queue(admission, "a")
    await first.served()
    late = Waiter(admission.reserve(["m"], "b")[0], timeout=0)
    with pytest.raises(EngineOverloaded, match="no turn came within 0 s"):
        await late.served()


async def test_slots_are_reserved_together_or_not_at_all(admission: Admission) -> None:
    slots = admission.reserve(["m"] * 3 + ["other"] * 4, "a")
    with pytest.raises(QueueFull, match="the queue of m holds 4"):
        admission.reserve(["m", "m"], "b")
    with pytest.raises(QueueFull, match="the queue of other holds 4"):
        admission.reserve(["m", "other"], "b")
    slots += admission.reserve(["m"], "b")
    with pytest.raises(QueueFull):
        admission.reserve(["m"], "b")
    slots[0].release()
    slots[0].release()
    admission.reserve(["m"], "b")
    with pytest.raises(QueueFull):
        admission.reserve(["m"], "b")


# --- servers that hold one model ----------------------------------------------------------------

ONE, TWO = (replace(spec("x", name), name=name.title(), served_as=name) for name in ("one", "two"))
FOR_ONE = Notice("waits_for_model", "waits for One on this server", {"model": "one"})
FOR_TWO = Notice("waits_for_model", "waits for Two on this server", {"model": "two"})


async def test_a_slot_that_waits_for_another_model_names_it(admission: Admission) -> None:
    first = Waiter(admission.reserve(["m"], "a")[0], model=ONE)
    await first.served()
    other = Waiter(admission.reserve(["m"], "a")[0], model=TWO, capacity=None)
    same = Waiter(admission.reserve(["m"], "a")[0], model=ONE, capacity=None)
    await same.served()
    assert list(zip(other.positions, other.notices, strict=True)) == [(1, FOR_ONE)]
    first.slot.release()
    assert not other.task.done()
    same.slot.release()
    await other.served()
    late = Waiter(admission.reserve(["m"], "a")[0], model=ONE, capacity=None)
    await asyncio.sleep(0)
    assert late.notices == [FOR_TWO]


async def test_a_slot_of_the_held_model_waits_for_no_model(admission: Admission) -> None:
    waiters = [Waiter(admission.reserve(["m"], "a")[0], model=ONE) for _ in range(2)]
    await waiters[0].served()
    assert waiters[1].notices == [None]


async def test_the_queue_knows_which_model_the_server_holds(admission: Admission) -> None:
    first = Waiter(admission.reserve(["m"], "a")[0], model=ONE)
    await first.served()
    found = [first.slot.is_model_held]
    first.slot.note_held()
    found.append(first.slot.is_model_held)
    other = Waiter(admission.reserve(["m"], "a")[0], model=TWO)
    first.slot.release()
    await other.served()
    found.append(other.slot.is_model_held)
    plain = Waiter(admission.reserve(["m"], "a")[0])
    assert [*found, plain.slot.is_model_held] == [None, True, False, None]


# --- servers that limit us ----------------------------------------------------------------------


async def test_a_held_queue_gives_no_turns_and_says_why(admission: Admission) -> None:
    first, second = await queue(admission, "a", "b")
    await first.served()
    first.slot.hold(0.05, "slow down")
    first.task = asyncio.create_task(
        first.slot.turn(capacity=None, timeout_seconds=60, on_position=first.move)
    )
    third = Waiter(admission.reserve(["m"], "c")[0], capacity=None)
    await asyncio.sleep(0)
    told = Notice("rate_limited", "slow down", {"seconds": 1})
    assert (first.positions, first.notices) == ([1], [told])
    assert second.notices[-1] == third.notices[-1] == told
    elsewhere = Waiter(admission.reserve(["other"], "a")[0])
    await elsewhere.served()
    assert not any(waiter.task.done() for waiter in (first, second, third))
    for waiter in (first, second, third):
        await waiter.served()


async def test_a_hold_becomes_longer_never_shorter(admission: Admission) -> None:
    (first,) = await queue(admission, "a")
    await first.served()
    first.slot.hold(3600, "an hour")
    first.slot.hold(0, "no time")
    waiter = Waiter(admission.reserve(["m"], "a")[0], timeout=0.01)
    with pytest.raises(EngineLimited, match="an hour"):
        await waiter.served()
    assert waiter.notices == [Notice("rate_limited", "an hour", {"seconds": 3600})]


async def test_a_cancelled_slot_leaves_a_held_queue_at_once(admission: Admission) -> None:
    first, second = await queue(admission, "a", "b")
    await first.served()
    first.slot.hold(3600, "an hour")
    second.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second.task
    second.slot.release()
    first.slot.release()
    admission.reserve(["m"] * 4, "c")


async def test_the_background_waits_for_all_others_and_longer_than_they_may(
    admission: Admission,
) -> None:
    (first,) = await queue(admission, "a")
    await first.served()
    behind = Waiter(admission.reserve(["m"], "run", is_background=True)[0], timeout=0)
    await asyncio.sleep(0)
    (second,) = await queue(admission, "b")
    assert behind.positions == [1, 2]
    first.slot.release()
    await second.served()
    second.slot.release()
    await behind.served()


def test_the_background_takes_no_slots_of_others_and_is_refused_none(admission: Admission) -> None:
    admission.reserve(["m"] * 4, "a")
    admission.reserve(["m"] * 9, "run", is_background=True)
    with pytest.raises(QueueFull):
        admission.reserve(["m"], "a")
