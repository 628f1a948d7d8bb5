"""The seam between one model server's lifecycle and all that is around it."""

from dataclasses import dataclass
from typing import Protocol

from server.core.protocol import ModelError, ModelState, Progress
from server.models.catalog import ModelSpec
from server.models.runners.base import Report
from server.models.upstreams.base import EngineInfo


@dataclass(frozen=True)
class Status:
    """What is to be seen of a deployment."""

    state: ModelState = "stopped"
    progress: Progress | None = None
    error: ModelError | None = None
    info: EngineInfo | None = None
    is_outdated: bool = False


class Surroundings(Protocol):
    """What a deployment needs of the others: room to start in, and word of its use."""

    async def enter(self, spec: ModelSpec, report: Report) -> None:
        """Return when the server may be started."""

    def leave(self, spec: ModelSpec) -> None:
        """Take note that the server is gone."""

    def is_answering(self, spec: ModelSpec) -> bool:
        """Tell whether the server is writing an answer."""

    def changed(self, spec: ModelSpec) -> None:
        """Take note of a new status."""
