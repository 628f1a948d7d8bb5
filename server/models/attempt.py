"""One attempt to bring a model server up, and the watch over it while it is up.

An attempt acts through the runner and the upstream and shows what it sees; it decides
nothing about whether there will be another.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from server.core.errors import ModelFailed, SidestreamError
from server.core.protocol import ModelState, Progress
from server.dialects.base import Endpoint, EngineInfo, Upstream
from server.models.approach import Approach, Connect
from server.models.catalog import ModelSpec
from server.models.logbook import LogBook
from server.models.pace import Pace
from server.models.readiness import STATE_OF_PHASE, StartProgress, explain_exit, last_words
from server.models.ready import Ready
from server.models.runners.base import Observation, Replica, Runner

logger = logging.getLogger(__name__)

Show = Callable[[ModelState, Progress], None]

# The first look comes early, since a small model is ready in a second; a large one takes
# minutes and is not to be asked ten times a second.
_FIRST_PROBE_SECONDS: Final = 0.1
_LAST_PROBE_SECONDS: Final = 1.0
_PROBE_TIMEOUT_SECONDS: Final = 5.0
# One missed look may be a busy machine; three in a row are not.
_MISSES_UNTIL_FAILED: Final = 3
# Enough for a traceback and what led to it.
_TOLD_LINES: Final = 20
_TICK_SECONDS: Final = 1.0
# What a runner may remember from before we came.
_LOG_HISTORY_LINES: Final = 1000


@dataclass(frozen=True)
class Limits:
    """Deadlines, intervals and counts of a deployment; times in seconds."""

    download: float
    start: float
    drain: float
    stop_grace: float
    health_interval: float
    restarts: int


class Attempt:
    """Start one server, tell when it is ready, and tell when it is not any more."""

    def __init__(
        self,
        spec: ModelSpec,
        replica: Replica,
        runner: Runner,
        connect: Connect,
        limits: Limits,
        log: LogBook,
        pace: Pace,
        show: Show,
    ) -> None:
        self._spec = spec
        self._replica = replica
        self._runner = runner
        is_any_program = spec.runner == "command"
        self._approach = Approach(
            connect,
            asks_why=is_any_program or not runner.is_managed,
            gives_up=not runner.is_managed,
            is_patient=is_any_program,
        )
        self._limits = limits
        self._log = log
        self._pace = pace
        self._show = show
        self._progress = StartProgress(tells_lines=is_any_program)
        self._told = ""
        self._phase = ""
        self._began = 0.0
        self._deadline: asyncio.Timeout | None = None
        self._following: list[asyncio.Task[None]] = []
        self._doubts = asyncio.Event()
        self._news = asyncio.Event()
        self.has_server = False
        """Whether there may be a server: a runner whose start failed has left none."""

    async def close(self) -> None:
        """Stop following the log, and let go of the connections to the server."""
        try:
            await _end(self._following)
        finally:
            # Also where the lifecycle ends while this goes on.
            await self._approach.close()

    async def bring_up(self) -> Ready:
        """Return when the server is well; its log is followed from its start until `close`.

        Raises `ModelFailed` when it cannot be started, ends before it is ready, or takes
        longer than its phase may.
        """
        self._began = _now()
        self._pace.begin(self._began)
        tellers = [asyncio.create_task(self._tick())]
        try:
            async with asyncio.timeout(self._limits.start) as self._deadline:
                endpoint = await self._runner.start(self._replica, self._spec, self.report)
                self.has_server = True
                self._following.append(asyncio.create_task(self._follow_log()))
                tellers.append(asyncio.create_task(self._follow_progress()))
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
            await _end(tellers)
        self._pace.finish(_now())
        return Ready(upstream, replace(info, image=seen.image), self._spec, seen.is_outdated)

    async def watch(self, ready: Ready, on_news: Callable[[EngineInfo], None]) -> ModelFailed:
        """Return why the server is no longer of use, once it is not.

        `on_news` is told what a server says that loads and unloads its model by itself.

        A look at its health that fails means nothing while words come: a server that somebody
        is stopping lets its answers end, and takes nothing new.
        """
        upstream = ready.upstream
        exited = asyncio.create_task(self._runner.wait(self._replica))
        misses = heard = 0
        try:
            while misses < _MISSES_UNTIL_FAILED:
                is_doubted = await self._pause_of_watch(exited)
                if is_doubted:
                    # What came before the doubt is no sign of life any more.
                    heard = upstream.heard
                if exited.done():
                    return explain_exit(exited.result(), self._spec.engine)
                is_healthy = await upstream.is_healthy(timeout_seconds=_PROBE_TIMEOUT_SECONDS)
                if is_healthy or upstream.heard > heard:
                    misses = 0
                else:
                    misses += _MISSES_UNTIL_FAILED if is_doubted else 1
                heard = upstream.heard
                if is_healthy and ready.info.is_loaded is not None:
                    info = await self._approach.described(ready.spec.served_as)
                    if info is not None:
                        on_news(replace(info, image=ready.info.image))
        finally:
            exited.cancel()
            await asyncio.wait([exited])
        return ModelFailed("the model server does not answer its health check any more")

    def doubt(self) -> None:
        """Have the watch look at once: a connection broke, and one failed look is enough now."""
        self._doubts.set()

    def look_soon(self) -> None:
        """Have the watch look soon: the model may have been loaded or unloaded."""
        self._news.set()

    def report(self, progress: Progress) -> None:
        """Show progress that does not come from the log."""
        advanced = self._progress.advance(progress)
        if advanced is not None:
            self._accept(advanced)

    async def _pause_of_watch(self, exited: "asyncio.Task[Observation]") -> bool:
        """Return when it is time to look at the server; tell whether somebody doubts it."""
        doubts = asyncio.create_task(self._doubts.wait())
        news = asyncio.create_task(self._news.wait())
        try:
            await asyncio.wait(
                [exited, doubts, news],
                timeout=self._limits.health_interval,
                return_when=asyncio.FIRST_COMPLETED,
            )
            return doubts.done()
        finally:
            doubts.cancel()
            news.cancel()
            self._doubts.clear()
            self._news.clear()

    async def _follow_log(self) -> None:
        lines = self._runner.logs(self._replica, tail=_LOG_HISTORY_LINES, follow=True)
        async for line in lines:
            self._log.add(line)
            if self._deadline is not None:
                progress = self._progress.feed(line)
                if progress is not None:
                    self._accept(progress)

    async def _follow_progress(self) -> None:
        async for progress in self._runner.progress(self._replica, self._spec):
            self.report(progress)

    async def _tick(self) -> None:
        """Give a sign of life in phases that are quiet."""
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            progress = self._progress.tick(_now())
            if progress is not None:
                self._accept(progress)

    def _accept(self, progress: Progress) -> None:
        state = STATE_OF_PHASE[progress.phase]
        if progress.phase != self._phase:
            self._phase = progress.phase
            if self._deadline is not None and not self._deadline.expired():
                seconds = self._limits.download if state == "pulling" else self._limits.start
                self._deadline.reschedule(_now() + seconds)
        self._show(state, self._pace.estimate(progress, _now()))

    async def _until_ready(self, endpoint: Endpoint) -> tuple[Upstream, EngineInfo]:
        exited = asyncio.create_task(self._runner.wait(self._replica))
        pause = _FIRST_PROBE_SECONDS
        try:
            while (ready := await self._approach.ready(endpoint)) is None:
                if words := self._approach.is_to_be_waited_for:
                    self._wait_longer(words)
                elif self._runner.is_managed and (words := self._approach.words):
                    self._tell(words)
                await asyncio.wait([exited], timeout=pause)
                if exited.done():
                    raise explain_exit(exited.result(), self._spec.engine)
                if self._approach.is_given_up:
                    raise TimeoutError
                pause = min(pause * 1.2, _LAST_PROBE_SECONDS)
            return ready
        finally:
            exited.cancel()
            await asyncio.wait([exited])

    def _wait_longer(self, words: str) -> None:
        """Wait for a server that says that it is not ready: it is there, and so has more time."""
        self._tell(words)
        if self._deadline is not None and not self._deadline.expired():
            last = self._began + self._limits.download
            self._deadline.reschedule(min(_now() + self._limits.start, last))

    def _tell(self, words: str) -> None:
        """Show what a server says of itself; where its log is shown, too, each word once."""
        if words != self._told or not self._runner.is_managed:
            self._told = words
            self.report(Progress("loading", None, words))

    async def _too_late(self) -> ModelFailed:
        if not self._runner.is_managed:
            return self._approach.in_vain(self._spec.settings.url)
        phase = f" ({self._phase})" if self._phase else ""
        is_download = self._phase and STATE_OF_PHASE[self._phase] == "pulling"
        key = "download_timeout" if is_download else "start_timeout"
        section = "docker" if self._spec.runner == "docker" else "engines"
        seen = await self._runner.inspect(self._replica)
        reason = self._approach.words
        if seen.ports_elsewhere and seen.endpoint:
            ports = ", ".join(map(str, sorted(seen.ports_elsewhere)))
            reason = f"it listens on port {ports}, and nobody answers at {seen.endpoint.url}"
        return ModelFailed(
            f"the model server was not ready in time{phase}{reason and f': {reason}'}",
            hint=f"see what its log says, or raise `{key}` in [{section}]",
            details={"log": last_words(line.text for line in self._log.tail(_TOLD_LINES))},
        )


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
    for task in tasks:
        # What they tell is an extra: a start does not fail for want of it.
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("the progress of a start cannot be told", exc_info=error)


def _now() -> float:
    return asyncio.get_running_loop().time()
