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


# Servers that list or answer something before they have loaded do so for less than this.
_PATIENCE_SECONDS: Final = 30.0


class Approach:
    """Look at one server until it is well.

    `asks_why` also asks one that is not for the reason; `gives_up` where nobody listens;
    `is_patient` looks again at one that gives an answer which is of no use.
    """

    def __init__(
        self, connect: Connect, *, asks_why: bool, gives_up: bool, is_patient: bool
    ) -> None:
        self._connect = connect
        self._asks_why = asks_why
        self._gives_up = gives_up
        self._is_patient = is_patient
        self._why_not: SidestreamError | None = None
        self._useless_since: float | None = None
        self._losses = 0
        self.upstream: Upstream | None = None

    @property
    def is_to_be_waited_for(self) -> str:
        """Return the words in which the server says that it is not ready yet, or nothing."""
        return self._why_not.message if isinstance(self._why_not, EngineOverloaded) else ""

    @property
    def words(self) -> str:
        """Return what a server that answers says of itself, or nothing."""
        is_silent = isinstance(self._why_not, EngineLost | EngineTimeout)
        return "" if self._why_not is None or is_silent else self._why_not.message

    @property
    def is_given_up(self) -> bool:
        """Tell whether nobody listens there whom we could not have started."""
        return self._gives_up and self._losses >= _LOSSES_UNTIL_GIVEN_UP

    async def ready(self, endpoint: Endpoint) -> tuple[Upstream, EngineInfo] | None:
        """Return how to speak to the server and what it says of its model; None if it is not well.

        Raises `EngineError` for an answer that no model server gives.
        """
        upstream = await self._well(endpoint)
        if upstream is None:
            return None
        try:
            return upstream, await upstream.describe(endpoint.model)
        except SidestreamError as error:
            self._bear(error)
            return None

    async def _well(self, endpoint: Endpoint) -> Upstream | None:
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
            self._useless_since = None
        except TimeoutError:
            self._why_not = EngineTimeout("the server does not answer in time")
        except SidestreamError as error:
            if self.upstream is None:
                self._bear(error)
            self._why_not = error
        return None

    def _bear(self, error: SidestreamError) -> None:
        """Take note of an answer that is of no use; raises it where there is no patience left."""
        now = asyncio.get_running_loop().time()
        if self._useless_since is None:
            self._useless_since = now
        if not self._is_patient or now - self._useless_since > _PATIENCE_SECONDS:
            raise error
        self._why_not = error

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
