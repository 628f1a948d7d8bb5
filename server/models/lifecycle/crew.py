"""The replicas of one model's server, behind the face of one server.

Rules:

1. Each replica is a `Deployment` of its own: it starts, crashes and restarts by itself. A model is
   ready as soon as one of them is.
2. Which replica writes an answer is decided by `ReplicaChoice`.
3. A replica too many is asked for nothing more, ends its answers and is stopped. The highest
   numbers go first: after a restart of the gateway the lower ones are found again.
4. Restarted, replicas go one after the other, and others answer meanwhile. Where there is room, an
   additional one is started first: if that fails, none is touched.
5. A model with a range of replicas has as many as its queue needs (`Scaling`).
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from server.core.errors import ModelFailed, SidestreamError
from server.core.protocol import ModelState
from server.dialects.base import Upstream
from server.models.catalogue.catalog import ModelSpec
from server.models.lifecycle.deployment import Deployment, DeploymentHost
from server.models.lifecycle.limits import LimitsOf
from server.models.lifecycle.ready_server import ModelInfos, ReadyServer
from server.models.lifecycle.replica_choice import ReplicaChoice, capacity_of
from server.models.lifecycle.replica_settings import (
    can_have_several,
    replica_range,
    settings_of_replica,
)
from server.models.lifecycle.scaling import Scaling
from server.models.lifecycle.state import Status
from server.models.logbook import LogBook, LogLine
from server.models.metrics import StartCounters
from server.models.runners.base import Observation, Report

logger = logging.getLogger(__name__)

# While others answer, a replica that failed to start is not tried with every prompt.
_RETRY_SECONDS: Final = 60.0

# A crew without a ready replica shows what comes closest to it.
_NEAREST_TO_READY: Final[tuple[ModelState, ...]] = (
    *("ready", "loading", "pulling", "starting", "failed", "stopping", "stopped"),
)


class CrewHost(Protocol):
    """The part of the fleet that a crew needs: room for its servers, and its use."""

    async def enter(self, spec: ModelSpec, number: int, report: Report) -> None:
        """Wait until there is room for the server of that replica."""

    def leave(self, spec: ModelSpec, number: int) -> None:
        """Release the room of a server that is gone."""

    def is_answering(self, spec: ModelSpec) -> bool:
        """Tell whether any of the model's servers is writing an answer."""

    def answers(self, spec: ModelSpec) -> int:
        """Return how many answers of the model's servers are written or waited for."""

    async def has_room(self, spec: ModelSpec, number: int) -> bool:
        """Tell whether a replica could be started now, with nobody stopped for it."""

    def changed(self, spec: ModelSpec) -> None:
        """Announce a new status."""


Make = Callable[[ModelSpec, int, DeploymentHost, LogBook, StartCounters], Deployment]
"""Make the deployment of a replica: its settings, its number, its host, its log, its counters."""


@dataclass(frozen=True)
class ReplicaStatus:
    """One replica: its number, where it is, its status, and how many answers it is writing."""

    number: int
    address: str
    place: str
    status: Status
    answers: int
    capacity: int | None


