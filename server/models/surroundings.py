"""The seam between one model server's lifecycle and all the others."""

from typing import Protocol

from server.models.catalog import ModelSpec
from server.models.runners.base import Report


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
