"""The queue of a model server: bounded, in turn, with each place told where it stands."""

import asyncio

import pytest

from server.chat.admission import Admission, Place
from server.core.errors import EngineOverloaded, QueueFull


class Waiter:
    """Somebody who waits for a turn, and what he is told meanwhile."""

    def __init__(self, place: Place, *, capacity: int | None = 1, timeout: float = 60) -> None:
        self.place = place
        self.positions: list[int] = []
        self.task = asyncio.create_task(
            place.turn(
                capacity=capacity, timeout_seconds=timeout, on_position=self.positions.append
            )
        )

    async def served(self) -> None:
        async with asyncio.timeout(5):
            await self.task


@pytest.fixture
def admission() -> Admission:
    """Return a desk with room for four a model."""
    return Admission(max_places=4)


async def queue(admission: Admission, *parties: str) -> list[Waiter]:
    """Have the parties ask one after the other."""
    waiters = []
    for party in parties:
        waiters.append(Waiter(admission.take("m", party)))
        await asyncio.sleep(0)
    return waiters


async def test_turns_come_in_order_and_the_place_is_told(admission: Admission) -> None:
    first, second, third = await queue(admission, "a", "b", "c")
    await first.served()
    assert (first.positions, second.positions, third.positions) == ([], [1], [2])
    first.place.leave()
    await second.served()
    assert third.positions == [2, 1]
    second.place.leave()
    await third.served()


async def test_who_gives_up_makes_room_for_those_behind(admission: Admission) -> None:
    first, second, third = await queue(admission, "a", "b", "c")
    await first.served()
    second.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second.task
    second.place.leave()
    assert third.positions == [2, 1]
    first.place.leave()
    await third.served()


async def test_who_has_given_up_is_told_nothing_more(admission: Admission) -> None:
    """Regression: two that were cancelled at once told each other's ended answers to move."""
    first, second, third = await queue(admission, "a", "b", "c")
    await first.served()
    for waiter in (second, third):
        waiter.task.cancel()
    await asyncio.wait([second.task, third.task])
    second.place.leave()
    third.place.leave()
    assert third.positions == [2]


async def test_without_a_limit_there_is_no_waiting(admission: Admission) -> None:
    waiters = [Waiter(admission.take("m", "a"), capacity=None) for _ in range(4)]
    for waiter in waiters:
        await waiter.served()


async def test_each_model_has_a_queue_of_its_own(admission: Admission) -> None:
    one, other = (Waiter(admission.take(model, "a")) for model in "xy")
    await one.served()
    await other.served()


async def test_a_turn_that_does_not_come_in_time_is_given_up(admission: Admission) -> None:
    (first,) = await queue(admission, "a")
    await first.served()
    late = Waiter(admission.take("m", "b"), timeout=0)
    with pytest.raises(EngineOverloaded, match="no turn came within 0 s"):
        await late.served()


async def test_a_full_queue_refuses_and_takes_again_when_somebody_leaves(
    admission: Admission,
) -> None:
    places = [admission.take("m", "a") for _ in range(4)]
    with pytest.raises(QueueFull, match="the queue of m holds 4"):
        admission.take("m", "b")
    admission.check({"other": 4})
    with pytest.raises(QueueFull):
        admission.check({"other": 5})
    places[0].leave()
    places[0].leave()
    admission.take("m", "b")
    with pytest.raises(QueueFull):
        admission.take("m", "b")
