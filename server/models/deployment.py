"""One model server's lifecycle: one task acts, everybody else asks and waits.

    stopped ──want──▶ pulling ▶ starting ▶ loading ──healthy──▶ ready
       ▲                  │ error, deadline, exit                 │ exit, unhealthy
       │                  └──────────────▶ failed ◀───────────────┘
       └──── stopping ◀── stop, from any of them

Rules:

1. Only the control task changes the state. Others say what is wanted and wait for what
   came of it; nobody reads the state in order to decide.
2. A bring-up is an attempt with a number. Concurrent starts wait for the same attempt; a
   stop during one cancels it; its end, whichever it is, releases everybody who waits.
3. A stop lets answers under way end first, for a while. Who asks meanwhile gets the next attempt.
4. A server that crashed after it was ready is started again, at once and then ever later, until
   it is given up. One that did not come up, or that somebody else had its engine stop, waits
   for the next request. One that somebody else runs is watched for ever.
"""

import asyncio
import logging
import time
from contextlib import suppress
from dataclasses import replace

from server.core.errors import ModelFailed, SidestreamError
from server.core.protocol import ModelError, ModelState, Progress
from server.dialects.base import EngineInfo, Upstream
from server.models.approach import Connect
from server.models.attempt import Attempt, Limits
from server.models.catalog import ModelSpec
from server.models.causes import StoppedBySomebody
from server.models.demand import Demand
from server.models.ending import Ending
from server.models.infos import Infos
from server.models.logbook import LogBook
from server.models.loss import until_explained
from server.models.pace import Pace
from server.models.ready import Ready
from server.models.restarts import Restarts
from server.models.runners.base import LogLine, Replica, Runner
from server.models.surroundings import Status, Surroundings, as_ours, shown

logger = logging.getLogger(__name__)


