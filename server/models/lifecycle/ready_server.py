"""A server that is ready: its upstream, its descriptions of itself and its models, its lease."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field
from typing import Final, Protocol

from server.core.errors import EngineLost, EngineTimeout, ModelFailed, SidestreamError
from server.dialects.base import ANY_MODEL, EngineInfo, Upstream
from server.models.catalogue.catalog import ModelSpec

_DESCRIBE_SECONDS: Final = 30.0

CauseOfLoss = Callable[[Upstream], Awaitable[SidestreamError | None]]
"""Return why the server behind an upstream was lost; None if it was not."""


class ModelInfos:
    """A server's descriptions of its models, by the server's own names.

    The server is asked for a description when the model is used, and again after a change; until
    then the last one stays visible.
    """

    def __init__(self) -> None:
        self._infos: dict[str, EngineInfo] = {}
        self._outdated: set[str] = set()
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def get(self, model: str) -> EngineInfo | None:
        """Return the last description of a model, None if there is none."""
        return self._infos.get(model)

    def outdate(self, model: str) -> None:
        """Ask for the description of a model again when it is next used."""
        self._outdated.add(model)

    async def ask(self, upstream: Upstream, model: str) -> EngineInfo:
        """Return the server's description of a model; concurrent callers share one request.

        Raises `EngineError`.
        """
        async with self._locks[model]:
            if model not in self._infos or model in self._outdated:
                self._infos[model] = await _described(upstream, model)
                self._outdated.discard(model)
            return self._infos[model]


@dataclass(frozen=True)
class ReadyServer:
    """A server that is ready: its upstream and its description."""

    upstream: Upstream
    info: EngineInfo
    spec: ModelSpec
    was_outdated: bool
    """Whether it was found running with other settings than those in force at that time."""
    infos: ModelInfos = field(default_factory=ModelInfos)

    async def describe(self, model: str, cause_of_loss: CauseOfLoss) -> EngineInfo:
        """Return the server's description of a model; concurrent callers share one request.

        Raises `EngineError`, `ModelFailed` for the server as a whole, or, if the connection broke,
        the error that `cause_of_loss` returns.
        """
        if self.spec.settings.model_id != ANY_MODEL:
            return self.info
        if model == ANY_MODEL:
            raise ModelFailed(f"no model of {self.spec.name} is known that could be asked")
        try:
            return await self.infos.ask(self.upstream, model)
        except EngineLost as lost:
            raise await cause_of_loss(self.upstream) or lost from None

    def is_outdated_by(self, spec: ModelSpec) -> bool:
        """Tell whether the server runs with other settings than those of `spec`."""
        return self.was_outdated or self.spec.server_settings != spec.server_settings


class Replicas(Protocol):
    """The replicas of a model that answers are divided among; see `ReplicaChoice`."""

    @property
    def is_single(self) -> bool:
        """Tell whether there is one replica only."""

    def capacity(self, model: ModelSpec) -> int | None:
        """Return how many answers the ready replicas write at once, None for any number."""

    def choose(
        self, lease: "Lease", *, tried: Collection[int] = (), prefix: str = ""
    ) -> AbstractAsyncContextManager["Lease"]:
        """Choose the replica for one answer."""

    def has_other(self, tried: Collection[int]) -> bool:
        """Tell whether there is a replica that is ready and not in `tried`."""

    def doubt(self, lease: "Lease") -> None:
        """Have the replica of a lost answer asked for nothing until it was checked."""


@dataclass(frozen=True)
class Lease:
    """The right to use a model server that is ready, for as long as the lease is held."""

    upstream: Upstream
    info: EngineInfo
    waits: Callable[[], AbstractContextManager[None]]
    """Count the holder as waiting instead of answering while the context lasts."""
    server_cause: CauseOfLoss
    replicas: Replicas
    replica: int = 1
    """The number of the server among its model's replicas."""

    async def cause_of_loss(self) -> SidestreamError | None:
        """Return why the server was lost; None if it was not."""
        return await self.server_cause(self.upstream)


async def _described(upstream: Upstream, model: str) -> EngineInfo:
    try:
        async with asyncio.timeout(_DESCRIBE_SECONDS):
            return await upstream.describe(model)
    except TimeoutError:
        raise EngineTimeout(f"the model server does not describe {model} in time") from None
