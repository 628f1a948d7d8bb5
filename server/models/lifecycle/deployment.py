"""One model server's lifecycle: one task acts, all others request and wait.

Rules:

1. Only the control task changes the state (`state.TRANSITIONS`). Others request a start or a stop
   and wait for the outcome; nobody reads the state in order to decide.
2. Each start is an attempt with a number. Concurrent requests to start wait for the same attempt; a
   stop cancels it; its end, whatever it is, releases all waiters.
3. A stop first waits for running answers, up to a timeout. A start that is requested meanwhile gets
   the next attempt.
4. A server that crashed after it was ready, or whose machine was lost, is restarted, at once and
   then with growing pauses, until it is given up. A server that failed to start for another reason,
   or that somebody else stopped through the container engine, waits for the next request. A remote
   server is probed for ever.
"""

import asyncio
import logging
import time
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

from server.core.errors import ModelFailed, SidestreamError
from server.core.protocol import ModelError, ModelState, Progress
from server.dialects.base import Endpoint, EngineInfo, Upstream
from server.models.catalogue.catalog import ModelSpec
from server.models.diagnosis.causes import StoppedBySomebody
from server.models.lifecycle.attempt import Attempt
from server.models.lifecycle.desired_state import DesiredState
from server.models.lifecycle.ending import Ending
from server.models.lifecycle.limits import LimitsOf
from server.models.lifecycle.readiness_probe import Connect
from server.models.lifecycle.ready_server import ModelInfos, ReadyServer
from server.models.lifecycle.restarts import STARTS_ELSEWHERE, Restarts
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
from server.models.runners.base import PlaceLost, Replica, Report, Runner

logger = logging.getLogger(__name__)


class DeploymentHost(Protocol):
    """The part of the fleet that a deployment needs: room for its server, and its use."""

    async def enter(self, spec: ModelSpec, report: Report) -> None:
        """Wait until there is room for the server."""

    def leave(self, spec: ModelSpec) -> None:
        """Release the room of a server that is gone."""

    def is_answering(self, spec: ModelSpec) -> bool:
        """Tell whether the server is writing an answer."""

    def changed(self, spec: ModelSpec) -> None:
        """Announce a new status."""


