"""How long the other side has said nothing, counted only while we were there to hear it.

A process that is stopped, or gets no processor for a while, finds its timers due before it reads
what has come in the meantime: a clock alone would call the other side silent when it was us who
were away. Under heavy load that ends answers in bursts, all that were under way at once.

Rules:

1. Silence is counted in looks, some to each time limit. A look that comes late by as much as the
   next one counts for nothing: the loop did not run, and has not yet read what there is.
2. Received bytes only set a flag, which each look reads, so that they cost no more than an
   assignment. The length of a silence is therefore exact to one look.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, Protocol

LOOKS: Final = 10


class Timer(Protocol):
    """Something that will happen."""

    def cancel(self) -> None:
        """Have it not happen."""


class Clock(Protocol):
    """What tells the time and calls back: an event loop, unless a test has a clock of its own."""

    def time(self) -> float:
        """Return the seconds since some moment."""

    def call_later(self, delay: float, callback: Callable[[], None], /) -> Timer:
        """Call back after `delay` seconds."""


class LoopClock:
    """The clock of whatever event loop runs."""

    def time(self) -> float:
        """Return the seconds since some moment."""
        return asyncio.get_running_loop().time()

    def call_later(self, delay: float, callback: Callable[[], None], /) -> Timer:
        """Call back after `delay` seconds."""
        return asyncio.get_running_loop().call_later(delay, callback)


class Silence:
    """Call `on_too_long` once nothing has been heard for so many seconds; begins at once.

    `hear` tells whether there was something since it was last asked.
    """

    def __init__(
        self,
        clock: Clock,
        seconds: float,
        hear: Callable[[], bool],
        on_too_long: Callable[[], object],
    ) -> None:
        self._clock = clock
        self._hear = hear
        self._on_too_long = on_too_long
        self._look_seconds = seconds / LOOKS
        self._silent_looks = 0
        self._look_again()

    def cancel(self) -> None:
        """Count no more."""
        self._timer.cancel()

    def _look_again(self) -> None:
        self._due = self._clock.time() + self._look_seconds
        self._timer = self._clock.call_later(self._look_seconds, self._look)

    def _look(self) -> None:
        if self._hear():
            self._silent_looks = 0
        elif self._clock.time() - self._due < self._look_seconds:
            self._silent_looks += 1
        if self._silent_looks < LOOKS:
            self._look_again()
        else:
            self._on_too_long()


@asynccontextmanager
async def within(clock: Clock, seconds: float) -> AsyncIterator[None]:
    """Raise `TimeoutError` if what is done inside takes longer, while this process runs."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as limit:
        waiting = Silence(clock, seconds, lambda: False, lambda: limit.reschedule(loop.time()))
        try:
            yield
        finally:
            waiting.cancel()
