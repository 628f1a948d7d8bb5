"""Follow runs, over any number of connections.

The server follows what the last `follow_runs` says, so that one command names what all readers
want together. It is sent when a reader comes or goes, and when a session is lost; a resumed session
follows the same by itself. Of each run a reader gets the latest state, once.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, Self

from server.client.messages import SidestreamError, WireValue

RunState = Literal["running", "paused", "done", "incomplete", "cancelled", "removed"]
UNKNOWN_RUN: Final = "unknown_run"
FollowRuns = Callable[[dict[str, Any]], asyncio.Future[dict[str, Any]]]
"""Send the command `follow_runs` with these fields."""


@dataclass(frozen=True)
class RunTarget(WireValue):
    """A target of a run and how far it is; `failed` answers are among the `answered` ones.

    `passed` and `checked` count the answers whose checks all passed, and those that had any.
    """

    model: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    system: str | None = None
    name: str = ""
    state: Literal["waiting", "asking", "done", "failed"] = "waiting"
    answered: int = 0
    failed: int = 0
    passed: int = 0
    checked: int = 0
    error: SidestreamError | None = None

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Self:
        """Read a target with its error."""
        return super().from_wire({**wire, "error": _error(wire)})


@dataclass(frozen=True)
class RunJudge(WireValue):
    """A judge of a run and how far it is.

    `total` is how many judgements the answers that are complete now call for.
    """

    id: str
    model: str = ""
    mode: Literal["grades", "pairs"] = "grades"
    state: RunState = "running"
    judged: int = 0
    total: int = 0


@dataclass(frozen=True)
class Run(WireValue):
    """A run and how far it is; `state` is `removed` once it was deleted.

    `judges` are in the order in which they began, `votes` counts those of all voters.
    """

    id: str
    name: str = ""
    prompt_set: str = ""
    set_name: str = ""
    version: str = ""
    prompts: int = 0
    repeats: int = 1
    state: RunState = "running"
    created: float = 0.0
    updated: float = 0.0
    answered: int = 0
    total: int = 0
    targets: Sequence[RunTarget] = ()
    error: SidestreamError | None = None
    judges: Sequence[RunJudge] = ()
    votes: int = 0

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Self:
        """Read a run with its targets, its judges and its error."""
        targets = tuple(map(RunTarget.from_wire, wire.get("targets", ())))
        judges = tuple(map(RunJudge.from_wire, wire.get("judges", ())))
        return super().from_wire(
            {**wire, "targets": targets, "judges": judges, "error": _error(wire)}
        )


class RunReading:
    """What one reader gets of the runs that it follows; all runs without `run_ids`."""

    def __init__(self, run_ids: Sequence[str]) -> None:
        self.run_ids: set[str] | None = set(run_ids) or None
        self.has_begun = False
        self._waiting: dict[str, Run] = {}
        self._latest: dict[str, Run] = {}
        self._error: SidestreamError | None = None
        self._changed = asyncio.Event()

    async def next_run(self) -> Run | None:
        """Return the next run that has changed, None once all are deleted.

        Raises `SidestreamError`.
        """
        while not self._waiting:
            if self._error is not None:
                raise self._error
            if self.run_ids == set():
                return None
            self._changed.clear()
            await self._changed.wait()
        return self._waiting.pop(next(iter(self._waiting)))

    def has_seen(self, run_id: str) -> bool:
        """Tell whether it has had a state of this run."""
        return run_id in self._latest

    def wants(self, run_id: str) -> bool:
        """Tell whether it follows this run."""
        return self.run_ids is None or run_id in self.run_ids

    def receive(self, run: Run) -> None:
        """Take the state of a run."""
        if self.wants(run.id) and run != self._latest.get(run.id):
            self._waiting[run.id] = self._latest[run.id] = run
            self._changed.set()

    def remove(self, run_id: str) -> None:
        """Note that a run was deleted."""
        if not self.wants(run_id):
            return
        known = self._latest.pop(run_id, Run(run_id))
        self._waiting[run_id] = replace(known, state="removed")
        if self.run_ids is not None:
            self.run_ids.discard(run_id)
        self._changed.set()

    def fail(self, error: SidestreamError) -> None:
        """End the reading with an error."""
        self._error = error
        self._changed.set()


class RunReadings:
    """The readers of one client, and what the server follows for them."""

    def __init__(self, follow_runs: FollowRuns) -> None:
        self._follow_runs = follow_runs
        self._readings: set[RunReading] = set()

    def add(self, reading: RunReading) -> None:
        """Have the server follow what a new reader wants, too; raises `SidestreamError`."""
        self._readings.add(reading)
        try:
            self._send()
        except SidestreamError:
            self._readings.discard(reading)
            raise

    def discard(self, reading: RunReading) -> None:
        """Have the server follow what the other readers want."""
        if reading in self._readings:
            self._readings.discard(reading)
            self._send()

    # --- for the session --------------------------------------------------------------------

    def receive(self, wire: Mapping[str, Any]) -> None:
        """Take a `run` event."""
        run = Run.from_wire(wire)
        for reading in self._readings:
            reading.receive(run)

    def remove(self, run_id: str) -> None:
        """Take a `run_removed` event."""
        for reading in self._readings:
            reading.remove(run_id)
        if self._drop_ended():
            self._send()

    def begin_again(self) -> None:
        """Follow in a new session, which follows nothing yet."""
        begun = [reading for reading in self._readings if reading.has_begun]
        for reading in begun:
            reading.has_begun = False
        if begun:  # the command of those that have not is sent again by itself
            self._send()

    def fail(self, error: SidestreamError) -> None:
        """End all readings."""
        for reading in self._readings:
            reading.fail(error)
        self._readings.clear()

    # --- inside -----------------------------------------------------------------------------

    def _send(self) -> None:
        wanted = [reading.run_ids for reading in self._readings]
        named = [ids for ids in wanted if ids is not None]
        fields = {"runs": sorted(set().union(*named))} if len(named) == len(wanted) else {}
        asking = set(self._readings)
        self._follow_runs(fields).add_done_callback(lambda answer: self._note(answer, asking))

    def _note(self, answer: asyncio.Future[dict[str, Any]], asking: set[RunReading]) -> None:
        error = None if answer.cancelled() else answer.exception()
        if not isinstance(error, SidestreamError):
            for reading in asking:
                reading.has_begun = True
        elif error.code == UNKNOWN_RUN:
            self._refuse(set((error.details or {}).get("runs", ())), error)
        else:
            # What the server followed before, it still follows.
            for reading in [one for one in asking & self._readings if not one.has_begun]:
                self._readings.discard(reading)
                reading.fail(error)

    def _refuse(self, unknown: set[str], error: SidestreamError) -> None:
        """End what was told of runs that are gone, fail the readers that never saw them."""
        refused = [
            (reading, gone)
            for reading in self._readings
            if reading.run_ids and (gone := reading.run_ids & unknown)
        ]
        for reading, gone in refused:
            if all(map(reading.has_seen, gone)):
                for run_id in gone:
                    reading.remove(run_id)
            else:
                self._readings.discard(reading)
                reading.fail(error)
        if self._drop_ended() or (refused and self._readings):
            self._send()

    def _drop_ended(self) -> bool:
        ended = {reading for reading in self._readings if reading.run_ids == set()}
        self._readings -= ended
        return bool(ended)


def _error(wire: Mapping[str, Any]) -> SidestreamError | None:
    error = wire.get("error")
    return None if error is None else SidestreamError.from_wire(error)
