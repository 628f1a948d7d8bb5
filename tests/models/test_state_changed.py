"""A waiter returns once its predicate is true, and every waiter is notified."""

import asyncio

import pytest

from server.models.state_changed import StateChanged


async def wait_until(changed: StateChanged, box: list[int], size: int) -> None:
    """Wait until the box has that many things in it."""
    async with asyncio.timeout(5):
        await changed.wait_for(lambda: len(box) >= size)


async def test_a_condition_that_holds_is_not_waited_for() -> None:
    await wait_until(StateChanged(), [1], 1)


async def test_each_waits_for_its_own() -> None:
    changed, box = StateChanged(), list[int]()
    waits = [asyncio.create_task(wait_until(changed, box, size)) for size in (1, 2, 2, 3)]
    await asyncio.sleep(0)
    for size in (1, 2, 3):
        box.append(size)
        changed.notify_all()
        await asyncio.gather(*waits[: [1, 3, 4][size - 1]])
        assert [wait.done() for wait in waits].count(True) == [1, 3, 4][size - 1]


async def test_notifications_faster_than_any_waiter_are_not_lost() -> None:
    changed, box = StateChanged(), list[int]()
    wait = asyncio.create_task(wait_until(changed, box, 100))
    await asyncio.sleep(0)
    for number in range(100):
        box.append(number)
        changed.notify_all()
    await wait


async def test_a_notification_without_waiters_has_no_effect() -> None:
    changed = StateChanged()
    changed.notify_all()
    wait = asyncio.create_task(changed.wait())
    await asyncio.sleep(0)
    assert not wait.done()
    changed.notify_all()
    await wait


async def test_waiters_resume_in_the_order_in_which_they_came() -> None:
    """Regression: answers that waited for one model were begun in no order at all."""
    changed, box, order = StateChanged(), list[int](), list[int]()

    async def wait(number: int) -> None:
        await wait_until(changed, box, 2)
        order.append(number)

    waits = []
    for number in range(20):
        # Those who are here already look in between.
        waits.append(asyncio.create_task(wait(number)))
        changed.notify_all()
        await asyncio.sleep(0)
    box += [1, 2]
    changed.notify_all()
    await asyncio.gather(*waits)
    assert order == list(range(20))


async def test_a_cancelled_waiter_leaves_nothing_behind() -> None:
    changed = StateChanged()
    wait = asyncio.create_task(changed.wait())
    await asyncio.sleep(0)
    wait.cancel()
    with pytest.raises(asyncio.CancelledError):
        await wait
    assert not changed._waiters
    changed.notify_all()
