"""When frames are written: at once under little load, together under much."""

import asyncio

from server.web.sockets.frame_scheduler import DEAR_FRAMES, MAX_DELAY_SECONDS, FrameScheduler

# More than anything here takes to be done at once.
TURNS = 5


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def some_turns() -> None:
    """Let the loop turn as often as what is due at once needs."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def loaded(clock: Clock) -> FrameScheduler:
    """Return a scheduler that has written far more than is cheap."""
    scheduler = FrameScheduler(clock)
    for _ in range(2):
        for _ in range(int(DEAR_FRAMES)):
            scheduler.add(lambda: None)
        clock.now += 1.0
        await some_turns()
    return scheduler


async def test_under_little_load_a_frame_leaves_at_once() -> None:
    scheduler = FrameScheduler(Clock())
    written: list[str] = []
    scheduler.add(lambda: written.append("a"))
    await some_turns()
    assert written == ["a"]


async def test_under_load_a_frame_waits_for_what_else_comes() -> None:
    clock = Clock()
    scheduler = await loaded(clock)
    written: list[str] = []
    scheduler.add(lambda: written.append("a"))
    await some_turns()
    assert written == []
    scheduler.flush()
    assert written == ["a"]


async def test_frames_leave_in_the_order_in_which_they_became_due() -> None:
    clock = Clock()
    scheduler = await loaded(clock)
    written: list[str] = []
    all_written = asyncio.Event()
    for name in "abc":
        scheduler.add(lambda name=name: written.append(name))  # type: ignore[misc]
        clock.now += MAX_DELAY_SECONDS / 4
    clock.now += MAX_DELAY_SECONDS
    scheduler.add(all_written.set)
    clock.now += MAX_DELAY_SECONDS
    async with asyncio.timeout(20):
        await all_written.wait()
    assert written == ["a", "b", "c"]


async def test_a_frame_that_cannot_be_written_holds_up_no_other() -> None:
    scheduler = FrameScheduler(Clock())
    written: list[str] = []
    scheduler.add(lambda: written.remove("what is not there"))
    scheduler.add(lambda: written.append("b"))
    await some_turns()
    assert written == ["b"]


async def test_when_the_load_is_gone_frames_leave_at_once_again() -> None:
    clock = Clock()
    scheduler = await loaded(clock)
    for _ in range(10):
        is_written = asyncio.Event()
        scheduler.add(is_written.set)
        clock.now += 1.0
        async with asyncio.timeout(20):
            await is_written.wait()
    written: list[str] = []
    scheduler.add(lambda: written.append("a"))
    await some_turns()
    assert written == ["a"]
