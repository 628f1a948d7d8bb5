"""Who uses which model just now, and since when each model server has been idle."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from server.models.catalog import Catalog


class Usage:
    """Count those who wait for a model and those it answers; models that share a server add up.

    `on_change` is called with the model's id at every change.
    """

    def __init__(
        self,
        catalog: Catalog,
        on_change: Callable[[str], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._catalog = catalog
        self._on_change = on_change
        self._clock = clock
        self._running: Counter[str] = Counter()
        self._waiting: Counter[str] = Counter()
        self._last_used: dict[str, float] = {}

    def running(self, model_id: str) -> int:
        """Return how many answers the model is writing."""
        return self._running[model_id]

    def waiting(self, model_id: str) -> int:
        """Return how many answers wait for the model's server."""
        return self._waiting[model_id]

    def is_answering(self, root_id: str) -> bool:
        """Tell whether the server writes an answer of any of its models."""
        return any(self._running[spec.id] for spec in self._catalog.served_by(root_id))

    def idle_since(self, root_id: str) -> float | None:
        """Return when the server was last of use, on the clock; None while somebody needs it."""
        is_needed = self.is_answering(root_id) or any(
            self._waiting[spec.id] for spec in self._catalog.served_by(root_id)
        )
        return None if is_needed else self._last_used.get(root_id, 0.0)

    def touch(self, root_id: str) -> None:
        """Count the server as used just now."""
        self._last_used[root_id] = self._clock()

    @contextmanager
    def wait(self, model_id: str) -> Iterator[None]:
        """Count a wait for the model's server while the context lasts."""
        with self._counted(self._waiting, model_id):
            yield

    @contextmanager
    def run(self, model_id: str) -> Iterator[None]:
        """Count an answer of the model while the context lasts."""
        with self._counted(self._running, model_id):
            yield

    @contextmanager
    def pause(self, model_id: str) -> Iterator[None]:
        """Count an answer of the model as one that waits while the context lasts."""
        self._running[model_id] -= 1
        try:
            with self._counted(self._waiting, model_id):
                yield
        finally:
            self._running[model_id] += 1
            self._on_change(model_id)

    @contextmanager
    def _counted(self, counter: Counter[str], model_id: str) -> Iterator[None]:
        counter[model_id] += 1
        self._on_change(model_id)
        try:
            yield
        finally:
            counter[model_id] -= 1
            self.touch(self._catalog.root_of(model_id).id)
            self._on_change(model_id)
