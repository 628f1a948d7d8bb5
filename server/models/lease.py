"""The right to use a model server."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from server.core.errors import SidestreamError
from server.dialects.base import EngineInfo, Upstream
from server.models.deployment import Deployment


@dataclass(frozen=True)
class Lease:
    """The right to use a model server that is ready, for as long as the lease is held."""

    upstream: Upstream
    info: EngineInfo
    waits: Callable[[], AbstractContextManager[None]]
    """Count as one who waits, not as one who is answered, while the context lasts."""
    _deployment: Deployment

    async def cause_of_loss(self) -> SidestreamError | None:
        """Return why the server went away, if it did."""
        return await self._deployment.cause_of_loss(self.upstream)
