"""When frames are written: at once while that is cheap, batched by a short delay under load.

A frame costs about as much as everything else that is done for some tokens, much of it in the
kernel. Tokens that share a frame share that cost, so under load it pays to let a socket's tokens
gather for a few milliseconds.

Rules:

1. All sockets have the same delay, counted from the first event that is due to each, so that they
   are written in the order in which their tokens came. Later events of a socket go into the same
   frame: no event waits longer than the delay, and there are fewer frames than with one common
   tick.
2. The delay follows from the recent rate of frames. Up to `CHEAP_FRAMES` a second there is none,
   and events leave at the end of the loop's iteration; from `DEAR_FRAMES` on it is
   `MAX_DELAY_SECONDS`.
3. A client that asked for a pace of its own waits for that first.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Final

logger = logging.getLogger(__name__)

# A frame takes about 10 µs of a core, from the outbox through the kernel: 3 % and 6 % of its time.
CHEAP_FRAMES: Final = 3_000.0
DEAR_FRAMES: Final = 6_000.0
# Under load a token may be 25 ms late; the rest is for what is done before and after.
MAX_DELAY_SECONDS: Final = 0.018
# A frame may be early by this part of the delay, so that one timer serves several sockets.
_EARLY_PART: Final = 0.1
# How long frames are counted before the rate is updated; the old rate counts half.
_WINDOW_SECONDS: Final = 0.05

Write = Callable[[], None]


class FrameScheduler:
    """Call the writers of sockets when their frames are due."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due: deque[tuple[float, Write]] = deque()
        self._later: dict[Write, asyncio.TimerHandle] = {}
        self._is_scheduled = False
        self._delay_seconds = 0.0
        self._frames_per_second = 0.0
        self._frames = 0
        self._window_began = self._clock()

    def add(self, write: Write) -> None:
        """Call `write` once, after the delay."""
        self._due.append((self._clock() + self._delay_seconds, write))
        if not self._is_scheduled:
            self._schedule(self._delay_seconds)

    def add_later(self, write: Write, seconds: float) -> None:
        """Do as `add` does, but after so many seconds."""
        loop = asyncio.get_running_loop()
        self._later[write] = loop.call_later(seconds, self._add_now, write)

    def flush(self) -> None:
        """Call all waiting writers now."""
        for write, timer in self._later.items():
            timer.cancel()
            self._due.append((self._clock(), write))
        self._later.clear()
        self._write(len(self._due))

    def _add_now(self, write: Write) -> None:
        del self._later[write]
        self.add(write)

    def _schedule(self, seconds: float) -> None:
        self._is_scheduled = True
        loop = asyncio.get_running_loop()
        if seconds > 0:
            loop.call_later(seconds, self._tick)
        else:
            loop.call_soon(self._tick)

    def _tick(self) -> None:
        self._is_scheduled = False
        until = self._clock() + _EARLY_PART * self._delay_seconds
        count = 0
        for moment, _ in self._due:
            if moment > until:
                break
            count += 1
        self._write(count)
        self._frames += count
        now = self._clock()
        if now - self._window_began >= _WINDOW_SECONDS:
            self._adapt(now)
        if self._due and not self._is_scheduled:
            self._schedule(self._due[0][0] - now)

    def _write(self, count: int) -> None:
        for _ in range(count):
            write = self._due.popleft()[1]
            try:
                write()
            except Exception:
                logger.exception("a frame could not be written")

    def _adapt(self, now: float) -> None:
        rate = self._frames / (now - self._window_began)
        self._frames_per_second = (self._frames_per_second + rate) / 2
        dearness = (self._frames_per_second - CHEAP_FRAMES) / (DEAR_FRAMES - CHEAP_FRAMES)
        self._delay_seconds = MAX_DELAY_SECONDS * min(max(dearness, 0.0), 1.0)
        self._frames = 0
        self._window_began = now
