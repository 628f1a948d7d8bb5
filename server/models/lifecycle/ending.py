"""Stop a model server: with retries until it is gone, or once."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from server.core.errors import SidestreamError
from server.models.lifecycle.state import as_sidestream_error
from server.models.runners.base import Replica, Runner

logger = logging.getLogger(__name__)

# An engine that cannot stop a server now may succeed a little later.
_STOP_RETRY_SECONDS: Final = 5.0


@dataclass(frozen=True)
class Ending:
    """Stop one replica's server within `grace_seconds()`."""

    runner: Runner
    replica: Replica
    grace_seconds: Callable[[], float]

    async def until_gone(self, on_trouble: Callable[[SidestreamError], None]) -> None:
        """Stop the server, retrying until that succeeds; `on_trouble` is called with each error."""
        while True:
            try:
                await self.runner.stop(self.replica, grace_seconds=self.grace_seconds())
                return
            except Exception as error:
                is_known = isinstance(error, SidestreamError)
                logger.warning(
                    "%s cannot be stopped: %s", self.replica.model, error, exc_info=not is_known
                )
                on_trouble(as_sidestream_error(error))
                await asyncio.sleep(_STOP_RETRY_SECONDS)

    async def once(self) -> None:
        """Try once to stop the server; log an error."""
        try:
            await self.runner.stop(self.replica, grace_seconds=self.grace_seconds())
        except SidestreamError as error:
            logger.warning("%s is left as it is: %s", self.replica.model, error)
