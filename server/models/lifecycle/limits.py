"""The timeouts of a model server's lifecycle, and the number of its restarts."""

from collections.abc import Callable
from dataclasses import dataclass

from server.models.catalogue.catalog import ModelSpec


@dataclass(frozen=True)
class LifecycleLimits:
    """Deadlines, intervals and counts of a deployment; times in seconds."""

    download: float
    start: float
    drain: float
    stop_grace: float
    health_interval: float
    restarts: int


LimitsOf = Callable[[ModelSpec], LifecycleLimits]
