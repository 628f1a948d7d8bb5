"""One model server's lifecycle: one task acts, everybody else asks and waits.

Rules:

1. Only the control task changes the state (`state.TRANSITIONS`). Others request a start or a stop
   and wait for the outcome; nobody reads the state in order to decide.
2. A bring-up is an attempt with a number. Concurrent starts wait for the same attempt; a stop
   cancels it; its end, whatever it is, releases all waiters.
3. A stop lets answers under way finish first, for a while. A start that is requested meanwhile
   gets the next attempt.
4. A server that crashed after it was ready is started again, at once and then ever later, until
   it is given up. One that did not come up, or that somebody else had its engine stop, waits
   for the next request. A remote one is probed for ever.
"""

import asyncio
import logging
import time
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

from server.core.errors import ModelFailed, SidestreamError
from server.core.protocol import ModelError, ModelState, Progress
from server.dialects.base import EngineInfo, Upstream
from server.models.catalogue.catalog import ModelSpec
from server.models.diagnosis.causes import StoppedBySomebody
from server.models.lifecycle.attempt import Attempt
from server.models.lifecycle.desired_state import DesiredState
from server.models.lifecycle.ending import Ending
from server.models.lifecycle.limits import LimitsOf
from server.models.lifecycle.readiness_probe import Connect
from server.models.lifecycle.ready_server import ModelInfos, ReadyServer
from server.models.lifecycle.restarts import Restarts
from server.models.lifecycle.start_estimates import StartEstimates
from server.models.lifecycle.state import (
    Event,
    Status,
    as_sidestream_error,
    model_error,
    next_state,
)
from server.models.lifecycle.watching import wait_for_cause
from server.models.logbook import LogBook, LogLine
from server.models.metrics import StartCounters
from server.models.runners.base import Replica, Report, Runner

logger = logging.getLogger(__name__)


class DeploymentHost(Protocol):
    """What a deployment needs from the fleet: room to start in, and whether it is in use."""

    async def enter(self, spec: ModelSpec, report: Report) -> None:
        """Return when the server may be started."""

    def leave(self, spec: ModelSpec) -> None:
        """Release the room of a server that is gone."""

    def is_answering(self, spec: ModelSpec) -> bool:
        """Tell whether the server is writing an answer."""

    def changed(self, spec: ModelSpec) -> None:
        """Tell subscribers of a new status."""


