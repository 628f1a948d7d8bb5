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
    grow: float = 5.0
    """How long a queue stands before more replicas are started."""
    shrink: float = 120.0
    """How long a replica is not needed before it is stopped."""


LimitsOf = Callable[[ModelSpec], LifecycleLimits]
