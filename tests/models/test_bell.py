"""The bell: whoever waits for something finds it true when it is, and nobody waits in vain."""

import asyncio

import pytest

from server.models.bell import Bell


async def until(bell: Bell, box: list[int], size: int) -> None:
    """Wait until the box has that many things in it."""
    async with asyncio.timeout(5):
        await bell.until(lambda: len(box) >= size)


async def test_what_is_true_already_is_not_waited_for() -> None:
    await until(Bell(), [1], 1)


async def test_each_waits_for_its_own() -> None:
    bell, box = Bell(), list[int]()
    waits = [asyncio.create_task(until(bell, box, size)) for size in (1, 2, 2, 3)]
    await asyncio.sleep(0)
    for size in (1, 2, 3):
        box.append(size)
        bell.ring()
        await asyncio.gather(*waits[: [1, 3, 4][size - 1]])
        assert [wait.done() for wait in waits].count(True) == [1, 3, 4][size - 1]


async def test_rings_that_come_faster_than_anybody_looks_are_not_lost() -> None:
    bell, box = Bell(), list[int]()
    wait = asyncio.create_task(until(bell, box, 100))
    await asyncio.sleep(0)
    for number in range(100):
        box.append(number)
        bell.ring()
    await wait


async def test_a_ring_nobody_waits_for_is_forgotten() -> None:
    bell = Bell()
    bell.ring()
    wait = asyncio.create_task(bell.next())
    await asyncio.sleep(0)
    assert not wait.done()
    bell.ring()
    await wait


async def test_who_has_waited_longest_looks_first() -> None:
    """Regression: answers that waited for one model were begun in no order at all."""
    bell, box, order = Bell(), list[int](), list[int]()

    async def wait(number: int) -> None:
        await until(bell, box, 2)
        order.append(number)

    waits = []
    for number in range(20):
        # Those who are here already look in between.
        waits.append(asyncio.create_task(wait(number)))
        bell.ring()
        await asyncio.sleep(0)
    box += [1, 2]
    bell.ring()
    await asyncio.gather(*waits)
    assert order == list(range(20))


async def test_who_gives_up_leaves_nothing_behind() -> None:
    bell = Bell()
    wait = asyncio.create_task(bell.next())
    await asyncio.sleep(0)
    wait.cancel()
    with pytest.raises(asyncio.CancelledError):
        await wait
    assert not bell._waiters
    bell.ring()
