"""Metrics of model servers: our own counters, and those that the servers expose.

Rules for asking:

1. Only servers that are up are asked; nothing is started or waited for.
2. All servers are asked at once, with a timeout. A server that is slow, fails or answers too much
   is reported without a text.
3. Concurrent callers share one request, so that many scrapers cause no more load than one.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from server.core.errors import SidestreamError
from server.core.histogram import Histogram
from server.dialects.base import Upstream

# From a small model that is already downloaded to a large one that is not.
START_BOUNDS: Final = (0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0)
# A fifth of Prometheus' default timeout of a scrape.
TIMEOUT_SECONDS: Final = 2.0
# TGI's metrics take some 60 KB, with a hundred buckets for each length.
MAX_BYTES: Final = 1 << 20


@dataclass
class StartCounters:
    """Count the starts of one model server, and measure those that succeed."""

    starts: int = 0
    seconds: Histogram = field(default_factory=lambda: Histogram(START_BOUNDS))


class ServerKey(NamedTuple):
    """A model server: its model's id, and its replica's number, empty where there is one only."""

    model: str
    replica: str


class EngineMetrics:
    """Ask all servers that are up for their metrics."""

    def __init__(
        self,
        upstreams: Callable[[], Mapping[ServerKey, Upstream]],
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._upstreams = upstreams
        self._timeout_seconds = timeout_seconds
        self._asking: asyncio.Task[dict[ServerKey, str | None]] | None = None

    async def ask(self) -> dict[ServerKey, str | None]:
        """Return the metrics of each server that is up; None for one that sent none."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_all(), name="engine metrics")
        # Cancelling one caller does not cancel the request of the others.
        return await asyncio.shield(self._asking)

    async def close(self) -> None:
        """Cancel a request that is under way."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])

    async def _ask_all(self) -> dict[ServerKey, str | None]:
        upstreams = self._upstreams()
        texts = await asyncio.gather(*map(self._ask_one, upstreams.values()))
        return dict(zip(upstreams, texts, strict=True))

    async def _ask_one(self, upstream: Upstream) -> str | None:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await upstream.metrics(max_bytes=MAX_BYTES)
        except (SidestreamError, TimeoutError):
            return None
