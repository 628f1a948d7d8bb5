"""All deployments: who may use which, and what is to be seen of them."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from server.core.errors import InvalidCommand, SidestreamError
from server.core.protocol import Model
from server.models.catalog import Catalog, ModelSpec
from server.models.deployment import Connect, Deployment, Limits
from server.models.runners.base import Replica, Runner
from server.models.upstreams.base import EngineInfo, Upstream

Subscriber = Callable[[Model], None]


@dataclass(frozen=True)
class Lease:
    """The right to use a model server that is ready, for as long as the lease is held."""

    upstream: Upstream
    info: EngineInfo
    _deployment: Deployment

    async def cause_of_loss(self) -> SidestreamError | None:
        """Return why the server went away, if it did."""
        return await self._deployment.cause_of_loss(self.upstream)


class Fleet:
    """Hold one deployment per model server and tell subscribers of every change."""

    def __init__(
        self,
        catalog: Catalog,
        runners: Mapping[str, Runner],
        connect: Connect,
        limits: Mapping[str, Limits],
        *,
        instance: str,
    ) -> None:
        self._catalog = catalog
        self._runners = runners
        self._subscribers: list[Subscriber] = []
        self._running: Counter[str] = Counter()
        self._waiting: Counter[str] = Counter()
        self._deployments = {
            spec.id: Deployment(
                spec,
                Replica(instance, spec.id),
                runners[spec.runner],
                connect,
                limits[spec.runner],
                lambda root=spec.id: self._tell(root),  # type: ignore[misc]
            )
            for spec in catalog
            if not spec.is_preset
        }

    # --- using ------------------------------------------------------------------------------

    @asynccontextmanager
    async def lease(self, model_id: str) -> AsyncIterator[Lease]:
        """Start the model's server if need be and hold it while the context lasts.

        Raises `UnknownModel`, and `ModelFailed` when the server cannot be had.
        """
        deployment = self._deployment(model_id)
        with self._counted(self._waiting, model_id):
            upstream = await deployment.ensure_ready()
        with self._counted(self._running, model_id):
            yield Lease(upstream, deployment.status.info or EngineInfo(), deployment)

    def start(self, model_id: str) -> Model:
        """Have the model's server started; progress follows as changes."""
        self._deployment(model_id).want()
        return self.snapshot(model_id)

    def stop(self, model_id: str) -> Model:
        """Have the model's server stopped; raises `InvalidCommand` if it is not ours to stop."""
        deployment = self._deployment(model_id)
        if not deployment.is_managed:
            raise InvalidCommand(f"{model_id} is run by somebody else and cannot be stopped here")
        deployment.unwant()
        return self.snapshot(model_id)

    async def close(self) -> None:
        """Stop every server and let go of the runners."""
        await asyncio.gather(*(d.close() for d in self._deployments.values()))
        await asyncio.gather(*(runner.close() for runner in self._runners.values()))

    # --- watching ---------------------------------------------------------------------------

    def snapshot(self, model_id: str) -> Model:
        """Return the model as clients see it now."""
        spec = self._catalog.get(model_id)
        status = self._deployment(model_id).status
        info = status.info or EngineInfo()
        return Model(
            id=spec.id,
            name=spec.name,
            description=spec.description,
            runner=spec.runner,
            engine=spec.engine,
            state=status.state,
            progress=status.progress,
            error=status.error,
            running=self._running[model_id],
            waiting=self._waiting[model_id],
            limits={
                "max_input_tokens": info.max_input_tokens,
                "max_total_tokens": info.max_total_tokens,
                "max_concurrent": info.max_concurrent_requests,
            },
            capabilities={"chat": info.has_chat_template, "cancel": True, "logprobs": True},
            parameters=dict(spec.parameters),
        )

    def snapshots(self) -> list[Model]:
        """Return all models in the order of the catalogue."""
        return [self.snapshot(spec.id) for spec in self._catalog]

    def spec(self, model_id: str) -> ModelSpec:
        """Return the model's description; raises `UnknownModel`."""
        return self._catalog.get(model_id)

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Have `subscriber` told of every change; returns the way to end that."""
        self._subscribers.append(subscriber)
        return lambda: self._subscribers.remove(subscriber)

    # --- inside -----------------------------------------------------------------------------

    def _deployment(self, model_id: str) -> Deployment:
        return self._deployments[self._catalog.root_of(model_id).id]

    def _tell(self, root_id: str) -> None:
        for spec in self._catalog.served_by(root_id):
            self._tell_one(spec.id)

    def _tell_one(self, model_id: str) -> None:
        if self._subscribers:
            model = self.snapshot(model_id)
            for subscriber in self._subscribers:
                subscriber(model)

    @contextmanager
    def _counted(self, counter: Counter[str], model_id: str) -> Iterator[None]:
        counter[model_id] += 1
        self._tell_one(model_id)
        try:
            yield
        finally:
            counter[model_id] -= 1
            self._tell_one(model_id)
