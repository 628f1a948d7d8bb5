"""Probe a model server until it is ready: connect, check its health, have it describe its model.

Of a server that is not started by us only its answers are known. One that says that it is not
ready yet (a proxy that wakes a sleeping server, for example) is waited for. Any other answer is an
error to show. Where nothing listens, nothing is waited for: the next request probes again.
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
"""Make an upstream for an endpoint, which may include asking the server for its dialect.

Raises `EngineLost` or `EngineTimeout` while nothing answers, `EngineOverloaded` while the server
does not serve yet, another `EngineError` for an answer that no model server gives.
"""

PROBE_TIMEOUT_SECONDS: Final = 5.0
# A third of a second: a connection may also break at a server that lives.
_LOSSES_UNTIL_GIVEN_UP: Final = 3
# Servers that answer before they have loaded do so for less than this.
_PATIENCE_SECONDS: Final = 30.0


class ReadinessProbe:
    """Probe one server until it is ready.

    `asks_why` also asks an unhealthy server for the reason; `gives_up` stops probing where nothing
    listens; `is_patient` probes again after an answer that no model server gives.
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
    def not_ready_message(self) -> str:
        """Return the words in which the server says that it is not ready yet, or nothing."""
        return self._why_not.message if isinstance(self._why_not, EngineOverloaded) else ""

    @property
    def message(self) -> str:
        """Return what a server that answers says of itself, or nothing."""
        is_silent = isinstance(self._why_not, EngineLost | EngineTimeout)
        return "" if self._why_not is None or is_silent else self._why_not.message

    @property
    def is_given_up(self) -> bool:
        """Tell whether nothing listens at the address of a server that we do not start."""
        return self._gives_up and self._losses >= _LOSSES_UNTIL_GIVEN_UP

    async def probe(self, endpoint: Endpoint) -> tuple[Upstream, EngineInfo] | None:
        """Return how to speak to the server and what it says of its model; None if not ready.

        Raises `EngineError` for an answer that no model server gives.
        """
        upstream = await self._healthy_upstream(endpoint)
        if upstream is None:
            return None
        try:
            return upstream, await upstream.describe(endpoint.model)
        except SidestreamError as error:
            self._tolerate(error)
            return None

    async def _healthy_upstream(self, endpoint: Endpoint) -> Upstream | None:
        try:
            if self.upstream is None:
                self.upstream = await self._connect(endpoint)
            if await self.upstream.is_healthy(timeout_seconds=PROBE_TIMEOUT_SECONDS):
                return self.upstream
            if self._asks_why:
                async with asyncio.timeout(PROBE_TIMEOUT_SECONDS):
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
                self._tolerate(error)
            self._why_not = error
        return None

    def _tolerate(self, error: SidestreamError) -> None:
        """Remember an answer that is of no use; raise it once patience has run out."""
        now = asyncio.get_running_loop().time()
        if self._useless_since is None:
            self._useless_since = now
        if not self._is_patient or now - self._useless_since > _PATIENCE_SECONDS:
            raise error
        self._why_not = error

    async def described(self, model: str) -> EngineInfo | None:
        """Return what the server says of a model now, None if it gives no answer in time."""
        if self.upstream is None:
            return None
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_SECONDS):
                return await self.upstream.describe(model)
        except (SidestreamError, TimeoutError) as error:
            # The last answer stands; health is checked elsewhere.
            logger.debug("a server does not describe its model: %s", error)
            return None

    def failure(self, url: str) -> ModelFailed:
        """Return the error for a server that was not ready in time."""
        if self.message:
            said = f"what answers at {url} cannot be used: {self.message}"
            mend = "see what its own log says"
        else:
            is_slow = isinstance(self._why_not, EngineTimeout)
            said = f"no model server answers at {url}" + (" in time" if is_slow else "")
            mend = "see whether it runs" if is_slow else "start it"
        hint = None if self._why_not is None else self._why_not.hint
        return ModelFailed(said, hint=hint or f"{mend}, or mend `url` in the model's section")

    async def close(self) -> None:
        """Close the connections to the server."""
        if self.upstream is not None:
            await self.upstream.close()
