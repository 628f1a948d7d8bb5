"""Use a model server that somebody else runs: nothing is started, nothing is stopped.

Whether it answers is the lifecycle's question, put to its health route; the runner only
knows where it is.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import ClassVar

from server.core.protocol import Progress
from server.dialects.base import Endpoint
from server.models.catalog import ModelSpec
from server.models.runners.base import Condition, LogLine, Observation, Replica, Report
from server.models.runners.conversing import read_template
from server.settings import is_this_machine, resolve_address


class RemoteRunner:
    """Point at servers by the address in their settings."""

    is_managed: ClassVar[bool] = False
    outlives_us: ClassVar[bool] = True

    def __init__(self, hub_cache: str = "") -> None:
        """`hub_cache` is the hub's folder on this machine, which servers here read too."""
        self._hub_cache = hub_cache
        self._endpoints: dict[Replica, Endpoint] = {}

    async def start(self, replica: Replica, spec: ModelSpec, report: Report) -> Endpoint:
        """Return the address from the settings; raises `ModelFailed` for a template's file."""
        said = spec.settings
        address = resolve_address(said.url)
        endpoint = Endpoint(
            address.url,
            address.api,
            api_key=said.api_key,
            dialect=said.dialect,
            flavour=said.flavour,
            model=said.model_id,
            headers=tuple(said.headers.items()),
            ca_file=said.ca_file,
            chat_template=await read_template(said.chat_template),
            hub_cache=self._hub_cache if is_this_machine(address.url) else "",
            flags=said.flags,
        )
        self._endpoints[replica] = endpoint
        return endpoint

    async def stop(self, replica: Replica, *, grace_seconds: float) -> None:
        """Forget the address; the server goes on."""
        self._endpoints.pop(replica, None)

    async def inspect(self, replica: Replica) -> Observation:
        """Report a server in use as UNKNOWN: we cannot see its process."""
        endpoint = self._endpoints.get(replica)
        condition = Condition.MISSING if endpoint is None else Condition.UNKNOWN
        return Observation(replica, condition, endpoint)

    async def wait(self, replica: Replica) -> Observation:
        """Wait for an end we could not see: for ever, unless the address is forgotten."""
        if replica in self._endpoints:
            await asyncio.get_running_loop().create_future()
        return await self.inspect(replica)

    async def list(self) -> list[Observation]:
        """Report the addresses in use."""
        return [await self.inspect(replica) for replica in list(self._endpoints)]

    async def logs(self, replica: Replica, *, tail: int, follow: bool) -> AsyncIterator[LogLine]:
        """Give nothing: the log is the other side's."""
        nothing: tuple[LogLine, ...] = ()
        for line in nothing:
            yield line

    async def progress(self, replica: Replica, spec: ModelSpec) -> AsyncIterator[Progress]:
        """Give nothing: nothing is started."""
        nothing: tuple[Progress, ...] = ()
        for seen in nothing:
            yield seen

    async def close(self) -> None:
        """Forget all addresses."""
        self._endpoints.clear()
