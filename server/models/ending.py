"""Take a model server down: as long as it takes, or once where nobody waits for it."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from server.core.errors import SidestreamError
from server.models.runners.base import Replica, Runner
from server.models.surroundings import as_ours

logger = logging.getLogger(__name__)

# An engine that cannot stop a server just now may be able to a little later.
_STOP_RETRY_SECONDS: Final = 5.0


@dataclass(frozen=True)
class Ending:
    """Stop one replica's server, which has `grace_seconds` for it."""

    runner: Runner
    replica: Replica
    grace_seconds: float

    async def until_gone(self, on_trouble: Callable[[SidestreamError], None]) -> None:
        """Stop the server, again and again until that succeeds; `on_trouble` is told why not."""
        while True:
            try:
                await self.runner.stop(self.replica, grace_seconds=self.grace_seconds)
                return
            except Exception as error:
                is_known = isinstance(error, SidestreamError)
                logger.warning(
                    "%s cannot be stopped: %s", self.replica.model, error, exc_info=not is_known
                )
                on_trouble(as_ours(error))
                await asyncio.sleep(_STOP_RETRY_SECONDS)

    async def once(self) -> None:
        """Stop the server, or leave it as it is."""
        try:
            await self.runner.stop(self.replica, grace_seconds=self.grace_seconds)
        except SidestreamError as error:
            logger.warning("%s is left as it is: %s", self.replica.model, error)
