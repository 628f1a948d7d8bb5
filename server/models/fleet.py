"""All model servers: who may use which, what is to be seen of them, who gives way to whom."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from server.core.errors import InvalidCommand, SidestreamError
from server.core.placement import Capacity, Occupant
from server.core.protocol import Model
from server.dialects.base import EngineInfo, Upstream
from server.models.announcer import Announcer, ListSubscriber, Subscriber
from server.models.attempt import Connect, Limits
from server.models.catalog import Catalog, ModelSpec
from server.models.deployment import Deployment
from server.models.deployments import Deployments
from server.models.engine_figures import EngineFigures
from server.models.logbook import LogBook
from server.models.room import Room
from server.models.runners.base import Report, Runner
from server.models.usage import Usage


@dataclass(frozen=True)
class Lease:
    """The right to use a model server that is ready, for as long as the lease is held."""

    upstream: Upstream
    info: EngineInfo
    waits: Callable[[], AbstractContextManager[None]]
    """Count as one who waits, not as one who is answered, while the context lasts."""
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
        capacity: Capacity,
    ) -> None:
        self._catalog = catalog
        self._runners = runners
        self._announcer = Announcer(self.snapshot)
        self._engine_figures = EngineFigures(self._upstreams)
        self._idle_timers: dict[str, asyncio.TimerHandle] = {}
        self._usage = Usage(self._on_use)
        self._room = Room(capacity, self._occupant, lambda root: self._deployments[root].unwant())
        self._deployments = Deployments(runners, connect, limits, self, instance=instance)
        self._deployments.apply(catalog)

    # --- using ------------------------------------------------------------------------------

    @asynccontextmanager
    async def lease(self, model_id: str) -> AsyncIterator[Lease]:
        """Start the model's server if need be and hold it while the context lasts.

        Raises `UnknownModel`, and `ModelFailed` when the server cannot be had.
        """
        spec, deployment = self._catalog.get(model_id), self._deployment(model_id)
        with self._usage.wait(spec):
            ready = await deployment.ensure_ready()
        with self._usage.run(spec):
            pause = partial(self._usage.pause, spec)
            yield Lease(ready.upstream, ready.info, pause, deployment)

    def is_ready(self, model_id: str) -> bool:
        """Tell whether the model's server is up; raises `UnknownModel`."""
        return self._deployment(model_id).status.state == "ready"

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

    def use(self, server: str) -> None:
        """Use a server that was found on this machine; raises `InvalidCommand` for any other."""
        raise InvalidCommand(f"no server {server[:80]!r} was found on this machine")

    def log(self, model_id: str) -> LogBook:
        """Return the log of the model's server; raises `UnknownModel`."""
        return self._deployment(model_id).log

    def close_logs(self) -> None:
        """Have those who follow a log come to its end."""
        for deployment in self._deployments:
            deployment.log.close()

    def change(self, catalog: Catalog) -> None:
        """Go by another catalogue from now on.

        Servers of models that are gone are drained and stopped; those whose settings have changed
        run on until they are next stopped. A model keeps its kind of runner.
        """
        known = {spec.id for spec in self._catalog}
        self._catalog = catalog
        self._deployments.apply(catalog)
        self._announcer.tell_all(self.snapshots())
        for spec in catalog:
            if spec.id not in known and spec.settings.preload and not spec.is_preset:
                self._deployments[spec.id].want()

    async def adopt(self) -> None:
        """Take over the servers of an earlier run; see `Deployments.adopt`."""
        await self._deployments.adopt(self._room.admit)

    async def close(self, *, keeps_servers: bool) -> None:
        """End every lifecycle and let go of the runners; servers that can go on may be kept."""
        for timer in self._idle_timers.values():
            timer.cancel()
        await self._engine_figures.close()
        await self._deployments.close(keeps_servers=keeps_servers)
        await asyncio.gather(*(runner.close() for runner in self._runners.values()))
        self._announcer.close()

    # --- counting ---------------------------------------------------------------------------

    def servers(self) -> list[Deployment]:
        """Return the model servers, in the order of the catalogue, to be looked at."""
        return list(self._deployments)

    async def engine_figures(self) -> dict[str, str | None]:
        """Return what each server that is up counts itself; see `EngineFigures.ask`."""
        return await self._engine_figures.ask()

    def _upstreams(self) -> dict[str, Upstream]:
        ready = ((d.spec.id, d.upstream) for d in self._deployments)
        return {model_id: upstream for model_id, upstream in ready if upstream is not None}

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
            engine=spec.engine or info.engine,
            state=status.state,
            progress=status.progress,
            error=status.error,
            running=self._usage.running(model_id),
            waiting=self._usage.waiting(model_id),
            limits={
                "max_input_tokens": info.max_input_tokens,
                "max_total_tokens": info.max_total_tokens,
                "max_concurrent": info.max_concurrent_requests,
                "model_context": info.model_context_tokens,
            },
            capabilities={
                "chat": info.has_chat_template,
                "cancel": info.can_cancel,
                "logprobs": info.has_logprobs,
                "load": info.can_load,
            },
            parameters=dict(spec.parameters),
            outdated=status.is_outdated,
            defaults=dict(info.defaults),
        )

    def snapshots(self) -> list[Model]:
        """Return all models in the order of the catalogue."""
        return [self.snapshot(spec.id) for spec in self._catalog]

    def info(self, model_id: str) -> EngineInfo:
        """Return what the model's server says of itself; raises `UnknownModel`."""
        return self._deployment(model_id).status.info or EngineInfo()

    def spec(self, model_id: str) -> ModelSpec:
        """Return the model's description; raises `UnknownModel`."""
        return self._catalog.get(model_id)

    def subscribe(
        self, subscriber: Subscriber, list_subscriber: ListSubscriber | None = None
    ) -> Callable[[], None]:
        """Have changes told; see `Announcer.subscribe`."""
        return self._announcer.subscribe(subscriber, list_subscriber)

    # --- what deployments ask of their surroundings -----------------------------------------

    async def enter(self, spec: ModelSpec, report: Report) -> None:
        """Return when there is room for the model's server."""
        await self._room.enter(spec, report)

    def leave(self, spec: ModelSpec) -> None:
        """Give the room of a server that is gone to others."""
        self._room.leave(spec.id)

    def is_answering(self, spec: ModelSpec) -> bool:
        """Tell whether the model's server is writing an answer."""
        return self._usage.is_answering(spec.id)

    def changed(self, spec: ModelSpec) -> None:
        """Tell subscribers of a deployment's new status."""
        deployment = self._deployments.get(spec.id)
        if deployment is not None and deployment.status.state == "ready":
            self._usage.touch(spec.id)
            self._watch_idleness(deployment)
        for served in self._catalog.served_by(spec.id):
            self._announcer.tell(served.id)

    # --- inside -----------------------------------------------------------------------------

    def _deployment(self, model_id: str) -> Deployment:
        return self._deployments[self._catalog.root_of(model_id).id]

    def _on_use(self, spec: ModelSpec) -> None:
        deployment = self._deployments.get(spec.root)
        if deployment is not None:
            deployment.look_again()
            self._watch_idleness(deployment)
        self._room.look_again()
        if spec.id in self._catalog:
            self._announcer.tell_soon(spec.id)

    def _occupant(self, root_id: str) -> Occupant:
        settings = self._deployments[root_id].spec.settings
        return Occupant(root_id, settings.memory, self._usage.idle_since(root_id), settings.pinned)

    def _watch_idleness(self, deployment: Deployment) -> None:
        """Set the clock by which an idle server is stopped; its use sets it anew."""
        root_id, settings = deployment.spec.id, deployment.spec.settings
        timer = self._idle_timers.pop(root_id, None)
        if timer is not None:
            timer.cancel()
        seconds = settings.idle_timeout
        if seconds and not settings.pinned and self._usage.idle_since(root_id) is not None:
            self._idle_timers[root_id] = asyncio.get_running_loop().call_later(
                seconds, deployment.unwant
            )
