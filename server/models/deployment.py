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
3. Each phase of a start has its own deadline: a long download is not a server that hangs.
4. A server of ours that failed is started again by the next request. A server that
   somebody else runs is watched for ever, and comes back by itself.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from server.core.errors import EngineError, ModelFailed, SidestreamError
from server.core.protocol import ModelError, ModelState, Progress
from server.models.bell import Bell
from server.models.catalog import ModelSpec
from server.models.readiness import STATE_OF_PHASE, StartProgress, explain_exit
from server.models.runners.base import Endpoint, Replica, Runner
from server.models.upstreams.base import EngineInfo, Upstream

logger = logging.getLogger(__name__)

Connect = Callable[[Endpoint], Upstream]

# The first look comes early, since a small model is ready in a second; a large one takes
# minutes and is not to be asked ten times a second.
_FIRST_PROBE_SECONDS: Final = 0.1
_LAST_PROBE_SECONDS: Final = 1.0
_PROBE_TIMEOUT_SECONDS: Final = 5.0
# One missed look may be a busy machine; three in a row are not.
_MISSES_UNTIL_FAILED: Final = 3
# A broken connection and the exit behind it are seen by two tasks; so long does the one
# wait for the other.
_CAUSE_SECONDS: Final = 2.0


@dataclass(frozen=True)
class Limits:
    """Deadlines and intervals, in seconds."""

    download: float
    start: float
    stop_grace: float
    health_interval: float


@dataclass(frozen=True)
class Status:
    """What is to be seen of a deployment."""

    state: ModelState = "stopped"
    progress: Progress | None = None
    error: ModelError | None = None
    info: EngineInfo | None = None


