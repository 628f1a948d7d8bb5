"""The seam between one model server's lifecycle and all that is around it."""

from dataclasses import dataclass
from typing import Protocol

from server.core.errors import SidestreamError
from server.core.protocol import ModelError, ModelState, Progress
from server.dialects.base import EngineInfo
from server.models.catalog import ModelSpec
from server.models.runners.base import Report


@dataclass(frozen=True)
class Status:
    """What is to be seen of a deployment."""

    state: ModelState = "stopped"
    progress: Progress | None = None
    error: ModelError | None = None
    info: EngineInfo | None = None
    is_outdated: bool = False


def as_ours(error: Exception) -> SidestreamError:
    """Return an error as one of our tree."""
    return (
        error if isinstance(error, SidestreamError) else SidestreamError(f"internal error: {error}")
    )


def shown(error: SidestreamError) -> ModelError:
    """Return an error as it is to be seen of a model."""
    return ModelError(error.code, error.message, error.hint)


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
