"""Probe a model server until it is ready: connect, check its health, ask for its description.

A remote server is known only by its answers. If it answers that it is not ready yet (for example, a
proxy that wakes a sleeping server), it is probed again. Any other answer is shown as an error. If
nothing listens at its address, probing stops until the next request.
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
# In a third of a second; a connection to a living server may break, too.
_LOSSES_UNTIL_GIVEN_UP: Final = 3
# Servers give answers of the wrong form while they load, but not for longer than this.
_PATIENCE_SECONDS: Final = 30.0


class ReadinessProbe:
    """Probe one server until it is ready.

    `asks_why` also asks an unhealthy server for the reason; `gives_up` stops probing if nothing
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
        """Return the server's message that it is not ready yet; empty if there is none."""
        return self._why_not.message if isinstance(self._why_not, EngineOverloaded) else ""

    @property
    def message(self) -> str:
        """Return the last message of a server that answers; empty if there is none."""
        is_silent = isinstance(self._why_not, EngineLost | EngineTimeout)
        return "" if self._why_not is None or is_silent else self._why_not.message

    @property
    def is_given_up(self) -> bool:
        """Tell whether nothing listens at the address of a remote server."""
        return self._gives_up and self._losses >= _LOSSES_UNTIL_GIVEN_UP

    async def probe(self, endpoint: Endpoint) -> tuple[Upstream, EngineInfo] | None:
        """Return the server's upstream and its description of its model; None if it is not ready.

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
        """Record an unusable answer; raise it once it has been tolerated for long enough."""
        now = asyncio.get_running_loop().time()
        if self._useless_since is None:
            self._useless_since = now
        if not self._is_patient or now - self._useless_since > _PATIENCE_SECONDS:
            raise error
        self._why_not = error

    async def described(self, model: str) -> EngineInfo | None:
        """Return the server's current description of a model; None if none comes in time."""
        if self.upstream is None:
            return None
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_SECONDS):
                return await self.upstream.describe(model)
        except (SidestreamError, TimeoutError) as error:
            # The last description stays in force; health is checked elsewhere.
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
