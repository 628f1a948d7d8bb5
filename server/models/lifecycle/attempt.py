"""One attempt to bring a model server up: start it, follow its log, probe it until it is ready.

An attempt acts through the runner and the probe, and reports progress. It does not decide whether
there is another attempt.
"""

import asyncio
import logging
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from server.core.errors import ModelFailed, SidestreamError
from server.core.protocol import Progress
from server.dialects.base import Endpoint, EngineInfo, Upstream
from server.models.catalogue.catalog import ModelSpec
from server.models.diagnosis.causes import explain_exit, failure_of, last_words
from server.models.lifecycle.limits import LifecycleLimits
from server.models.lifecycle.readiness_probe import Connect, ReadinessProbe
from server.models.lifecycle.ready_server import ReadyServer
from server.models.lifecycle.start_estimates import StartEstimates
from server.models.lifecycle.start_progress import EVENT_OF_PHASE, StartProgress
from server.models.lifecycle.state import Event
from server.models.lifecycle.watching import Watch
from server.models.logbook import LogBook
from server.models.metrics import StartCounters
from server.models.runners.base import Replica, Runner
from server.settings.runners import CONTAINER_RUNNERS, RUNNERS

logger = logging.getLogger(__name__)

OnProgress = Callable[[Event, Progress], None]

# The first probe comes early, since a small model is ready in a second. The pauses grow, since a
# large one takes minutes. A server that logs that it serves is probed at once, but never more often
# than this.
_FIRST_PROBE_SECONDS: Final = 0.1
_LAST_PROBE_SECONDS: Final = 1.0
# Enough for a traceback and the lines before it.
_TOLD_LINES: Final = 20
_TICK_SECONDS: Final = 1.0
# Lines that a runner may have from before the attempt.
_LOG_HISTORY_LINES: Final = 1000