class Deployment:
    """Bring one model server up when it is wanted, watch it, and take it down."""

    def __init__(
        self,
        spec: ModelSpec,
        replica: Replica,
        runner: Runner,
        connect: Connect,
        limits: LimitsOf,
        host: DeploymentHost,
    ) -> None:
        self.spec = spec
        self.status = Status()
        self.log = LogBook()
        self.counters = StartCounters()
        self._estimates = StartEstimates()
        self._replica = replica
        self._runner = runner
        self._connect = connect
        self._limits = limits
        self._host = host
        self._ending = Ending(runner, replica, lambda: limits(self.spec).stop_grace)
        self._desired = DesiredState(is_wanted=not runner.is_managed)
        self._is_automatic = False
        self.restarts = Restarts(limit=limits(spec).restarts)
        self._attempt: Attempt | None = None
        self._ready: ReadyServer | None = None
        self._failure: SidestreamError | None = None
        self._serving: asyncio.Task[SidestreamError] | None = None
        self._control = asyncio.create_task(self._run(), name=f"deployment {spec.id}")

    # --- for everybody ----------------------------------------------------------------------

    @property
    def upstream(self) -> Upstream | None:
        """Return how to speak to the server if it is up just now; starts nothing."""
        return None if self._ready is None else self._ready.upstream

    @property
    def infos(self) -> ModelInfos:
        """Return what a server with many models has said of each."""
        return ModelInfos() if self._ready is None else self._ready.infos

    async def wait_until_ready(self) -> Upstream:
        """Return how to speak to the server once it is up by its present settings."""
        while (ready := self._ready) is None or ready.is_outdated_by(self.spec):
            await self._desired.wait()
        return ready.upstream

    @property
    def is_managed(self) -> bool:
        """Tell whether we start and stop this server."""
        return self._runner.is_managed

    def request_start(self) -> None:
        """Ask for the server to be up, without waiting."""
        self._desired.request_start()

    async def ensure_ready(self) -> ReadyServer:
        """Start the server if need be, and return how to speak to it.

        Raises `ModelFailed` when it cannot be started, or is stopped meanwhile. Cancelling
        one waiter leaves the start to the others.
        """
        is_settled = await self._desired.wait_for_outcome(self._desired.request_start())
        if is_settled and self._ready is not None:
            return self._ready
        failure = self._failure if is_settled else None
        raise failure or ModelFailed(f"{self.spec.name} was stopped")

    def request_stop(self) -> None:
        """Ask for the server to be down; a start under way is cancelled."""
        self._desired.request_stop()

    async def stop(self) -> None:
        """Take the server down and return when it is gone."""
        self._desired.request_stop()
        await self._desired.wait_until_ended()

    async def remove(self) -> None:
        """Take the server down, also one of an earlier run; cancelled, it may be wanted again."""
        await self.stop()
        await self._ending.once()

    def change(self, spec: ModelSpec) -> None:
        """Use another description from the next start on, for a remote server at once."""
        is_elsewhere = self.spec.server_settings != spec.server_settings
        self.spec = spec
        self._update(progress=self.status.progress, error=self.status.error)
        if not self.is_managed and is_elsewhere:
            self._desired.request_stop()
            self._desired.request_start()

    def use_changed(self) -> None:
        """Have a drain check whether the server is still writing answers."""
        self._desired.notify_all()

    def check_soon(self) -> None:
        """Have a remote server asked soon whether its model is in memory."""
        if self._attempt is not None:
            self._attempt.watch.check_soon()

    async def cause_of_loss(self, upstream: Upstream) -> SidestreamError | None:
        """Return why the server behind `upstream` went away; None if it is still well."""

        def is_gone() -> bool:
            return self._ready is None or self._ready.upstream is not upstream

        if self._attempt is not None and not self.is_managed:
            self._attempt.watch.check_now()
        await wait_for_cause(upstream, is_gone, self._desired, is_managed=self.is_managed)
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

    def show_problem(self, error: SidestreamError | None) -> None:
        """Show why a server that is stopped could not be started now; None for no reason."""
        if self.status.state == "stopped":
            self._update(error=None if error is None else model_error(error))

    # --- the control task -------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            await self._desired.wait_for(lambda: self._desired.is_wanted)
            pause = await self._attempt_once()
            self._is_automatic = False
            if pause is not None and await self._desired.is_unchanged_for(pause):
                self._is_automatic = True
                self._desired.request_start()

    async def _attempt_once(self) -> float | None:
        """Bring the server up, watch it until it fails or is to stop, take it down.

        Return the seconds after which it is to be started again by itself, None for never.
        """
        desired = self._desired
        stops = desired.stop_requests
        desired.begin_attempt()
        self._ready_at = 0.0
        self._serving = serving = asyncio.create_task(self._serve(), name=f"serving {self.spec.id}")
        serving.add_done_callback(lambda _: desired.notify_all())
        try:
            await desired.wait_for(lambda: serving.done() or desired.stop_requests > stops)
            if not serving.done():
                self._publish("stop")
                await self._drain(serving)
        finally:
            serving.cancel()
            await asyncio.wait([serving])
            self._ready = None
        was_up_seconds = time.monotonic() - self._ready_at if self._ready_at else 0.0
        self._failure = failure = None if serving.cancelled() else serving.result()
        if self._attempt is not None and self._attempt.has_server:
            await self._ending.until_gone(lambda e: self._publish("stop", error=model_error(e)))
            self._attempt.has_server = False
        self._host.leave(self.spec)
        desired.end_attempt()
        if failure is None or isinstance(failure, StoppedBySomebody):
            self.restarts.forget()
            self._publish("gone", error=None if failure is None else model_error(failure))
            return None
        if self.status.error != model_error(failure):
            # A remote server that stays away is looked at for ever, and complained of once.
            logger.warning("%s failed: %s", self.spec.id, failure)
        return self._after_failure(failure, was_up_seconds=was_up_seconds)

    async def _serve(self) -> SidestreamError:
        """Return what ended the server or kept it from starting."""
        self._attempt = attempt = Attempt(
            self.spec,
            self._replica,
            self._runner,
            self._connect,
            self._limits(self.spec),
            self.log,
            estimates=self._estimates,
            counters=self.counters,
            on_progress=lambda event, progress: self._publish(
                event, progress=progress, error=self.status.error
            ),
        )
        if self.is_managed or self.status.state == "stopped":
            self._publish("start", error=self.status.error if self._is_automatic else None)
        try:
            if self.is_managed:
                await self._host.enter(self.spec, attempt.report)
            self._ready = await attempt.bring_up()
            self._failure = None
            self._ready_at = time.monotonic()
            self._publish("ready")
            self._desired.settle_attempt()
            failure: SidestreamError = await attempt.watch.run(self._ready, self._learn)
        except SidestreamError as error:
            failure = error
        except Exception as error:
            logger.exception("the lifecycle of %s broke", self.spec.id)
            failure = as_sidestream_error(error)
        finally:
            await attempt.close()
        self._ready, self._failure = None, failure
        self._desired.close_attempt()
        return failure

    async def _drain(self, serving: asyncio.Task[SidestreamError]) -> None:
        """Let answers under way end, as long as there is a server to write them."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._limits(self.spec).drain):
                await self._desired.wait_for(
                    lambda: serving.done() or not self._host.is_answering(self.spec)
                )

    def _after_failure(self, failure: SidestreamError, *, was_up_seconds: float) -> float | None:
        """Show the failure and decide when the server is tried again."""
        error = model_error(failure)
        pause: float | None = self._limits(self.spec).health_interval
        if self.is_managed:
            error, pause = self.restarts.after_failure(
                error, was_up_seconds=was_up_seconds, is_automatic=self._is_automatic
            )
        self._publish("fail", error=error)
        return pause

    def _learn(self, info: EngineInfo) -> None:
        if self._ready is not None:
            self._ready = replace(self._ready, info=info)
            self._update(error=self.status.error)

    def _publish(
        self, event: Event, *, progress: Progress | None = None, error: ModelError | None = None
    ) -> None:
        """Show the state that follows on an event."""
        state = next_state(self.status.state, event)
        if state == "stopping" and event != "stop":
            return
        if state != self.status.state:
            text = state if error is None else f"{state}: {error.message}"
            self.log.add(LogLine(time.time(), "sidestream", text))
        self._update(state, progress=progress, error=error)

    def _update(
        self,
        state: ModelState | None = None,
        *,
        progress: Progress | None = None,
        error: ModelError | None = None,
    ) -> None:
        """Show a state, by default the present one, with what belongs to it now."""
        info, is_outdated = self.status.info, False
        if self._ready is not None:
            info, is_outdated = self._ready.info, self._ready.is_outdated_by(self.spec)
        status = Status(state or self.status.state, progress, error, info, is_outdated)
        if status != self.status:
            self.status = status
            self._host.changed(self.spec)
