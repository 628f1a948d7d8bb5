"""Watch a model server that is ready: health checks, its exit, and why a connection broke.

Rules:

1. One missed health check may be due to a busy machine; several in a row end the watch. Tokens that
   arrive count as a successful check: a server that is being stopped finishes its answers although
   its health check fails.
2. After a broken connection one failed check is enough, and earlier tokens do not count.
3. A place that notices late that a machine is away is waited for before a server that does not
   answer is given up: it knows the cause.
4. Two tasks see a broken connection and the exit that caused it. The answer's task waits until the
   watch has seen the exit, or a health check succeeds.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Final

from server.core.errors import ModelFailed
from server.dialects.base import EngineInfo, Upstream
from server.models.catalogue.catalog import ModelSpec
from server.models.diagnosis.causes import explain_exit
from server.models.lifecycle.desired_state import DesiredState
from server.models.lifecycle.readiness_probe import PROBE_TIMEOUT_SECONDS, ReadinessProbe
from server.models.lifecycle.ready_server import ReadyServer
from server.models.runners.base import Observation, Replica, Runner

_MISSES_UNTIL_FAILED: Final = 3
_CAUSE_SECONDS: Final = 10.0
_SECOND_CHECK_SECONDS: Final = 0.5


class Watch:
    """Watch one server while it is ready."""

    def __init__(
        self,
        spec: ModelSpec,
        replica: Replica,
        runner: Runner,
        probe: ReadinessProbe,
        interval_seconds: float,
    ) -> None:
        self._spec = spec
        self._replica = replica
        self._runner = runner
        self._probe = probe
        self._interval_seconds = interval_seconds
        self._connection_broke = asyncio.Event()
        self._model_changed = asyncio.Event()

    def check_now(self) -> None:
        """Check the health at once, because a connection broke; one failed check is enough."""
        self._connection_broke.set()

    def check_soon(self) -> None:
        """Check the health soon, because the server may have loaded or unloaded its model."""
        self._model_changed.set()

    async def run(self, ready: ReadyServer, on_info: Callable[[EngineInfo], None]) -> ModelFailed:
        """Wait until the server fails, and return why.

        `on_info` is called with the descriptions of a server that loads and unloads its model by
        itself.
        """
        upstream = ready.upstream
        exited = asyncio.create_task(self._runner.wait(self._replica))
        misses = heard = 0
        silent_since = time.monotonic()
        try:
            while (
                misses < _MISSES_UNTIL_FAILED
                or time.monotonic() - silent_since < self._runner.loss_seconds
            ):
                is_suspected = await self._pause(exited)
                if is_suspected:
                    heard = upstream.meter.heard
                if exited.done():
                    return explain_exit(exited.result(), self._spec.program or self._spec.engine)
                is_healthy = await upstream.is_healthy(timeout_seconds=PROBE_TIMEOUT_SECONDS)
                if is_healthy or upstream.meter.heard > heard:
                    misses, silent_since = 0, time.monotonic()
                else:
                    misses += _MISSES_UNTIL_FAILED if is_suspected else 1
                heard = upstream.meter.heard
                if is_healthy and ready.info.is_loaded is not None:
                    info = await self._probe.described(ready.spec.served_as)
                    if info is not None:
                        on_info(replace(info, image=ready.info.image))
        finally:
            exited.cancel()
            await asyncio.wait([exited])
        return await self._why_silent()

    async def _why_silent(self) -> ModelFailed:
        """Return why the server does not answer its health check any more."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PROBE_TIMEOUT_SECONDS):
                seen = await self._runner.inspect(self._replica)
                if seen.cause is not None:
                    return explain_exit(seen, self._spec.program or self._spec.engine)
        return ModelFailed("the model server does not answer its health check any more")

    async def _pause(self, exited: "asyncio.Task[Observation]") -> bool:
        """Wait until the next check is due; return whether a connection broke."""
        broke = asyncio.create_task(self._connection_broke.wait())
        changed = asyncio.create_task(self._model_changed.wait())
        try:
            await asyncio.wait(
                [exited, broke, changed],
                timeout=self._interval_seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
            return broke.done()
        finally:
            broke.cancel()
            changed.cancel()
            self._connection_broke.clear()
            self._model_changed.clear()


async def wait_for_cause(
    upstream: Upstream,
    is_gone: Callable[[], bool],
    desired: DesiredState,
    *,
    is_managed: bool,
    loss_seconds: float,
) -> None:
    """Wait until the server is known to be gone or a health check succeeds, or for a timeout.

    `loss_seconds` is how long its place takes to notice that its machine is away.
    For a managed server the exit, which has the cause, is waited for before the health is checked;
    a remote server is checked first.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(max(_CAUSE_SECONDS, loss_seconds)):
            while not is_gone():
                if is_managed:
                    await _wait_briefly(is_gone, desired)
                if is_gone() or await _is_healthy(upstream, is_gone, desired):
                    return
                if not is_managed:
                    await _wait_briefly(is_gone, desired)


async def _is_healthy(
    upstream: Upstream, is_gone: Callable[[], bool], desired: DesiredState
) -> bool:
    """Check the health, which may take long, until the server is known to be gone."""
    checking = asyncio.create_task(upstream.is_healthy(timeout_seconds=PROBE_TIMEOUT_SECONDS))
    going = asyncio.create_task(desired.wait_for(is_gone))
    try:
        await asyncio.wait([checking, going], return_when=asyncio.FIRST_COMPLETED)
        return checking.done() and checking.result()
    finally:
        for task in (checking, going):
            task.cancel()
        await asyncio.wait([checking, going])


async def _wait_briefly(is_gone: Callable[[], bool], desired: DesiredState) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(_SECOND_CHECK_SECONDS):
            await desired.wait_for(is_gone)
