"""The way to a model server: connect as soon as it answers, and know what it says until it is well.

A server that nobody starts here gives only its answers to go by. One that says that it is not
ready, as those do that sleep while nobody asks, is waited for; every other answer says why the
server is of no use. Where nobody listens, nobody is waited for: whoever asks next looks again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from server.core.errors import (
    EngineError,
    EngineLost,
    EngineOverloaded,
    EngineTimeout,
    ModelFailed,
    SidestreamError,
)
from server.dialects.base import Endpoint, EngineInfo, Upstream

logger = logging.getLogger(__name__)

Connect = Callable[[Endpoint], Awaitable[Upstream]]
"""How an upstream comes from an endpoint: it may take asking the server how it is spoken to.

Raises `EngineLost` or `EngineTimeout` while nobody answers, `EngineOverloaded` while the server
does not serve yet, another `EngineError` for an answer that no model server gives.
"""

_PROBE_TIMEOUT_SECONDS: Final = 5.0
# A third of a second: a connection may also break at a server that lives.
_LOSSES_UNTIL_GIVEN_UP: Final = 3


class Approach:
    """Look at one server until it is well; `asks_why` also asks one that is not for the reason."""

    def __init__(self, connect: Connect, *, asks_why: bool) -> None:
        self._connect = connect
        self._asks_why = asks_why
        self._why_not: SidestreamError | None = None
        self._losses = 0
        self.upstream: Upstream | None = None

    @property
    def is_to_be_waited_for(self) -> str:
        """Return the words in which the server says that it is not ready yet, or nothing."""
        return self._why_not.message if isinstance(self._why_not, EngineOverloaded) else ""

    @property
    def is_given_up(self) -> bool:
        """Tell whether nobody listens there whom we could not have started."""
        return self._asks_why and self._losses >= _LOSSES_UNTIL_GIVEN_UP

    async def well(self, endpoint: Endpoint) -> Upstream | None:
        """Return how to speak to the server if it is well, None if it is not.

        Raises `EngineError` for an answer that no model server gives.
        """
        try:
            if self.upstream is None:
                self.upstream = await self._connect(endpoint)
            if await self.upstream.is_healthy(timeout_seconds=_PROBE_TIMEOUT_SECONDS):
                return self.upstream
            if self._asks_why:
                async with asyncio.timeout(_PROBE_TIMEOUT_SECONDS):
                    await self.upstream.models()
                self._why_not = EngineError("it answers, and says that it is not well")
        except (EngineLost, EngineTimeout, EngineOverloaded) as error:
            self._why_not = error
            self._losses = self._losses + 1 if isinstance(error, EngineLost) else 0
        except TimeoutError:
            self._why_not = EngineTimeout("the server does not answer in time")
        except SidestreamError as error:
            if self.upstream is None:
                raise
            self._why_not = error
        return None

    async def described(self, model: str) -> EngineInfo | None:
        """Return what the server says of a model now, None if it does not say it in time."""
        if self.upstream is None:
            return None
        try:
            async with asyncio.timeout(_PROBE_TIMEOUT_SECONDS):
                return await self.upstream.describe(model)
        except (SidestreamError, TimeoutError) as error:
            # What was known stays; whether the server is well is another question.
            logger.debug("a server does not describe its model: %s", error)
            return None

    def in_vain(self, url: str) -> ModelFailed:
        """Return the error for a server that was not well in time."""
        why = self._why_not
        # That nobody listens there is said already.
        reason = "" if why is None or isinstance(why, EngineLost) else f": {why.message}"
        hint = None if why is None else why.hint
        return ModelFailed(
            f"no model server answers at {url}{reason}",
            hint=hint or "start it, or mend `url` in the model's section",
        )

    async def close(self) -> None:
        """Let go of the connections to the server."""
        if self.upstream is not None:
            await self.upstream.close()