class Deployment:
    """Start one model server when it is wanted, watch it, and stop it."""

    def __init__(
        self,
        spec: ModelSpec,
        replica: Replica,
        runner: Runner,
        connect: Connect,
        limits: LimitsOf,
        host: DeploymentHost,
        *,
        log: LogBook,
        counters: StartCounters,
    ) -> None:
        self.spec = spec
        self.status = Status()
        self.log = log
        self.address = ""
        """Where the server was last found or started; empty before that."""
        self.failed_at = 0.0
        """When it last failed, by the monotonic clock."""
        self.place = ""
        """The name of its machine, where it has one."""
        self._counters = counters
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
        self._lost_upstream: Upstream | None = None
        self._loss: SidestreamError | None = None
        self._serving: asyncio.Task[SidestreamError] | None = None
        self._control = asyncio.create_task(self._run(), name=f"deployment {spec.id}")

    # --- for other tasks --------------------------------------------------------------------

    @property
    def number(self) -> int:
        """Return its number among the replicas of its model, from 1."""
        return self._replica.number

    @property
    def ready(self) -> ReadyServer | None:
        """Return the server if it is ready now; starts nothing."""
        return self._ready

    @property
    def upstream(self) -> Upstream | None:
        """Return the server's upstream if it is ready now; starts nothing."""
        return None if self._ready is None else self._ready.upstream

    @property
    def infos(self) -> ModelInfos:
        """Return the server's descriptions of its models, for a server with many."""
        return ModelInfos() if self._ready is None else self._ready.infos

    async def wait_until_ready(self) -> Upstream:
        """Wait until the server is up with its current settings, and return its upstream."""
        while (ready := self._ready) is None or ready.is_outdated_by(self.spec):
            await self._desired.wait()
        return ready.upstream

    @property
    def is_managed(self) -> bool:
        """Tell whether we start and stop this server."""
        return self._runner.is_managed

    def request_start(self) -> None:
        """Request a start, without waiting for it."""
        self._desired.request_start()

    async def ensure_ready(self) -> ReadyServer:
        """Start the server if necessary, and return it when it is ready.

        Raises `ModelFailed` if it cannot be started, or is stopped meanwhile. Cancelling one waiter
        does not cancel the start. If its machine is lost meanwhile, it is started on another one.
        """
        stops, starts_left = self._desired.stop_requests, STARTS_ELSEWHERE
        while True:
            is_settled = await self._desired.wait_for_outcome(self._desired.request_start())
            if is_settled and self._ready is not None:
                return self._ready
            failure = self._failure if is_settled else None
            was_stopped = self._desired.stop_requests > stops
            if was_stopped or not starts_left or not isinstance(failure, PlaceLost):
                raise failure or ModelFailed(f"{self.spec.name} was stopped")
            starts_left -= 1

    def request_stop(self) -> None:
        """Request a stop, without waiting for it; a start under way is cancelled."""
        self._desired.request_stop()

    async def stop(self) -> None:
        """Stop the server and return when it is gone."""
        self._desired.request_stop()
        await self._desired.wait_until_ended()

    async def remove(self) -> None:
        """Stop the server, also one of an earlier run; may be cancelled if it is wanted again."""
        await self.stop()
        await self._ending.once()
        # One of an earlier run has its place without ever having been started.
        self._host.leave(self.spec)

    def change(self, spec: ModelSpec) -> None:
        """Use another spec from the next start on; for a remote server at once."""
        is_elsewhere = self.spec.server_settings != spec.server_settings
        self.spec = spec
        self._update(progress=self.status.progress, error=self.status.error)
        if not self.is_managed and is_elsewhere:
            self._desired.request_stop()
            self._desired.request_start()

    def use_changed(self) -> None:
        """Recheck whether a server that is being drained still writes answers."""
        self._desired.notify_all()

    def check_soon(self) -> None:
        """Ask a remote server soon whether its model is in memory."""
        if self._attempt is not None:
            self._attempt.watch.check_soon()

    async def cause_of_loss(self, upstream: Upstream) -> SidestreamError | None:
        """Return why the server behind `upstream` was lost; None if it is healthy."""

        def is_gone() -> bool:
            return self._ready is None or self._ready.upstream is not upstream

        if self._attempt is not None and not self.is_managed:
            self._attempt.watch.check_now()
        await wait_for_cause(
            upstream,
            is_gone,
            self._desired,
            is_managed=self.is_managed,
            loss_seconds=self._runner.loss_seconds,
        )
        if upstream is self._lost_upstream:
            # Its successor may be ready already.
            return self._loss
        return self._failure if self._ready is None else None

    async def close(self, *, keeps_server: bool = False) -> None:
        """End the control task and stop the server, unless `keeps_server` and it outlives us."""
        await self.end()
        if not (keeps_server and self._runner.outlives_us):
            await self._ending.once()

    async def end(self) -> None:
        """End the control task and leave the server as it is."""
        self._control.cancel()
        # If the control task is cancelled while it waits for the attempt, the attempt goes on.
        await asyncio.wait([task for task in (self._control, self._serving) if task is not None])

    def show_problem(self, error: SidestreamError | None) -> None:
        """Show an error on a stopped server that could not be started now; None shows none."""
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
        """Start the server, watch it until it fails or has to stop, and stop it.

        Return the seconds until the automatic restart, None for none.
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
            # An unreachable remote server is probed for ever, but logged only once.
            logger.warning("%s failed: %s", self.spec.id, failure)
        pause = self._after_failure(failure, was_up_seconds=was_up_seconds)
        # A stop that came while the crashed server was cleaned up holds, too.
        return pause if desired.stop_requests == stops else None

    async def _serve(self) -> SidestreamError:
        """Start and watch the server; return the error that ended it or kept it from starting."""
        self._attempt = attempt = Attempt(
            self.spec,
            self._replica,
            self._runner,
            self._connect_to,
            self._limits(self.spec),
            self.log,
            estimates=self._estimates,
            counters=self._counters,
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
        if self._ready is not None:
            self._lost_upstream, self._loss = self._ready.upstream, failure
        self._ready, self._failure = None, failure
        self._desired.close_attempt()
        return failure

    async def _drain(self, serving: asyncio.Task[SidestreamError]) -> None:
        """Wait until running answers have ended, as long as the server runs."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._limits(self.spec).drain):
                await self._desired.wait_for(
                    lambda: serving.done() or not self._host.is_answering(self.spec)
                )

    def _after_failure(self, failure: SidestreamError, *, was_up_seconds: float) -> float | None:
        """Show the failure, and return the seconds until the next try, None for none."""
        self.failed_at = time.monotonic()
        error = model_error(failure)
        pause: float | None = self._limits(self.spec).health_interval
        if self.is_managed:
            error, pause = self.restarts.after_failure(
                error,
                was_up_seconds=was_up_seconds,
                # A place that is lost during a start is as much of a crash as one after it.
                is_automatic=self._is_automatic or isinstance(failure, PlaceLost),
            )
        self._publish("fail", error=error)
        return pause

    def found_at(self, endpoint: Endpoint) -> None:
        """Record where the server is."""
        self.address, self.place = endpoint.url, endpoint.place

    async def _connect_to(self, endpoint: Endpoint) -> Upstream:
        self.found_at(endpoint)
        return await self._connect(endpoint)

    def _learn(self, info: EngineInfo) -> None:
        if self._ready is not None:
            self._ready = replace(self._ready, info=info)
            self._update(error=self.status.error)

    def _publish(
        self, event: Event, *, progress: Progress | None = None, error: ModelError | None = None
    ) -> None:
        """Show the state that follows an event."""
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
        """Show a state, by default the current one, with its progress and error."""
        info, is_outdated = self.status.info, False
        if self._ready is not None:
            info, is_outdated = self._ready.info, self._ready.is_outdated_by(self.spec)
        status = Status(state or self.status.state, progress, error, info, is_outdated)
        if status != self.status:
            self.status = status
            self._host.changed(self.spec)