class Attempt:
    """Start one server and wait until it is ready; `watch` then waits until it fails."""

    def __init__(
        self,
        spec: ModelSpec,
        replica: Replica,
        runner: Runner,
        connect: Connect,
        limits: LifecycleLimits,
        log: LogBook,
        *,
        estimates: StartEstimates,
        counters: StartCounters,
        on_progress: OnProgress,
    ) -> None:
        self._spec = spec
        self._replica = replica
        self._runner = runner
        is_other_than_tgi = spec.runner in CONTAINER_RUNNERS and spec.dialect != "tgi"
        is_asked = runner.is_managed and RUNNERS[spec.runner].is_asked
        is_any_program = is_asked or is_other_than_tgi
        self._probe = ReadinessProbe(
            connect,
            asks_why=is_any_program or not runner.is_managed,
            gives_up=not runner.is_managed,
            is_patient=is_any_program,
        )
        self.watch = Watch(spec, replica, runner, self._probe, limits.health_interval)
        self._limits = limits
        self._log = log
        self._estimates = estimates
        self._counters = counters
        self._on_progress = on_progress
        self._progress = StartProgress(spec.program, tells_lines=is_any_program)
        self._last_message = ""
        self._phase = ""
        self._began = 0.0
        self._deadline: asyncio.Timeout | None = None
        self._has_news = asyncio.Event()
        self._said_it_serves_at = -math.inf
        self._following: list[asyncio.Task[None]] = []
        self.has_server = False
        """Whether there may be a server; a failed start leaves none."""

    async def close(self) -> None:
        """Stop following the log, and close the connections to the server."""
        try:
            await _end(self._following)
        finally:
            # Also if this is cancelled because the lifecycle ends.
            await self._probe.close()

    async def bring_up(self) -> ReadyServer:
        """Start the server and return when it is ready; follow its log until `close`.

        Raises `ModelFailed` if it cannot be started, ends before it is ready, or exceeds the
        timeout of a phase.
        """
        self._began = _now()
        self._counters.starts += 1
        self._estimates.begin()
        reporting = [asyncio.create_task(self._tick())]
        try:
            async with asyncio.timeout(self._limits.start) as self._deadline:
                endpoint = await self._runner.start(self._replica, self._spec, self.report)
                self.has_server = True
                self._following.append(asyncio.create_task(self._follow_log()))
                reporting.append(asyncio.create_task(self._follow_progress()))
                upstream, info = await self._until_ready(endpoint)
                seen = await self._runner.inspect(self._replica)
        except TimeoutError:
            raise await self._too_late() from None
        except ModelFailed:
            raise
        except SidestreamError as error:
            problem = f"the model server cannot be used: {error}"
            raise ModelFailed(problem, hint=error.hint) from None
        finally:
            self._deadline = None
            await _end(reporting)
        self._counters.seconds.observe(_now() - self._began)
        self._estimates.finish(_now())
        return ReadyServer(upstream, replace(info, image=seen.image), self._spec, seen.is_outdated)

    def report(self, progress: Progress) -> None:
        """Report progress that does not come from the log."""
        advanced = self._progress.advance(progress)
        if advanced is not None:
            self._accept(advanced)

    async def _follow_log(self) -> None:
        lines = self._runner.logs(self._replica, tail=_LOG_HISTORY_LINES, follow=True)
        async for line in lines:
            self._log.add(line)
            if self._deadline is not None:
                progress = self._progress.feed(line)
                if self._progress.says_it_serves:
                    self._probe_now()
                if progress is not None:
                    self._accept(progress)

    def _probe_now(self) -> None:
        if _now() - self._said_it_serves_at > _FIRST_PROBE_SECONDS:
            self._said_it_serves_at = _now()
            self._has_news.set()

    async def _follow_progress(self) -> None:
        async for progress in self._runner.progress(self._replica, self._spec):
            self.report(progress)

    async def _tick(self) -> None:
        """Report progress in phases that log nothing."""
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            progress = self._progress.tick(_now())
            if progress is not None:
                self._accept(progress)

    def _accept(self, progress: Progress) -> None:
        event = EVENT_OF_PHASE[progress.phase]
        if progress.phase != self._phase:
            self._phase = progress.phase
            if self._deadline is not None and not self._deadline.expired():
                seconds = self._limits.download if event == "pull" else self._limits.start
                self._deadline.reschedule(_now() + seconds)
        self._on_progress(event, self._estimates.estimate(progress, _now()))

    async def _until_ready(self, endpoint: Endpoint) -> tuple[Upstream, EngineInfo]:
        exited = asyncio.create_task(self._runner.wait(self._replica))
        exited.add_done_callback(lambda _: self._has_news.set())
        pause = _FIRST_PROBE_SECONDS
        try:
            while (ready := await self._probe.probe(endpoint)) is None:
                if message := self._probe.not_ready_message:
                    self._extend_deadline(message)
                elif self._runner.is_managed and (message := self._probe.message):
                    self._report_message(message)
                pause = await self._pause(pause)
                if exited.done():
                    raise explain_exit(exited.result(), self._spec.program or self._spec.engine)
                if self._probe.is_given_up:
                    raise TimeoutError
            return ready
        finally:
            exited.cancel()
            await asyncio.wait([exited])

    async def _pause(self, seconds: float) -> float:
        """Wait for the next probe, which log lines may bring forward; return the pause after it."""
        try:
            async with asyncio.timeout(seconds):
                await self._has_news.wait()
        except TimeoutError:
            return min(seconds * 1.2, _LAST_PROBE_SECONDS)
        self._has_news.clear()
        return _FIRST_PROBE_SECONDS

    def _extend_deadline(self, message: str) -> None:
        """Extend the deadline of a server that answers that it is not ready yet."""
        self._report_message(message)
        if self._deadline is not None and not self._deadline.expired():
            last = self._began + self._limits.download
            self._deadline.reschedule(min(_now() + self._limits.start, last))

    def _report_message(self, message: str) -> None:
        """Report a server's message about itself; if it also has a log, each message once."""
        if message != self._last_message or not self._runner.is_managed:
            self._last_message = message
            self.report(Progress("loading", None, message))

    async def _too_late(self) -> ModelFailed:
        if not self._runner.is_managed:
            return self._probe.failure(self._spec.settings.url)
        phase = f" ({self._phase})" if self._phase else ""
        is_download = self._phase and EVENT_OF_PHASE[self._phase] == "pull"
        key = "download_timeout" if is_download else "start_timeout"
        section = f"in [{RUNNERS[self._spec.runner].section}]"
        if getattr(self._spec.settings, key):
            section = "in the model's section"
        seen = await self._runner.inspect(self._replica)
        if seen.cause is not None:
            return failure_of(seen.cause, {})
        reason = self._probe.message
        if seen.ports_elsewhere and seen.endpoint:
            ports = ", ".join(map(str, sorted(seen.ports_elsewhere)))
            reason = f"it listens on port {ports}, and nobody answers at {seen.endpoint.url}"
        return ModelFailed(
            f"the model server was not ready in time{phase}{reason and f': {reason}'}",
            hint=f"see what its log says, or raise `{key}` {section}",
            details={"log": last_words(line.text for line in self._log.tail(_TOLD_LINES))},
        )


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
    for task in tasks:
        # Progress is optional: a start does not fail without it.
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("the progress of a start cannot be told", exc_info=error)


def _now() -> float:
    return asyncio.get_running_loop().time()
