"""What follows silence: a look at the server's health, and at last the end of the request.

Rules:

1. Without a health check, the first silence of `Timeouts.read` seconds ends the request.
2. Otherwise each such silence leads to a look. A healthy server is waited for up to
   `Timeouts.first_token` seconds of silence in all; an unhealthy one counts as gone.
3. Any byte received starts the count again, also while a look is under way: its outcome is then
   of no interest.
4. One look at a time, in a task that ends with the request.
"""

import asyncio
from collections.abc import Callable

from server.core.errors import EngineLost, EngineTimeout
from server.dialects.http.silence import Clock, Silence
from server.dialects.http.timeouts import IsWell, Timeouts


class Patience:
    """Wait for a server that says nothing, and call `fail` with the error once that is over.

    `hear` tells whether there was something since it was last asked. Begins at once.
    """

    def __init__(
        self,
        clock: Clock,
        timeouts: Timeouts,
        is_well: IsWell | None,
        hear: Callable[[], bool],
        fail: Callable[[Exception], None],
    ) -> None:
        self._clock = clock
        self._timeouts = timeouts
        self._is_well = is_well
        self._hear = hear
        self._fail = fail
        self._hearings = 0
        self._silent_seconds = 0.0
        self._look: asyncio.Task[None] | None = None
        self._wait()

    def end(self) -> None:
        """Wait no more; a look that is under way is cancelled."""
        self._silence.cancel()
        if self._look is not None:
            self._look.cancel()

    async def ended(self) -> None:
        """Return when nothing of it runs any more, after `end`."""
        if self._look is not None:
            await asyncio.wait([self._look])

    def _wait(self) -> None:
        self._seconds = self._timeouts.read
        if self._is_well is not None:
            self._seconds = min(self._seconds, self._timeouts.first_token - self._silent_seconds)
        self._silence = Silence(self._clock, self._seconds, self._was_heard, self._on_silence)

    def _was_heard(self) -> bool:
        was_heard = self._hear()
        if was_heard:
            self._hearings += 1
            self._silent_seconds = 0.0
        return was_heard

    def _on_silence(self) -> None:
        self._silent_seconds += self._seconds
        if self._is_well is None:
            self._fail(EngineTimeout("the model server said nothing for too long"))
        elif self._silent_seconds >= self._timeouts.first_token:
            self._fail(
                EngineTimeout(
                    f"the model server is well, but said nothing for {self._silent_seconds:g} s",
                    hint="raise `first_token_timeout` if the model needs longer",
                )
            )
        else:
            if self._look is None or self._look.done():
                self._look = asyncio.create_task(self._look_at(self._is_well))
            self._wait()

    async def _look_at(self, is_well: IsWell) -> None:
        silent_seconds, hearings = self._silent_seconds, self._hearings
        try:
            is_alive = await is_well()
        except Exception as error:  # noqa: BLE001
            # Raised again where the answer is read.
            self._fail(error)
            return
        if self._was_heard():
            self._silence.cancel()
            self._wait()
        if not is_alive and self._hearings == hearings:
            self._fail(
                EngineLost(
                    f"the model server is gone: it said nothing for {silent_seconds:g} s, "
                    "and does not say that it is well"
                )
            )
