"""What a server with many models says of each: asked when one is used, and again after a change.

What was said before a change stays to be seen until it is asked for again.
"""

import asyncio
from collections import defaultdict
from typing import Final

from server.core.errors import EngineTimeout
from server.dialects.base import EngineInfo, Upstream

_ASK_SECONDS: Final = 30.0


class Infos:
    """Hold what was said, by the server's own names of its models."""

    def __init__(self) -> None:
        self._infos: dict[str, EngineInfo] = {}
        self._outdated: set[str] = set()
        self._asking: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def get(self, model: str) -> EngineInfo | None:
        """Return what was last said of a model, None if it was never asked for."""
        return self._infos.get(model)

    def outdate(self, model: str) -> None:
        """Have a model asked for again when it is next used."""
        self._outdated.add(model)

    async def ask(self, upstream: Upstream, model: str) -> EngineInfo:
        """Return what the server says of a model; those who ask at once ask it once.

        Raises `EngineError`.
        """
        async with self._asking[model]:
            if model not in self._infos or model in self._outdated:
                self._infos[model] = await _described(upstream, model)
                self._outdated.discard(model)
            return self._infos[model]


async def _described(upstream: Upstream, model: str) -> EngineInfo:
    try:
        async with asyncio.timeout(_ASK_SECONDS):
            return await upstream.describe(model)
    except TimeoutError:
        raise EngineTimeout(f"the model server does not describe {model} in time") from None
