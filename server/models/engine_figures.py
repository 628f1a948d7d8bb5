"""What running model servers count themselves: asked all at once, and for a bounded time.

Rules:

1. Only servers that are up are asked; nothing is started, and nobody waits for a start.
2. One that is slow, broken or too talkative is left out, and that is told of it.
3. Those who ask while others are asking get the same answer: many scrapers are not more work
   for the model servers than one.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from server.core.errors import SidestreamError
from server.dialects.base import Upstream

# A fifth of what Prometheus gives a scrape by default.
TIMEOUT_SECONDS: Final = 2.0
# TGI's are some 60 KB, with a hundred buckets for each length.
MAX_BYTES: Final = 1 << 20


class EngineFigures:
    """Ask all servers that are up for their figures."""

    def __init__(
        self,
        upstreams: Callable[[], Mapping[str, Upstream]],
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._upstreams = upstreams
        self._timeout_seconds = timeout_seconds
        self._asking: asyncio.Task[dict[str, str | None]] | None = None

    async def ask(self) -> dict[str, str | None]:
        """Return the text of each server that is up, by its model's id; None where none came."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_all(), name="engine figures")
        # Who goes away leaves the question to the others.
        return await asyncio.shield(self._asking)

    async def close(self) -> None:
        """Ask no more."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])

    async def _ask_all(self) -> dict[str, str | None]:
        upstreams = self._upstreams()
        texts = await asyncio.gather(*map(self._ask_one, upstreams.values()))
        return dict(zip(upstreams, texts, strict=True))

    async def _ask_one(self, upstream: Upstream) -> str | None:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await upstream.metrics(max_bytes=MAX_BYTES)
        except (SidestreamError, TimeoutError):
            return None
