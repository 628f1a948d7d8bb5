"""A client that asked for a pace gets frames that far apart, and loses nothing by it."""

import asyncio

from server.core.outbox import Outbox
from server.core.protocol import Nothing, Result
from server.web.sockets.frame_scheduler import FrameScheduler
from server.web.sockets.frames import FrameWriter
from tests.web.test_frame_scheduler import Clock, some_turns

CEILING_SECONDS = 30


class Paper:
    """A socket that takes everything."""

    closed = False
    takes_at_once = True

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def send_at_once(self, frame: bytes) -> None:
        self.frames.append(frame)


def paced(seconds: float) -> tuple[Paper, Outbox, FrameScheduler, Clock]:
    """Return a socket with such a pace, and what writes to it."""
    clock, paper = Clock(), Paper()
    scheduler = FrameScheduler(clock)
    writer = FrameWriter(paper, scheduler, timeout_seconds=1, clock=clock)  # type: ignore[arg-type]
    writer.set_pace(seconds)
    outbox = Outbox(writer.wake)
    writer.take_from(outbox)
    return paper, outbox, scheduler, clock


async def test_the_first_frame_leaves_at_once_and_the_next_one_gathers() -> None:
    paper, outbox, scheduler, clock = paced(0.9)
    outbox.put(Result(1, Nothing()))
    await some_turns()
    assert len(paper.frames) == 1
    outbox.put(Result(2, Nothing()))
    outbox.put(Result(3, Nothing()))
    await some_turns()
    assert len(paper.frames) == 1
    scheduler.flush()  # as when the server goes away
    assert len(paper.frames) == 2
    assert paper.frames[1].count(b'"result"') >= 2
    clock.now += 1.0
    outbox.put(Result(4, Nothing()))
    await some_turns()
    assert len(paper.frames) == 3


async def test_frames_held_for_the_pace_are_written_when_due() -> None:
    paper, outbox, _, clock = paced(0.01)
    outbox.put(Result(1, Nothing()))
    await some_turns()
    outbox.put(Result(2, Nothing()))
    clock.now += 0.01
    await some_turns()
    assert len(paper.frames) == 1
    async with asyncio.timeout(CEILING_SECONDS):
        while len(paper.frames) == 1:
            await some_turns()
    assert paper.frames[1].count(b'"id":2') == 1
