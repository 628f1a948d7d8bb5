"""Use model servers that somebody else runs: nothing is started or stopped.

The lifecycle checks whether a server answers; the runner only knows its address.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import ClassVar

from server.core.protocol import Progress
from server.dialects.base import Endpoint
from server.models.catalogue.catalog import ModelSpec
from server.models.logbook import LogLine
from server.models.runners.base import Condition, Observation, Replica, Report
from server.models.runners.endpoints import described_endpoint
from server.settings.addresses import resolve_address


class RemoteRunner:
    """Return the addresses of remote servers from the settings."""

    is_managed: ClassVar[bool] = False
    outlives_us: ClassVar[bool] = True
    lockout: None = None
    loss_seconds: ClassVar[float] = 0.0

    def __init__(self, hub_cache: str = "") -> None:
        """`hub_cache` is the hub's cache on this machine, which servers here read, too."""
        self._hub_cache = hub_cache
        self._endpoints: dict[Replica, Endpoint] = {}

    async def start(self, replica: Replica, spec: ModelSpec, report: Report) -> Endpoint:
        """Return the endpoint from the settings; raises what `read_template` raises."""
        address = resolve_address(spec.settings.url)
        endpoint = await described_endpoint(address, spec.settings, hub_cache=self._hub_cache)
        self._endpoints[replica] = endpoint
        return endpoint

    async def stop(self, replica: Replica, *, grace_seconds: float) -> None:
        """Forget the address; the server goes on."""
        self._endpoints.pop(replica, None)

    async def inspect(self, replica: Replica) -> Observation:
        """Report a server in use as UNKNOWN, because its process cannot be observed."""
        endpoint = self._endpoints.get(replica)
        condition = Condition.MISSING if endpoint is None else Condition.UNKNOWN
        return Observation(replica, condition, endpoint)

    async def wait(self, replica: Replica) -> Observation:
        """Wait until the address is forgotten, because the server's end cannot be observed."""
        if replica in self._endpoints:
            await asyncio.get_running_loop().create_future()
        return await self.inspect(replica)

    async def list(self) -> list[Observation]:
        """Report the addresses in use."""
        return [await self.inspect(replica) for replica in list(self._endpoints)]

    async def logs(self, replica: Replica, *, tail: int, follow: bool) -> AsyncIterator[LogLine]:
        """Yield nothing, because the log cannot be read."""
        nothing: tuple[LogLine, ...] = ()
        for line in nothing:
            yield line

    async def progress(self, replica: Replica, spec: ModelSpec) -> AsyncIterator[Progress]:
        """Yield nothing, because nothing is started."""
        nothing: tuple[Progress, ...] = ()
        for seen in nothing:
            yield seen

    async def close(self) -> None:
        """Forget all addresses."""
        self._endpoints.clear()