class Crew:
    """Hold the deployments of one model's replicas, and choose among them."""

    def __init__(self, spec: ModelSpec, make: Make, limits: LimitsOf, host: CrewHost) -> None:
        self.spec = spec
        self.log = LogBook()
        self.counters = StartCounters()
        self._make = make
        self._host = host
        self._limits = limits
        self._count = replica_range(spec)[0]
        self._scaling = Scaling()
        self._scale_timer: asyncio.TimerHandle | None = None
        self._rollout: asyncio.Task[None] | None = None
        self._extra = 0
        """The number of the additional replica while the others are restarted; 0 for none."""
        self.is_stopped = False
        """Whether it was stopped as a whole, and nobody has asked for it since."""
        self._replicas: dict[int, Deployment] = {}
        self._leaving: dict[int, asyncio.Task[None]] = {}
        self._past_crashes = self._past_restarts = 0
        self.choice = ReplicaChoice(self)
        self._resize()

    def __iter__(self) -> Iterator[Deployment]:
        return iter(sorted(self._replicas.values(), key=lambda one: one.number))

    def __getitem__(self, number: int) -> Deployment:
        return self._replicas[number]

    def get(self, number: int) -> Deployment | None:
        """Return the replica of that number, None if there is none."""
        return self._replicas.get(number)

    # --- what it looks like -----------------------------------------------------------------

    @property
    def status(self) -> Status:
        """Return the status of the replica that is nearest to being ready."""
        nearest = min(self, key=lambda one: _NEAREST_TO_READY.index(one.status.state)).status
        if self.is_single:
            return nearest
        return replace(nearest, is_outdated=any(one.status.is_outdated for one in self))

    @property
    def is_single(self) -> bool:
        """Tell whether there is one replica, and no other is leaving."""
        return len(self._replicas) == 1

    @property
    def statuses(self) -> tuple[ReplicaStatus, ...]:
        """Return the status of each replica; nothing of one that is alone at no named place."""
        if self.is_single and not self._first.place:
            return ()
        return tuple(
            ReplicaStatus(
                one.number,
                one.address,
                one.place,
                one.status,
                self.choice.answers[one.number],
                capacity_of(self.spec, one.ready),
            )
            for one in self
        )

    @property
    def is_managed(self) -> bool:
        """Tell whether we start and stop the servers."""
        return self._first.is_managed

    @property
    def upstream(self) -> Upstream | None:
        """Return the upstream of a server that is ready now, None if none is."""
        return next((one.upstream for one in self if one.upstream is not None), None)

    @property
    def upstreams(self) -> dict[int, Upstream]:
        """Return the upstreams of all servers that are ready now, by number."""
        return {one.number: one.upstream for one in self if one.upstream is not None}

    @property
    def infos(self) -> ModelInfos:
        """Return the descriptions of the models, for a server with many."""
        return self._first.infos

    @property
    def crashes_seen(self) -> int:
        """Return how many ends of its servers nobody asked for, those that left included."""
        return self._past_crashes + sum(one.restarts.crashes_seen for one in self)

    @property
    def restarts_made(self) -> int:
        """Return how many times its servers were restarted after a crash; never falls."""
        return self._past_restarts + sum(one.restarts.restarts_made for one in self)

    def adopt(self, seen: Observation) -> None:
        """Adopt a server of an earlier run; one whose number is too high is drained and stopped."""
        number = seen.replica.number
        if number not in self._replicas:
            logger.info("%s: replica %d is too many and is stopped", self.spec.id, number)
            self._replicas[number] = self._made(number)
        found = self._replicas[number]
        if seen.endpoint is not None:
            found.found_at(seen.endpoint)
        self._count = max(self._count, min(number, replica_range(self.spec)[1]))
        if number <= self._count:
            found.request_start()
        self._resize()

    # --- starting and stopping --------------------------------------------------------------

    def request_start(self) -> None:
        """Request a start of all replicas, without waiting for it."""
        self.is_stopped = False
        for one in self.staying():
            one.request_start()

    async def ensure_ready(self) -> tuple[Deployment, ReadyServer]:
        """Start the servers if necessary, and return one as soon as it is ready.

        Raises `ModelFailed` if none can be started, or all are stopped meanwhile. Cancelling one
        waiter cancels no start.
        """
        self.is_stopped = False
        if self.is_single:
            return self._first, await self._first.ensure_ready()
        for one in self.choice.askable():
            if one.ready is not None:
                self._start_stopped()
                return one, one.ready
        return await self._first_ready(self.staying())

    async def _first_ready(self, several: list[Deployment]) -> tuple[Deployment, ReadyServer]:
        waits = {asyncio.create_task(self._ready(one)): one for one in several}
        failures: dict[int, BaseException] = {}
        pending = set(waits)
        try:
            while pending:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                errors = {task: task.exception() for task in done}
                for task, error in errors.items():
                    if error is None:
                        return waits[task], task.result()
                    failures[waits[task].number] = error
        finally:
            for task in pending:
                task.cancel()
        raise failures[min(failures)]

    async def _ready(self, one: Deployment) -> ReadyServer:
        # Its task begins a moment later than it was asked for.
        if self.is_stopped or one not in self.staying():
            raise ModelFailed(f"{self.spec.name} was stopped")
        return await one.ensure_ready()

    def _start_stopped(self) -> None:
        """Start what was stopped, and what failed a while ago beside its own restarts."""
        late = time.monotonic() - _RETRY_SECONDS
        for one in self.staying():
            state = one.status.state
            if state == "stopped" or (state == "failed" and one.failed_at < late):
                one.request_start()

    def start_failed(self) -> None:
        """Request a start of the replicas that failed, unless all were stopped since."""
        for one in self.staying():
            if one.status.state == "failed" and not self.is_stopped:
                one.request_start()

    def request_stop(self) -> None:
        """Request a stop of all replicas, without waiting for it; ends a restart under way."""
        self.is_stopped = True
        if self._rollout is not None:
            self._rollout.cancel()
        for one in self:
            one.request_stop()

    def restart(self) -> None:
        """Restart the replicas one after the other, without waiting for it.

        What does not run stays as it is, and a restart under way goes on.
        """
        if self._rollout is None or self._rollout.done() or self._rollout.cancelling():
            name = f"restarting {self.spec.id}"
            self._rollout = asyncio.create_task(self._restart_each(), name=name)

    async def wait_until_restarted(self) -> None:
        """Wait until no restart is under way."""
        if self._rollout is not None:
            await asyncio.wait([self._rollout])

    async def _restart_each(self) -> None:
        idle = ("stopped", "failed", "stopping")
        running = [one for one in self.staying() if one.status.state not in idle]
        numbers = [one.number for one in running]
        try:
            if numbers and can_have_several(self.spec):
                await self._start_extra()
            for number in numbers:
                await self._restart_one(number)
        except SidestreamError as error:
            # Shown at the replica; the others go on with the settings that they have.
            logger.warning("%s: the restart ends: %s", self.spec.id, error)
            text = f"the restart ends: {error}"
            self.log.add(LogLine(time.time(), "sidestream", text))
        finally:
            self._extra = 0
            self._resize()

    async def _restart_one(self, number: int) -> None:
        """Restart a replica, unless it leaves: that one is not started again."""
        one = self._replicas.get(number)
        try:
            if one in self.staying():
                await one.stop()
            if one in self.staying():
                await one.ensure_ready()
        except SidestreamError:
            if one in self.staying():
                raise

    async def _start_extra(self) -> None:
        number = self._count + 1
        if await self._host.has_room(self.spec, number):
            self._extra = number
            self._resize()
            await self._replicas[number].ensure_ready()

    async def remove(self) -> None:
        """Stop all servers, also those of an earlier run; may be cancelled if wanted again."""
        self.request_stop()
        await asyncio.gather(*(one.remove() for one in self))

    async def wait_until_ready(self) -> Upstream:
        """Wait until a server with many models is up, and return its upstream."""
        return await self._first.wait_until_ready()

    def change(self, spec: ModelSpec) -> None:
        """Use another spec: remote servers at once, others from their next start on."""
        self.spec = spec
        for one in self:
            one.change(self._spec_of(one.number))
        self._scale()
        self._resize()
        # `max_concurrent` holds for what waits already.
        self.replica_changed()

    def use_changed(self) -> None:
        """Recheck how many replicas are needed, and whether leaving ones still write answers."""
        for one in self:
            one.use_changed()
        if self._scale():
            self._resize()

    def check_soon(self) -> None:
        """Ask remote servers soon whether the model is in memory."""
        for one in self:
            one.check_soon()

    async def close(self, *, keeps_servers: bool = False) -> None:
        """End every lifecycle and stop the servers, unless `keeps_servers` and they outlive us."""
        await self._end_tasks()
        await asyncio.gather(*(one.close(keeps_server=keeps_servers) for one in self))

    async def end(self) -> None:
        """End the control tasks and leave the servers as they are."""
        await self._end_tasks()
        await asyncio.gather(*(one.end() for one in self))

    def show_problem(self, error: SidestreamError | None) -> None:
        """Show an error on stopped servers that could not be started now; None shows none."""
        for one in self:
            one.show_problem(error)

    # --- inside -----------------------------------------------------------------------------

    @property
    def _first(self) -> Deployment:
        return next(iter(self))

    def staying(self) -> list[Deployment]:
        """Return the replicas that are not leaving."""
        return [one for one in self if one.number not in self._leaving]

    async def _end_tasks(self) -> None:
        if self._scale_timer is not None:
            self._scale_timer.cancel()
        # A restart that ends lets its additional replica leave.
        await _cancelled([self._rollout] if self._rollout is not None else [])
        await _cancelled([*self._leaving.values(), *self.choice.checks()])

    def _resize(self) -> None:
        """Make the replicas that are missing, and have those too many leave."""
        wanted = sorted({*range(1, self._count + 1), self._extra or 1})
        runs = not self.is_stopped and any(
            one.status.state not in ("stopped", "failed") for one in self
        )
        for number in wanted:
            if number in self._leaving:
                self._leaving.pop(number).cancel()
            elif number not in self._replicas:
                self._replicas[number] = self._made(number)
            else:
                continue
            if runs:
                self._replicas[number].request_start()
        for number in [*self._replicas]:
            if number not in wanted and number not in self._leaving:
                task = asyncio.create_task(self._retire(number), name=f"retiring {self.spec.id}")
                self._leaving[number] = task

    def _scale(self) -> bool:
        """Set the number of replicas that are needed; tell whether it has changed."""
        if self._scale_timer is not None:
            self._scale_timer.cancel()
            self._scale_timer = None
        least, most = replica_range(self.spec)
        if least == most == self._count:
            return False
        # What is still written and waits after a stop needs no more replicas.
        ready = [] if self.is_stopped else self.choice.askable()
        limits, loop = self._limits(self.spec), asyncio.get_running_loop()
        decided = self._scaling.decide(
            count=self._count,
            least=least,
            most=most,
            answers=self._host.answers(self.spec),
            capacity=capacity_of(self.spec, ready[0].ready) if ready else None,
            grow_after=limits.grow,
            shrink_after=limits.shrink,
            now=loop.time(),
        )
        if decided.seconds is not None:
            self._scale_timer = loop.call_later(decided.seconds, self.use_changed)
        if decided.count == self._count:
            return False
        logger.info("%s: %d replicas, not %d", self.spec.id, decided.count, self._count)
        self._count = decided.count
        return True

    def _made(self, number: int) -> Deployment:
        log = LogBook(on_line=lambda line: self.log.add(self._numbered(number, line)))
        return self._make(
            self._spec_of(number), number, _ReplicaHost(self, number), log, self.counters
        )

    async def _retire(self, number: int) -> None:
        leaving = self._replicas[number]
        await leaving.remove()
        # From here on, a replica of that number is a new one.
        del self._replicas[number], self._leaving[number]
        self._past_crashes += leaving.restarts.crashes_seen
        self._past_restarts += leaving.restarts.restarts_made
        await leaving.end()
        self.replica_changed()

    def _spec_of(self, number: int) -> ModelSpec:
        own = settings_of_replica(self.spec.settings, number)
        return self.spec if own is self.spec.settings else replace(self.spec, settings=own)

    def _numbered(self, number: int, line: LogLine) -> LogLine:
        return line if self.is_single else replace(line, text=f"[{number}] {line.text}")

    # --- for the hosts of the replicas ------------------------------------------------------

    async def enter(self, number: int, report: Report) -> None:
        """Wait until there is room for a replica; an additional one does not wait.

        Raises `ModelFailed` if there can be no room.
        """
        if number == self._extra and not await self._host.has_room(self.spec, number):
            raise ModelFailed("the room for an additional server was taken")
        await self._host.enter(self.spec, number, report)

    def leave(self, number: int) -> None:
        """Release the room of a replica."""
        self._host.leave(self.spec, number)

    def is_answering(self, number: int) -> bool:
        """Tell whether a replica is writing an answer."""
        if self.is_single:
            return self._host.is_answering(self.spec)
        return self.choice.answers[number] > 0

    def replica_changed(self) -> None:
        """Announce that the status of a replica has changed."""
        self._host.changed(self.spec)


class _ReplicaHost:
    """What one replica needs of its crew (`DeploymentHost`)."""

    def __init__(self, crew: Crew, number: int) -> None:
        self._crew = crew
        self._number = number

    async def enter(self, spec: ModelSpec, report: Report) -> None:
        await self._crew.enter(self._number, report)

    def leave(self, spec: ModelSpec) -> None:
        self._crew.leave(self._number)

    def is_answering(self, spec: ModelSpec) -> bool:
        return self._crew.is_answering(self._number)

    def changed(self, spec: ModelSpec) -> None:
        self._crew.replica_changed()


async def _cancelled(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
