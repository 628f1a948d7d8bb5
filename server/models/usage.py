"""Who uses which model just now, and since when each model server has been idle."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from server.models.catalog import ModelSpec


class Usage:
    """Count those who wait for a model and those it answers, and both for its server.

    Whoever is counted is counted off again by what the model was then, whatever has become of the
    catalogue meanwhile. `on_change` is called with the model at every change.
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
        """Tell whether the server writes an answer of any of its models."""
        return self._answering[root_id] > 0

    def idle_since(self, root_id: str) -> float | None:
        """Return when the server was last of use, on the clock; None while somebody needs it."""
        return None if self._needing[root_id] else self._last_used.get(root_id, 0.0)

    def touch(self, root_id: str) -> None:
        """Count the server as used just now."""
        self._last_used[root_id] = self._clock()

    @contextmanager
    def wait(self, spec: ModelSpec) -> Iterator[None]:
        """Count a wait for the model's server while the context lasts."""
        with self._counted(spec, is_answered=False):
            yield

    @contextmanager
    def run(self, spec: ModelSpec) -> Iterator[None]:
        """Count an answer of the model while the context lasts."""
        with self._counted(spec, is_answered=True):
            yield

    @contextmanager
    def pause(self, spec: ModelSpec) -> Iterator[None]:
        """Count an answer of the model as one that waits while the context lasts."""
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
