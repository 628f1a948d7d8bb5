"""How many replicas a model has to have: a number of the settings, or what its queue needs."""

import asyncio
import logging
from collections.abc import Callable

from server.models.catalogue.catalog import ModelSpec
from server.models.lifecycle.limits import LimitsOf
from server.models.lifecycle.replica_settings import replica_range
from server.models.lifecycle.scaling import Scaling

logger = logging.getLogger(__name__)

Demand = Callable[[], tuple[int, int | None]]
"""Return how many answers are written and waited for, and how many one replica writes at once."""


class ReplicaCount:
    """Hold the number, and decide it anew within the model's range (`Scaling`)."""

    def __init__(
        self, spec: ModelSpec, limits: LimitsOf, demand: Demand, on_due: Callable[[], None]
    ) -> None:
        """`on_due` is called when it is time to decide again although nothing has changed."""
        self.now = replica_range(spec)[0]
        self._limits = limits
        self._demand = demand
        self._on_due = on_due
        self._scaling = Scaling()
        self._timer: asyncio.TimerHandle | None = None

    def include(self, spec: ModelSpec, number: int) -> None:
        """Have as many as the number of a replica that was found, if the range allows it."""
        self.now = max(self.now, min(number, replica_range(spec)[1]))

    def decide(self, spec: ModelSpec) -> bool:
        """Set the number that is needed; tell whether it has changed."""
        self.close()
        least, most = replica_range(spec)
        if least == most == self.now:
            return False
        (answers, capacity), limits = self._demand(), self._limits(spec)
        loop = asyncio.get_running_loop()
        decided = self._scaling.decide(
            count=self.now,
            least=least,
            most=most,
            answers=answers,
            capacity=capacity,
            grow_after=limits.grow,
            shrink_after=limits.shrink,
            now=loop.time(),
        )
        if decided.seconds is not None:
            self._timer = loop.call_later(decided.seconds, self._on_due)
        if decided.count == self.now:
            return False
        logger.info("%s: %d replicas, not %d", spec.id, decided.count, self.now)
        self.now = decided.count
        return True

    def close(self) -> None:
        """Do not decide again by time alone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
