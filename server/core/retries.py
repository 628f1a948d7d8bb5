"""When a request that a server refused as overloaded is sent again: growing pauses, a deadline.

Pure: time and chance are passed in.
"""

from typing import Final

from server.core.errors import EngineLimited, EngineOverloaded

FIRST_PAUSE_SECONDS: Final = 0.25
"""The server may become free at any token; shorter pauses would only cause more refusals."""
LAST_PAUSE_SECONDS: Final = 5.0
"""Longer ones would leave the server idle for longer than many answers take."""

_NOT_SOON: Final = "the server lifts this limit too late for asking again to help"


class Retries:
    """Tell how long to wait after each refusal; times in seconds on one clock."""

    def __init__(self, *, now: float, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._deadline = now + timeout_seconds
        self._pause = FIRST_PAUSE_SECONDS

    def left(self, now: float) -> float:
        """Return how many seconds are left until the deadline, at least 0."""
        return max(self._deadline - now, 0.0)

    def after(self, refusal: EngineOverloaded, *, now: float, chance: float) -> float:
        """Return the seconds to wait, at least as many as the server asks for.

        `chance`, 0 to 1, adds jitter, so that requests refused together do not come back together.
        Raises the refusal if it is final, or the next attempt would come after the deadline.
        """
        pause = max(self._pause * (0.5 + chance / 2), refusal.retry_after_seconds or 0.0)
        self._pause = min(self._pause * 2, LAST_PAUSE_SECONDS)
        if isinstance(refusal, EngineLimited) and refusal.is_final:
            refusal.hint = refusal.hint or _NOT_SOON
            raise refusal
        if now + pause > self._deadline:
            if refusal.hint is None:
                refusal.hint = (
                    f"asking again in {pause:.0f} s would exceed `queue_timeout` in [answers], "
                    f"{self._timeout_seconds:g} s"
                )
            raise refusal
        return pause
