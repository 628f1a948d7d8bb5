"""The interface between a model's lifecycle and the place where its server runs.

A runner holds no lifecycle state: it acts when it is called, and reports what it sees.

    verb      absent              running             exited
    start     starts it           same endpoint       starts it anew
    stop      success             ends it             removes what is left
    inspect   MISSING             RUNNING             EXITED with code and tail
    wait      MISSING at once     until it ends       EXITED at once
    logs      ends at once        history, then live  history

Every verb may be called at any time and may be cancelled; a cancelled `start` leaves
nothing behind. A runner whose engine does not answer reports UNKNOWN, never MISSING:
a living server must not be forgotten because it cannot be seen just now.
"""

import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, Final, Protocol

from server.core.protocol import Progress
from server.dialects.base import Endpoint
from server.models.catalogue.catalog import ModelSpec
from server.models.logbook import LogLine

# The lines that come with an exited server's observation: vLLM logs its wrapping errors a hundred
# lines below the cause, and rich's boxes have three hundred lines.
TAIL_LINES: Final = 500

Report = Callable[[Progress], None]


@dataclass(frozen=True)
class Replica:
    """Name one running copy of a model under one gateway instance."""

    instance: str
    model: str


class Condition(Enum):
    """What a runner sees of a replica."""

    RUNNING = "running"
    EXITED = "exited"
    MISSING = "missing"
    UNKNOWN = "unknown"


# Signals that ask a server to end. SIGKILL is not among them: it may be a simulated crash.
_ASKING: Final = frozenset({signal.SIGINT, signal.SIGQUIT, signal.SIGTERM})
# Exit codes above it are of processes that a signal ended, as shells and containers report them.
_SIGNAL_BASE: Final = 128


@dataclass(frozen=True)
class Observation:
    """Report what is there: for EXITED its code (negative: the signal) and its last lines.

    `sent_signals` are those that the engine was asked to send to it, as far as that is known.
    `left_behind` is how many processes went on after a program had ended, and were killed;
    `ports_elsewhere` are the ports of a running one that does not listen at its endpoint.
    `is_outdated` is whether a running server was started with other settings than the present
    ones, `image` the digest of a container's image.
    """

    replica: Replica
    condition: Condition
    endpoint: Endpoint | None = None
    exit_code: int | None = None
    was_out_of_memory: bool = False
    sent_signals: frozenset[int] = frozenset()
    is_outdated: bool = False
    tail: tuple[LogLine, ...] = ()
    image: str = ""
    left_behind: int = 0
    ports_elsewhere: frozenset[int] = frozenset()

    @property
    def ended_by(self) -> int | None:
        """Return the number of the signal that ended it; containers report 128 more, unsigned."""
        if self.exit_code is None or 0 <= self.exit_code <= _SIGNAL_BASE:
            return None
        return -self.exit_code if self.exit_code < 0 else self.exit_code - _SIGNAL_BASE

    @property
    def was_told_to_stop(self) -> bool:
        """Tell whether the engine was asked to stop it: that is a request and not a crash."""
        return self.condition is Condition.EXITED and not self.sent_signals.isdisjoint(_ASKING)


class Runner(Protocol):
    """Start, stop and watch model servers in one kind of place."""

    is_managed: ClassVar[bool]
    """Whether we start and stop the servers, rather than merely find them."""

    outlives_us: ClassVar[bool]
    """Whether the servers can go on when we end, and be found again."""

    async def start(self, replica: Replica, spec: ModelSpec, report: Report) -> Endpoint:
        """Return as soon as the server's process runs, which is before it is ready.

        Raises `ModelFailed` when it cannot be made to run. Cancellation removes all traces.
        """

    async def stop(self, replica: Replica, *, grace_seconds: float) -> None:
        """End the replica and remove what is left of it; absent is success.

        Raises `ModelFailed` when the engine does not answer: what runs there runs on.
        Cancelled within the grace, it kills at once rather than leave the server running.
        """

    async def inspect(self, replica: Replica) -> Observation:
        """Report what is there now."""

    async def wait(self, replica: Replica) -> Observation:
        """Return once the replica is not running any more."""

    async def list(self) -> list[Observation]:
        """Report every replica that is ours, those of an earlier run of the gateway included.

        Raises `ModelFailed` when the engine does not answer.
        """

    def logs(self, replica: Replica, *, tail: int, follow: bool) -> AsyncIterator[LogLine]:
        """Give the last `tail` lines, then, if `follow`, each new one until the server ends."""

    def progress(self, replica: Replica, spec: ModelSpec) -> AsyncIterator[Progress]:
        """Give progress of a start that is not in its log, such as bytes that arrive.

        It may go on for ever: the caller stops iterating when the server is ready.
        """

    async def close(self) -> None:
        """Release everything that the runner holds."""
