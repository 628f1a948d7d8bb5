"""The interface between a model's lifecycle and the place where its server runs.

A runner holds no lifecycle state: it acts when it is called, and reports what it observes.

    verb      absent              running             exited
    start     starts it           same endpoint       starts it again
    stop      success             ends it             removes what is left
    inspect   MISSING             RUNNING             EXITED with code and tail
    wait      MISSING at once     until it ends       EXITED at once
    logs      ends at once        history, then live  history

Every verb may be called at any time and may be cancelled; a cancelled `start` leaves
nothing behind. A runner whose engine does not answer reports UNKNOWN, never MISSING:
a running server must not be forgotten because it cannot be observed now. UNKNOWN with a cause
also means that the machine is away: `wait` returns that once the server itself does not answer,
and `stop` succeeds, since it ends when the machine is back.
"""

import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, Final, Protocol

from server.core.errors import ModelFailed, SidestreamError
from server.core.protocol import Progress
from server.dialects.base import Endpoint
from server.engines.cause import Cause
from server.models.catalogue.catalog import ModelSpec
from server.models.logbook import LogLine

# The last log lines of an exited server: vLLM logs its wrapping errors a hundred lines below the
# cause, and rich's boxes have three hundred lines.
TAIL_LINES: Final = 500

Report = Callable[[Progress], None]


@dataclass(frozen=True)
class Replica:
    """The name of one running server of a model in one gateway instance; numbers begin at 1."""

    instance: str
    model: str
    number: int = 1


class Condition(Enum):
    """What a runner observes of a replica."""

    RUNNING = "running"
    EXITED = "exited"
    MISSING = "missing"
    UNKNOWN = "unknown"


# Signals that ask a server to end. SIGKILL is not among them: it may be a simulated crash.
_ASKING: Final = frozenset({signal.SIGINT, signal.SIGQUIT, signal.SIGTERM})
# Shells and containers report the end by a signal as this number plus the signal's.
_SIGNAL_BASE: Final = 128


@dataclass(frozen=True)
class Observation:
    """What a runner observes; for EXITED the exit code (negative: the signal) and the last lines.

    `sent_signals` are the known signals that the engine was asked to send to the server.
    `left_behind` is the number of processes that outlived their program and were killed;
    `ports_elsewhere` are the ports of a running server that does not listen at its endpoint.
    `cause` is why, where the place knows more than the log: of the end, or of UNKNOWN and MISSING.
    `is_outdated` is whether a running server was started with other settings than the current
    ones, `image` is the digest of a container's image.
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
    cause: Cause | None = None

    @property
    def ended_by(self) -> int | None:
        """Return the number of the signal that ended it, None for none."""
        if self.exit_code is None or 0 <= self.exit_code <= _SIGNAL_BASE:
            return None
        return -self.exit_code if self.exit_code < 0 else self.exit_code - _SIGNAL_BASE

    @property
    def was_told_to_stop(self) -> bool:
        """Tell whether the engine was asked to stop it, so that its end is not a crash."""
        return self.condition is Condition.EXITED and not self.sent_signals.isdisjoint(_ASKING)


class PlaceLost(ModelFailed):
    """The place of a server went away, during its start or later; it can be started at another."""


class Runner(Protocol):
    """Start, stop and watch model servers in one kind of place."""

    is_managed: ClassVar[bool]
    """Whether the runner starts and stops the servers, or only finds them."""

    outlives_us: ClassVar[bool]
    """Whether the servers can outlive the gateway, and be found again."""

    @property
    def lockout(self) -> SidestreamError | None:
        """Return why this gateway may not start and stop servers there, None if it may."""

    @property
    def loss_seconds(self) -> float:
        """Return how long the place takes to notice that a server's machine is away.

        0 where the end of every server is known at once.
        """

    async def start(self, replica: Replica, spec: ModelSpec, report: Report) -> Endpoint:
        """Start the server and return as soon as its process runs, before it is ready.

        Raises `ModelFailed` if it cannot be started, `PlaceLost` if that is due to a place that
        went away. If cancelled, nothing of it is left.
        """

    async def stop(self, replica: Replica, *, grace_seconds: float) -> None:
        """Stop the replica and remove all of it; does nothing if it does not exist.

        Raises `ModelFailed` if the engine does not answer; the server then runs on. If cancelled
        within `grace_seconds`, it kills the server at once. `grace_seconds` is a wish where the
        place fixes the time at the start; the server then ends within that.
        """

    async def inspect(self, replica: Replica) -> Observation:
        """Report the replica's current condition."""

    async def wait(self, replica: Replica) -> Observation:
        """Wait until the replica does not run any more, and report its condition."""

    async def list(self) -> list[Observation]:
        """Report every replica of this gateway instance, those of earlier runs included.

        Raises `ModelFailed` if the engine does not answer.
        """

    def logs(self, replica: Replica, *, tail: int, follow: bool) -> AsyncIterator[LogLine]:
        """Yield the last `tail` lines, then, if `follow`, each new line until the server ends."""

    def progress(self, replica: Replica, spec: ModelSpec) -> AsyncIterator[Progress]:
        """Yield progress of a start that is not in its log, such as downloaded bytes.

        It may go on for ever: the caller stops iterating when the server is ready.
        """

    async def close(self) -> None:
        """Release all resources of the runner."""
