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
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from server.core.errors import ModelFailed, SidestreamError
from server.core.protocol import ModelState
from server.dialects.base import Upstream
from server.models.catalogue.catalog import ModelSpec
from server.models.lifecycle.crew_host import CrewHost, Make, ReplicaHost, ReplicaStatus
from server.models.lifecycle.deployment import Deployment
from server.models.lifecycle.first_ready import first_ready
from server.models.lifecycle.limits import LimitsOf
from server.models.lifecycle.ready_server import ModelInfos, ReadyServer
from server.models.lifecycle.replica_choice import ReplicaChoice, capacity_of
from server.models.lifecycle.replica_count import ReplicaCount
from server.models.lifecycle.replica_settings import settings_of_replica
from server.models.lifecycle.rollout import Rollout
from server.models.lifecycle.roster import Roster
from server.models.lifecycle.state import Status
from server.models.logbook import LogBook, LogLine
from server.models.metrics import StartCounters
from server.models.runners.base import Observation

logger = logging.getLogger(__name__)

# While others answer, a replica that failed to start is not tried with every prompt.
_RETRY_SECONDS: Final = 60.0

# A crew without a ready replica shows what comes closest to it.
_NEAREST_TO_READY: Final[tuple[ModelState, ...]] = (
    *("ready", "loading", "pulling", "starting", "failed", "stopping", "stopped"),
)


class Crew:
    """Hold the deployments of one model's replicas, and choose among them."""

    def __init__(self, spec: ModelSpec, make: Make, limits: LimitsOf, host: CrewHost) -> None:
        self.spec = spec
        self.log = LogBook()
        self.counters = StartCounters()
        self._make = make
        self.host = host
        self._count = ReplicaCount(spec, limits, self._demand, self.use_changed)
        self._rollout = Rollout(self)
        self.is_stopped = False
        """Whether it was stopped as a whole, and nobody has asked for it since."""
        self._replicas = Roster(self._made, self.replica_changed)
        self.choice = ReplicaChoice(self)
        self.resize()

    @property
    def count(self) -> int:
        """Return how many replicas there are to be, but for the additional one of a restart."""
        return self._count.now

    def __iter__(self) -> Iterator[Deployment]:
        return iter(self._replicas)

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
        if self.is_single and not self._replicas.first.place:
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
        return self._replicas.first.is_managed

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
        return self._replicas.first.infos

    @property
    def crashes_seen(self) -> int:
        """Return how many ends of its servers nobody asked for, those that left included."""
        return self._replicas.crashes_seen

    @property
    def restarts_made(self) -> int:
        """Return how many times its servers were restarted after a crash; never falls."""
        return self._replicas.restarts_made

    def adopt(self, seen: Observation) -> None:
        """Adopt a server of an earlier run; one whose number is too high is drained and stopped."""
        number = seen.replica.number
        if self.get(number) is None:
            logger.info("%s: replica %d is too many and is stopped", self.spec.id, number)
        found = self._replicas.found(number)
        if seen.endpoint is not None:
            found.found_at(seen.endpoint)
        self._count.include(self.spec, number)
        if number <= self.count:
            found.request_start()
        self.resize()

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
            return self._replicas.first, await self._replicas.first.ensure_ready()
        for one in self.choice.askable():
            if one.ready is not None:
                self._start_stopped()
                return one, one.ready
        return await first_ready(self.staying(), self._ready)

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
        self._rollout.cancel()
        for one in self:
            one.request_stop()

    def restart(self) -> None:
        """Restart the replicas one after the other, without waiting for it.

        What does not run stays as it is, and a restart under way goes on.
        """
        self._rollout.begin()

    async def wait_until_restarted(self) -> None:
        """Wait until no restart is under way."""
        await self._rollout.wait()

    async def remove(self) -> None:
        """Stop all servers, also those of an earlier run; may be cancelled if wanted again."""
        self.request_stop()
        await asyncio.gather(*(one.remove() for one in self))

    async def wait_until_ready(self) -> Upstream:
        """Wait until a server with many models is up, and return its upstream."""
        return await self._replicas.first.wait_until_ready()

    def change(self, spec: ModelSpec) -> None:
        """Use another spec: remote servers at once, others from their next start on."""
        self.spec = spec
        for one in self:
            one.change(self._spec_of(one.number))
        self._count.decide(self.spec)
        self.resize()
        # `max_concurrent` holds for what waits already.
        self.replica_changed()

    def use_changed(self) -> None:
        """Recheck how many replicas are needed, and whether leaving ones still write answers."""
        for one in self:
            one.use_changed()
        if self._count.decide(self.spec):
            self.resize()

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

    def staying(self) -> list[Deployment]:
        """Return the replicas that are not leaving."""
        return self._replicas.staying()

    async def _end_tasks(self) -> None:
        self._count.close()
        # A restart that ends lets its additional replica leave.
        await self._rollout.end()
        await _cancelled([*self._replicas.retirements, *self.choice.checks()])

    def resize(self) -> None:
        """Make the replicas that are missing, and have those too many leave."""
        runs = any(one.status.state not in ("stopped", "failed") for one in self)
        wanted = {*range(1, self.count + 1), self._rollout.extra or 1}
        self._replicas.resize(wanted, starts=runs and not self.is_stopped)

    def _demand(self) -> tuple[int, int | None]:
        # What is still written and waits after a stop needs no more replicas.
        ready = [] if self.is_stopped else self.choice.askable()
        capacity = capacity_of(self.spec, ready[0].ready) if ready else None
        return self.host.answers(self.spec), capacity

    def _made(self, number: int) -> Deployment:
        log = LogBook(on_line=lambda line: self.log.add(self._numbered(number, line)))
        return self._make(
            self._spec_of(number), number, ReplicaHost(self, number), log, self.counters
        )

    def _spec_of(self, number: int) -> ModelSpec:
        own = settings_of_replica(self.spec.settings, number)
        return self.spec if own is self.spec.settings else replace(self.spec, settings=own)

    def _numbered(self, number: int, line: LogLine) -> LogLine:
        return line if self.is_single else replace(line, text=f"[{number}] {line.text}")

    # --- for the hosts of the replicas ------------------------------------------------------

    def is_extra(self, number: int) -> bool:
        """Tell whether a replica is the additional one of a restart."""
        return number == self._rollout.extra

    def replica_changed(self) -> None:
        """Announce that the status of a replica has changed."""
        self.host.changed(self.spec)


async def _cancelled(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