class Deployment:
    """Bring one model server up when it is wanted, watch it, and take it down."""

    def __init__(
        self,
        spec: ModelSpec,
        replica: Replica,
        runner: Runner,
        connect: Connect,
        limits: Limits,
        surroundings: Surroundings,
    ) -> None:
        self.spec = spec
        self.status = Status()
        self.log = LogBook()
        self.pace = Pace()
        self._replica = replica
        self._runner = runner
        self._connect = connect
        self._limits = limits
        self._surroundings = surroundings
        self._ending = Ending(runner, replica, limits.stop_grace)
        self._demand = Demand(is_wanted=not runner.is_managed)
        self._is_automatic = False
        self.restarts = Restarts(limit=limits.restarts)
        self._now: Attempt | None = None
        self._ready: Ready | None = None
        self._failure: SidestreamError | None = None
        self._serving: asyncio.Task[SidestreamError] | None = None
        self._control = asyncio.create_task(self._run(), name=f"deployment {spec.id}")

    # --- for everybody ----------------------------------------------------------------------

    @property
    def upstream(self) -> Upstream | None:
        """Return how to speak to the server if it is up just now; starts nothing."""
        return None if self._ready is None else self._ready.upstream

    @property
    def infos(self) -> Infos:
        """Return what was said of each model that a server with many was asked about."""
        return Infos() if self._ready is None else self._ready.infos

    async def until_well(self) -> Upstream:
        """Return how to speak to the server once it is up where it is now; starts nothing."""
        while (ready := self._ready) is None or ready.is_outdated_by(self.spec):
            await self._demand.until_changed()
        return ready.upstream

    @property
    def is_managed(self) -> bool:
        """Tell whether we start and stop this server."""
        return self._runner.is_managed

    def want(self) -> None:
        """Ask for the server to be up, without waiting."""
        self._demand.want()

    async def ensure_ready(self) -> Ready:
        """Start the server if need be, and return how to speak to it.

        Raises `ModelFailed` when it cannot be started, or is stopped meanwhile. Cancelling
        one waiter leaves the start to the others.
        """
        is_settled = await self._demand.until_settled(self._demand.want())
        if is_settled and self._ready is not None:
            return self._ready
        failure = self._failure if is_settled else None
        raise failure or ModelFailed(f"{self.spec.name} was stopped")

    def unwant(self) -> None:
        """Ask for the server to be down; a start under way is cancelled."""
        self._demand.unwant()

    async def stop(self) -> None:
        """Take the server down and return when it is gone."""
        self._demand.unwant()
        await self._demand.until_gone()

    async def remove(self) -> None:
        """Take the server down, also one of an earlier run; cancelled, it may be wanted again."""
        await self.stop()
        await self._ending.once()

    def change(self, spec: ModelSpec) -> None:
        """Run the server by another description from its next start on, a remote one at once."""
        is_elsewhere = self.spec.server_settings != spec.server_settings
        self.spec = spec
        self._publish(self.status.state, progress=self.status.progress, error=self.status.error)
        if not self.is_managed and is_elsewhere:
            self._demand.unwant()
            self._demand.want()

    def look_again(self) -> None:
        """Take note that the server's use has changed."""
        self._demand.ring()

    def look_soon(self) -> None:
        """Have a server of somebody else's asked soon whether its model is in memory."""
        if self._now is not None:
            self._now.look_soon()

    async def cause_of_loss(self, upstream: Upstream) -> SidestreamError | None:
        """Return why the server behind `upstream` went away; None if it is still well."""

        def is_gone() -> bool:
            return self._ready is None or self._ready.upstream is not upstream

        if self._now is not None and not self.is_managed:
            self._now.doubt()
        await until_explained(upstream, is_gone, self._demand, may_be_told=self.is_managed)
        return self._failure if self._ready is None else None

    async def close(self, *, keeps_server: bool = False) -> None:
        """End the control task and take the server down, unless it can go on and is to be kept."""
        await self.end()
        if not (keeps_server and self._runner.outlives_us):
            await self._ending.once()

    async def end(self) -> None:
        """End the control task, and nothing else."""
        self._control.cancel()
        # Cancelled while it waits for the attempt's end, it leaves that to go on.
        await asyncio.wait([task for task in (self._control, self._serving) if task is not None])

    def doubt(self, error: SidestreamError | None) -> None:
        """Show why a server that does not run could not be started now; None for no reason."""
        if self.status.state == "stopped":
            self._publish("stopped", error=None if error is None else shown(error))

    # --- the control task -------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            await self._demand.until(lambda: self._demand.is_wanted)
            pause = await self._attempt_once()
            self._is_automatic = False
            if pause is not None and await self._demand.is_left_alone_for(pause):
                self._is_automatic = True
                self._demand.want()

    async def _attempt_once(self) -> float | None:
        """Bring the server up, watch it until it fails or is to stop, take it down.

        Return the seconds after which it is to be started again by itself, None for never.
        """
        demand = self._demand
        stops = demand.stops_asked
        demand.begin()
        self._ready_at = 0.0
        self._serving = serving = asyncio.create_task(self._serve(), name=f"serving {self.spec.id}")
        serving.add_done_callback(lambda _: demand.ring())
        try:
            await demand.until(lambda: serving.done() or demand.stops_asked > stops)
            if not serving.done():
                self._publish("stopping")
                await self._drain(serving)
        finally:
            serving.cancel()
            await asyncio.wait([serving])
            self._ready = None
        was_up_seconds = time.monotonic() - self._ready_at if self._ready_at else 0.0
        self._failure = failure = None if serving.cancelled() else serving.result()
        if self._now is not None and self._now.has_server:
            await self._ending.until_gone(lambda e: self._publish("stopping", error=shown(e)))
            self._now.has_server = False
        self._surroundings.leave(self.spec)
        demand.finish()
        if failure is None or isinstance(failure, StoppedBySomebody):
            self.restarts.forget()
            self._publish("stopped", error=None if failure is None else shown(failure))
            return None
        if self.status.error != shown(failure):
            # A remote server that stays away is looked at for ever, and complained of once.
            logger.warning("%s failed: %s", self.spec.id, failure)
        return self._after_failure(failure, was_up_seconds=was_up_seconds)

    async def _serve(self) -> SidestreamError:
        """Return what ended the server or kept it from starting."""
        self._now = attempt = Attempt(
            self.spec,
            self._replica,
            self._runner,
            self._connect,
            self._limits,
            self.log,
            self.pace,
            lambda state, progress: self._publish(
                state, progress=progress, error=self.status.error
            ),
        )
        if self.is_managed or self._demand.attempt == 1:
            self._publish("starting", error=self.status.error if self._is_automatic else None)
        try:
            if self.is_managed:
                await self._surroundings.enter(self.spec, attempt.report)
            self._ready = await attempt.bring_up()
            self._failure = None
            self._ready_at = time.monotonic()
            self._publish("ready")
            self._demand.settle()
            failure: SidestreamError = await attempt.watch(self._ready, self._learn)
        except SidestreamError as error:
            failure = error
        except Exception as error:
            logger.exception("the lifecycle of %s broke", self.spec.id)
            failure = as_ours(error)
        finally:
            await attempt.close()
        self._ready, self._failure = None, failure
        self._demand.withdraw()
        return failure

    async def _drain(self, serving: asyncio.Task[SidestreamError]) -> None:
        """Let answers under way end, as long as there is a server to write them."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._limits.drain):
                await self._demand.until(
                    lambda: serving.done() or not self._surroundings.is_answering(self.spec)
                )

    def _after_failure(self, failure: SidestreamError, *, was_up_seconds: float) -> float | None:
        """Show the failure and decide when the server is tried again."""
        error = shown(failure)
        pause: float | None = self._limits.health_interval
        if self.is_managed:
            error, pause = self.restarts.after_failure(
                error, was_up_seconds=was_up_seconds, is_automatic=self._is_automatic
            )
        self._publish("failed", error=error)
        return pause

    def _learn(self, info: EngineInfo) -> None:
        if self._ready is not None:
            self._ready = replace(self._ready, info=info)
            self._publish("ready", error=self.status.error)

    def _publish(
        self,
        state: ModelState,
        *,
        progress: Progress | None = None,
        error: ModelError | None = None,
    ) -> None:
        if state != self.status.state:
            text = state if error is None else f"{state}: {error.message}"
            self.log.add(LogLine(time.time(), "sidestream", text))
        info, is_outdated = self.status.info, False
        if self._ready is not None:
            info, is_outdated = self._ready.info, self._ready.is_outdated_by(self.spec)
        status = Status(state, progress, error, info, is_outdated)
        if status != self.status:
            self.status = status
            self._surroundings.changed(self.spec)
