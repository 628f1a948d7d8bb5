"""Count the answers of each model, and measure how long model servers are idle."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from server.models.catalogue.catalog import ModelSpec


class Usage:
    """Count running and waiting answers, per model and per server.

    A count is raised and lowered by the same `ModelSpec`, even if the catalogue changes in between.
    `on_change` is called with the model at every change.
    """

    def __init__(
        self,
        on_change: Callable[[ModelSpec], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._on_change = on_change
        self._clock = clock
        self._running: Counter[str] = Counter()
        self._waiting: Counter[str] = Counter()
        self._answering: Counter[str] = Counter()
        self._needing: Counter[str] = Counter()
        self._last_used: dict[str, float] = {}

    def running(self, model_id: str) -> int:
        """Return how many answers the model is writing."""
        return self._running[model_id]

    def waiting(self, model_id: str) -> int:
        """Return how many answers wait for the model's server."""
        return self._waiting[model_id]

    def is_answering(self, root_id: str) -> bool:
        """Tell whether the server is writing an answer of any of its models."""
        return self._answering[root_id] > 0

    def needing(self, root_id: str) -> int:
        """Return how many answers the server is writing or is waited for by."""
        return self._needing[root_id]

    def idle_since(self, root_id: str) -> float | None:
        """Return when the server was last in use, by the clock; None while it is in use."""
        return None if self._needing[root_id] else self._last_used.get(root_id, 0.0)

    def touch(self, root_id: str) -> None:
        """Count the server as used just now."""
        self._last_used[root_id] = self._clock()

    def wait(self, spec: ModelSpec) -> AbstractContextManager[None]:
        """Count a wait for the model's server while the context lasts."""
        return self._counted(spec, is_answered=False)

    def run(self, spec: ModelSpec) -> AbstractContextManager[None]:
        """Count an answer of the model while the context lasts."""
        return self._counted(spec, is_answered=True)

    @contextmanager
    def pause(self, spec: ModelSpec) -> Iterator[None]:
        """Count an answer as waiting instead of running while the context lasts."""
        self._count(spec, -1, is_answered=True)
        try:
            with self._counted(spec, is_answered=False):
                yield
        finally:
            self._count(spec, 1, is_answered=True)
            self._on_change(spec)

    @contextmanager
    def _counted(self, spec: ModelSpec, *, is_answered: bool) -> Iterator[None]:
        self._count(spec, 1, is_answered=is_answered)
        self._on_change(spec)
        try:
            yield
        finally:
            self._count(spec, -1, is_answered=is_answered)
            self.touch(spec.root)
            self._on_change(spec)

    def _count(self, spec: ModelSpec, change: int, *, is_answered: bool) -> None:
        (self._running if is_answered else self._waiting)[spec.id] += change
        self._needing[spec.root] += change
        if is_answered:
            self._answering[spec.root] += change


class IdleTimers:
    """Stop each managed server that has been idle for its `idle_timeout`."""

    def __init__(self) -> None:
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def watch(self, spec: ModelSpec, request_stop: Callable[[], None], *, is_idle: bool) -> None:
        """Start the timer of an idle server, and cancel that of one in use."""
        root_id, settings = spec.id, spec.settings
        timer = self._timers.pop(root_id, None)
        if timer is not None:
            timer.cancel()
        seconds = settings.idle_timeout
        if seconds and not settings.pinned and is_idle:
            loop = asyncio.get_running_loop()
            self._timers[root_id] = loop.call_later(seconds, request_stop)

    def close(self) -> None:
        """Cancel all timers."""
        for timer in self._timers.values():
            timer.cancel()
