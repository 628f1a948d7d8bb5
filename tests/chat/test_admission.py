"""The queue of a model server: bounded, in turn, with each place told where it stands."""

import asyncio
from dataclasses import replace

import pytest

from server.chat.admission import Admission, Place
from server.core.errors import EngineLimited, EngineOverloaded, QueueFull
from server.core.protocol import Notice
from server.models.catalog import ModelSpec
from tests.support.specs import spec


class Waiter:
    """Somebody who waits for a turn, and what he is told meanwhile."""

    def __init__(
        self,
        place: Place,
        *,
        capacity: int | None = 1,
        timeout: float = 60,
        model: ModelSpec | None = None,
    ) -> None:
        self.place = place
        self.positions: list[int] = []
        self.notices: list[Notice | None] = []
        self.task = asyncio.create_task(
            place.turn(
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


# --- servers that hold one model ----------------------------------------------------------------

ONE, TWO = (replace(spec("x", name), name=name.title(), served_as=name) for name in ("one", "two"))
FOR_ONE = Notice("waits_for_model", "waits for One on this server", {"model": "one"})
FOR_TWO = Notice("waits_for_model", "waits for Two on this server", {"model": "two"})


async def test_who_waits_for_another_model_is_told_which(admission: Admission) -> None:
    first = Waiter(admission.take("m", "a"), model=ONE)
    await first.served()
    other = Waiter(admission.take("m", "a"), model=TWO, capacity=None)
    same = Waiter(admission.take("m", "a"), model=ONE, capacity=None)
    await same.served()
    assert list(zip(other.positions, other.notices, strict=True)) == [(1, FOR_ONE)]
    first.place.leave()
    assert not other.task.done()
    same.place.leave()
    await other.served()
    late = Waiter(admission.take("m", "a"), model=ONE, capacity=None)
    await asyncio.sleep(0)
    assert late.notices == [FOR_TWO]


async def test_one_of_the_same_model_waits_for_no_model(admission: Admission) -> None:
    waiters = [Waiter(admission.take("m", "a"), model=ONE) for _ in range(2)]
    await waiters[0].served()
    assert waiters[1].notices == [None]


async def test_it_is_known_which_model_the_server_holds(admission: Admission) -> None:
    first = Waiter(admission.take("m", "a"), model=ONE)
    await first.served()
    found = [first.place.is_model_held]
    first.place.note_held()
    found.append(first.place.is_model_held)
    other = Waiter(admission.take("m", "a"), model=TWO)
    first.place.leave()
    await other.served()
    found.append(other.place.is_model_held)
    plain = Waiter(admission.take("m", "a"))
    assert [*found, plain.place.is_model_held] == [None, True, False, None]


# --- servers that limit us ----------------------------------------------------------------------


async def test_a_held_queue_gives_no_turns_and_says_why(admission: Admission) -> None:
    first, second = await queue(admission, "a", "b")
    await first.served()
    first.place.hold(0.05, "slow down")
    first.task = asyncio.create_task(
        first.place.turn(capacity=None, timeout_seconds=60, on_position=first.move)
    )
    third = Waiter(admission.take("m", "c"), capacity=None)
    await asyncio.sleep(0)
    told = Notice("rate_limited", "slow down", {"seconds": 1})
    assert (first.positions, first.notices) == ([1], [told])
    assert second.notices[-1] == third.notices[-1] == told
    elsewhere = Waiter(admission.take("other", "a"))
    await elsewhere.served()
    assert not any(waiter.task.done() for waiter in (first, second, third))
    for waiter in (first, second, third):
        await waiter.served()


async def test_a_hold_becomes_longer_never_shorter(admission: Admission) -> None:
    (first,) = await queue(admission, "a")
    await first.served()
    first.place.hold(3600, "an hour")
    first.place.hold(0, "no time")
    waiter = Waiter(admission.take("m", "a"), timeout=0.01)
    with pytest.raises(EngineLimited, match="an hour"):
        await waiter.served()
    assert waiter.notices == [Notice("rate_limited", "an hour", {"seconds": 3600})]


async def test_who_leaves_a_held_queue_leaves_at_once(admission: Admission) -> None:
    first, second = await queue(admission, "a", "b")
    await first.served()
    first.place.hold(3600, "an hour")
    second.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second.task
    second.place.leave()
    first.place.leave()
    admission.check({"m": 4})
