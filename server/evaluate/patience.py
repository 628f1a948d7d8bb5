"""How long a gateway is waited for that was there, and is away: restarted, or killed."""

import asyncio
from collections.abc import Callable
from typing import Final

from server.evaluate.refused import Refused

# A gateway that is restarted is back by then.
PATIENCE_SECONDS: Final = 120.0
_PAUSE_SECONDS: Final = 1.0


class Patience:
    """Wait between attempts, and `say` once that the gateway is away."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._away_since: float | None = None
        self._is_told = False

    def met(self) -> None:
        """Note that the gateway was there."""
        self._away_since, self._is_told = None, False

    async def wait(self, why: str) -> None:
        """Wait before the next attempt; raises `Refused` with `why` once it was long enough."""
        now = asyncio.get_running_loop().time()
        if self._away_since is None:
            # Connections break at times: only the second attempt tells that it is away.
            self._away_since = now
        elif not self._is_told:
            self._is_told = True
            self._say("the gateway is away, waiting…")
        if now - self._away_since > PATIENCE_SECONDS:
            raise Refused(why)
        await asyncio.sleep(_PAUSE_SECONDS)