class Deployment:
    """Bring one model server up when it is wanted, watch it, and take it down."""

    def __init__(
        self,
        spec: ModelSpec,
        replica: Replica,
        runner: Runner,
        connect: Connect,
        limits: Limits,
        on_change: Callable[[], None],
    ) -> None:
        self.spec = spec
        self.status = Status()
        self._replica = replica
        self._runner = runner
        self._connect = connect
        self._limits = limits
        self._on_change = on_change
        self._bell = Bell()
        self._is_wanted = not runner.is_managed
        self._stops_asked = 0
        self._attempt = 0
        self._spent_attempt = 0
        self._settled_attempt = 0
        self._is_active = False
        self._upstream: Upstream | None = None
        self._failure: SidestreamError | None = None
        self._progress = StartProgress()
        self._deadline: asyncio.Timeout | None = None
        self._control = asyncio.create_task(self._run(), name=f"deployment {spec.id}")

    # --- for everybody ----------------------------------------------------------------------

    @property
    def is_managed(self) -> bool:
        """Tell whether we start and stop this server."""
        return self._runner.is_managed

    def want(self) -> int:
        """Ask for the server to be up; return the number of the attempt that will answer."""
        self._is_wanted = True
        self._bell.ring()
        # An attempt that has failed or is being stopped answers nobody who asks now.
        return self._attempt if self._attempt > self._spent_attempt else self._attempt + 1

    async def ensure_ready(self) -> Upstream:
        """Start the server if need be, and return how to speak to it.

        Raises `ModelFailed` when it cannot be started, or is stopped meanwhile. Cancelling
        one waiter leaves the start to the others.
        """
        attempt = self.want()
        await self._bell.until(lambda: self._settled_attempt >= attempt)
        if self._upstream is None:
            raise self._failure or ModelFailed(f"{self.spec.name} was stopped")
        return self._upstream

    def unwant(self) -> None:
        """Ask for the server to be down; a start under way is cancelled."""
        self._is_wanted = False
        self._spent_attempt = self._attempt
        self._stops_asked += 1
        self._bell.ring()

    async def stop(self) -> None:
        """Take the server down and return when it is gone."""
        attempt = self._attempt
        self.unwant()
        await self._bell.until(lambda: not self._is_active or self._attempt > attempt)

    async def cause_of_loss(self, upstream: Upstream) -> SidestreamError | None:
        """Return why the server behind `upstream` went away, if within a moment it is seen to."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_CAUSE_SECONDS):
                await self._bell.until(lambda: self._upstream is not upstream)
        return self._failure if self._upstream is None else None

    async def close(self) -> None:
        """Take the server down and end the control task."""
        self._control.cancel()
        await asyncio.wait([self._control])
        await self._runner.stop(self._replica, grace_seconds=self._limits.stop_grace)

    # --- the control task -------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            await self._bell.until(lambda: self._is_wanted)
            await self._attempt_once()
            if not self.is_managed:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._limits.health_interval):
                        await self._bell.until(lambda: self._is_wanted)
                self._is_wanted = True

    async def _attempt_once(self) -> None:
        """Bring the server up, watch it until it fails or is to stop, take it down."""
        stops = self._stops_asked
        self._attempt += 1
        self._is_active = True
        serving = asyncio.create_task(self._serve(), name=f"serving {self.spec.id}")
        serving.add_done_callback(lambda _: self._bell.ring())
        try:
            await self._bell.until(lambda: serving.done() or self._stops_asked > stops)
        finally:
            serving.cancel()
            await asyncio.wait([serving])
            self._upstream = None
        failure = None if serving.cancelled() else serving.result()
        self._failure = failure
        if failure is None:
            self._publish("stopping")
        await self._runner.stop(self._replica, grace_seconds=self._limits.stop_grace)
        self._is_active = False
        self._settled_attempt = self._attempt
        if failure is None:
            self._publish("stopped")
        else:
            logger.warning("%s failed: %s", self.spec.id, failure)
            self._publish("failed", error=ModelError(failure.code, failure.message, failure.hint))

    async def _serve(self) -> SidestreamError:
        """Return what ended the server or kept it from starting."""
        try:
            upstream, info = await self._bring_up()
            self._upstream = upstream
            self._failure = None
            self._settled_attempt = self._attempt
            self._publish("ready", info=info)
            failure: SidestreamError = await self._watch(upstream)
        except SidestreamError as error:
            failure = error
        except Exception as error:
            logger.exception("the lifecycle of %s broke", self.spec.id)
            failure = SidestreamError(f"internal error: {error}")
        self._upstream, self._failure = None, failure
        self._is_wanted, self._spent_attempt = False, self._attempt
        self._bell.ring()
        return failure

    async def _bring_up(self) -> tuple[Upstream, EngineInfo]:
        self._progress = StartProgress()
        if self.is_managed or self._attempt == 1:
            self._publish("starting")
        try:
            async with asyncio.timeout(self._limits.start) as self._deadline:
                endpoint = await self._runner.start(self._replica, self.spec, self._report)
                upstream = self._connect(endpoint)
                await self._until_healthy(upstream)
                try:
                    return upstream, await upstream.describe()
                except EngineError as error:
                    raise ModelFailed(f"the model server cannot be used: {error}") from None
        except TimeoutError:
            if not self.is_managed:
                raise ModelFailed(
                    f"no model server answers at {self.spec.settings.url}",
                    hint="start it, or mend `url` in the model's section",
                ) from None
            seen = await self._runner.inspect(self._replica)
            raise ModelFailed(
                "the model server was not ready in time",
                hint="raise `start_timeout` or `download_timeout` in [engines]",
                details={"log": [line.text for line in seen.tail]},
            ) from None
        finally:
            self._deadline = None

    async def _until_healthy(self, upstream: Upstream) -> None:
        """Return when the server is well; raise `ModelFailed` when it ends before."""
        exited = asyncio.create_task(self._runner.wait(self._replica))
        log = asyncio.create_task(self._follow_log())
        pause = _FIRST_PROBE_SECONDS
        try:
            while not await upstream.is_healthy(timeout_seconds=_PROBE_TIMEOUT_SECONDS):
                await asyncio.wait([exited], timeout=pause)
                if exited.done():
                    raise explain_exit(exited.result())
                pause = min(pause * 1.2, _LAST_PROBE_SECONDS)
        finally:
            exited.cancel()
            log.cancel()
            await asyncio.wait([exited, log])

    async def _follow_log(self) -> None:
        lines = self._runner.logs(self._replica, tail=1000, follow=True)
        async for line in lines:
            progress = self._progress.feed(line)
            if progress is not None:
                self._show(progress)

    async def _watch(self, upstream: Upstream) -> ModelFailed:
        """Return why the server is no longer of use."""
        exited = asyncio.create_task(self._runner.wait(self._replica))
        misses = 0
        try:
            while misses < _MISSES_UNTIL_FAILED:
                await asyncio.wait([exited], timeout=self._limits.health_interval)
                if exited.done():
                    return explain_exit(exited.result())
                is_healthy = await upstream.is_healthy(timeout_seconds=_PROBE_TIMEOUT_SECONDS)
                misses = 0 if is_healthy else misses + 1
        finally:
            exited.cancel()
            await asyncio.wait([exited])
        return ModelFailed("the model server does not answer its health check any more")

    # --- showing ----------------------------------------------------------------------------

    def _report(self, progress: Progress) -> None:
        advanced = self._progress.advance(progress)
        if advanced is not None:
            self._show(advanced)

    def _show(self, progress: Progress) -> None:
        state = STATE_OF_PHASE[progress.phase]
        if state != self.status.state and self._deadline is not None:
            seconds = self._limits.download if state == "pulling" else self._limits.start
            self._deadline.reschedule(asyncio.get_running_loop().time() + seconds)
        self._publish(state, progress=progress)

    def _publish(
        self,
        state: ModelState,
        *,
        progress: Progress | None = None,
        error: ModelError | None = None,
        info: EngineInfo | None = None,
    ) -> None:
        self.status = Status(state, progress, error, info or self.status.info)
        self._on_change()
        self._bell.ring()
