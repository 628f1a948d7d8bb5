"""Decide when a crashed model server is restarted, and when it is given up."""

from typing import Final

from server.core.placement import pause_before_restart
from server.core.protocol import ModelError

# A crash after more than this time starts a new count.
_STABLE_SECONDS: Final = 60.0
STARTS_ELSEWHERE: Final = 2
"""How many more starts one request makes if the machine of each is lost before it is ready."""


class Restarts:
    """Count the consecutive crashes of one server."""

    def __init__(self, *, limit: int) -> None:
        self._limit = limit
        self._crashes = 0
        self.crashes_seen = 0
        self.restarts_made = 0

    def forget(self) -> None:
        """Reset the count: the server was stopped on request."""
        self._crashes = 0

    def after_failure(
        self, error: ModelError, *, was_up_seconds: float, is_automatic: bool
    ) -> tuple[ModelError, float | None]:
        """Return the error to show, and the seconds until the next start.

        `is_automatic` tells that it is started again although it was not ready yet. Otherwise the
        seconds are None for one that was not.
        """
        if not was_up_seconds and not is_automatic:
            return error, None
        pause = self.after_crash(was_up_seconds=was_up_seconds)
        return (self.given_up(error) if pause is None else error), pause

    def after_crash(self, *, was_up_seconds: float) -> float | None:
        """Return the seconds until the next start; None when the server is given up."""
        if was_up_seconds > _STABLE_SECONDS:
            self._crashes = 0
        self._crashes += 1
        self.crashes_seen += 1
        if self._crashes <= self._limit:
            self.restarts_made += 1
            return pause_before_restart(self._crashes)
        self._crashes = 0
        return None

    def given_up(self, error: ModelError) -> ModelError:
        """Return the error with the number of restarts."""
        times = f"given up after {self._limit} restarts"
        return ModelError(error.code, f"{error.message} ({times})", error.hint)
