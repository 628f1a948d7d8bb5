"""All model servers: who may use which, what is to be seen of them, who gives way to whom."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial

from server.core.errors import InvalidCommand
from server.core.placement import Capacity, Occupant
from server.core.protocol import Model
from server.dialects.base import EngineInfo, Upstream
from server.models.announcer import Announcer, ListSubscriber, Subscriber
from server.models.approach import Connect
from server.models.attempt import Limits
from server.models.catalog import Catalog, ModelSpec
from server.models.deployment import Deployment
from server.models.deployments import Deployments
from server.models.engine_figures import EngineFigures
from server.models.found import Found
from server.models.idleness import Idleness
from server.models.lease import Lease
from server.models.loads import Loads
from server.models.logbook import LogBook
from server.models.room import Room
from server.models.runners.base import Report, Runner
from server.models.showing import Facts, ServerFacts, Use
from server.models.shown import Shown
from server.models.usage import Usage


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
        facts: Facts = lambda name: ServerFacts(),
        on_server_change: Callable[[str], None] = lambda name: None,
        found: Found | None = None,
    ) -> None:
        """Hold the models of `catalog`.

        `facts` tells what is known of an `[upstream]` beside its status; `on_server_change` is
        called with its name when what it says of its models may have changed. Models in `found` are
        shown after the others, and nothing else can be done with them.
        """
        self._catalog = catalog
        self._facts = facts
        self._on_server_change = on_server_change
        self._found = found or Found()
        self._found.subscribe(self._tell_all)
        self._shown = Shown()
        self._loads = Loads(self._on_load)
        self._runners = runners
        self._announcer = Announcer(self.snapshot)
        self._engine_figures = EngineFigures(self._upstreams)
        self._idleness = Idleness()
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
        spec, deployment = self.spec(model_id), self._deployment(model_id)
        with self._usage.wait(spec):
            ready = await deployment.ensure_ready()
            info = await ready.describe(spec.served_as, deployment.cause_of_loss)
        with self._usage.run(spec):
            pause = partial(self._usage.pause, spec)
            yield Lease(ready.upstream, info, pause, deployment)

    def is_ready(self, model_id: str) -> bool:
        """Tell whether the model's server is up; raises `UnknownModel`."""
        return self._deployment(model_id).status.state == "ready"

    def start(self, model_id: str) -> Model:
        """Have the model's server started, or have it load the model; progress follows as changes.

        Loading is asked for where the server is somebody else's and takes such requests.
        """
        spec, deployment = self.spec(model_id), self._deployment(model_id)
        info = _info(deployment, spec)
        if deployment.upstream is not None and not deployment.is_managed and info.can_load:
            self._loads.load(model_id, deployment.upstream, spec.served_as or info.model_id)
        deployment.want()
        return self.snapshot(model_id)

    def stop(self, model_id: str) -> Model:
        """Have the model's server stopped, or have it unload the model.

        Raises `InvalidCommand` if it is not ours to stop.
        """
        spec, deployment = self.spec(model_id), self._deployment(model_id)
        info = _info(deployment, spec)
        if deployment.is_managed:
            deployment.unwant()
        elif deployment.upstream is not None and info.can_load:
            self._loads.unload(model_id, deployment.upstream, spec.served_as or info.model_id)
        else:
            raise InvalidCommand(f"{model_id} is run by somebody else and cannot be stopped here")
        return self.snapshot(model_id)

    async def until_well(self, root_id: str) -> Upstream:
        """Return how to speak to a server as soon as it is up; starts nothing."""
        return await self._deployments[root_id].until_well()

    def tell_of(self, root_id: str) -> None:
        """Tell subscribers of a server's models: something else is known of them now."""
        served = self._catalog.served_by(root_id)
        self._announcer.tell_several([one.id for one in served], self.shown)

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
        known = {spec.id: spec for spec in self._catalog}
        self._catalog = catalog
        self._shown.forget_others(catalog)
        self._deployments.apply(catalog)
        changed = [spec for spec in catalog if known.get(spec.id) != spec]
        for spec in changed:
            if spec.served is not None:
                self._deployments[spec.root].infos.outdate(spec.served_as)
        if list(known) == [spec.id for spec in catalog]:
            self._announcer.tell_several([spec.id for spec in changed], self.shown)
        else:
            self._tell_all()
        for spec in catalog.roots():
            if spec.id not in known and spec.settings.preload:
                self._deployments[spec.id].want()

    async def adopt(self) -> None:
        """Take over the servers of an earlier run; see `Deployments.adopt`."""
        await self._deployments.adopt(self._room.admit)

    async def close(self, *, keeps_servers: bool) -> None:
        """End every lifecycle and let go of the runners; servers that can go on may be kept."""
        self._idleness.close()
        await self._loads.close()
        await self._engine_figures.close()
        await self._deployments.close(keeps_servers=keeps_servers)
        await asyncio.gather(*(runner.close() for runner in self._runners.values()))
        self._announcer.close()

    def servers(self) -> list[Deployment]:
        """Return the model servers, in the order of the catalogue, to be looked at."""
        return list(self._deployments)

    def own_ports(self) -> frozenset[int]:
        """Return the ports of the servers that we run."""
        return self._deployments.own_ports()

    async def engine_figures(self) -> dict[str, str | None]:
        """Return what each server that is up counts itself; see `EngineFigures.ask`."""
        return await self._engine_figures.ask()

    def _upstreams(self) -> dict[str, Upstream]:
        ready = ((d.spec.id, d.upstream) for d in self._deployments)
        return {model_id: upstream for model_id, upstream in ready if upstream is not None}

    # --- watching ---------------------------------------------------------------------------

    def snapshot(self, model_id: str) -> Model:
        """Return the model as clients see it now; raises `UnknownModel`."""
        if model_id not in self._catalog and (model := self._found.model(model_id)) is not None:
            return model
        spec, deployment = self.spec(model_id), self._deployment(model_id)
        facts = self._facts(spec.server) if spec.server else ServerFacts()
        return self._shown.model(
            spec,
            deployment.status,
            _info(deployment, spec),
            Use(self._usage.running(model_id), self._usage.waiting(model_id)),
            facts,
            self._loads.state(model_id),
            self._loads.error(model_id),
        )

    def snapshots(self) -> list[Model]:
        """Return all models that can be asked, in the order of the catalogue."""
        return [self.snapshot(spec.id) for spec in self._catalog]

    def shown(self) -> list[Model]:
        """Return all models that are to be seen: behind the others those that were found."""
        found = [model for model in self._found.models() if model.id not in self._catalog]
        return [*self.snapshots(), *found]

    def info(self, model_id: str) -> EngineInfo:
        """Return what the model's server says of itself and it; raises `UnknownModel`."""
        return _info(self._deployment(model_id), self.spec(model_id))

    def spec(self, model_id: str) -> ModelSpec:
        """Return the description of a model that can be asked; raises `UnknownModel`."""
        if model_id not in self._catalog:
            self._found.check(model_id)
        return self._catalog.get(model_id)

    def named(self, name: str, *, sees: Callable[[str], bool]) -> ModelSpec:
        """Return the model that is called so; see `Catalog.named`."""
        return self._catalog.named(name, sees=sees)

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
            self._on_server_change(spec.server)
        self.tell_of(spec.id)

    # --- inside -----------------------------------------------------------------------------

    def _deployment(self, model_id: str) -> Deployment:
        return self._deployments[self.spec(model_id).root]

    def _tell_all(self) -> None:
        self._announcer.tell_all(self.shown())

    def _on_use(self, spec: ModelSpec) -> None:
        deployment = self._deployments.get(spec.root)
        if deployment is not None:
            deployment.look_again()
            self._watch_idleness(deployment)
        self._room.look_again()
        if spec.id in self._catalog:
            self._announcer.tell_soon(spec.id)
        if deployment is not None and _info(deployment, spec).is_loaded is False:
            self._look_soon(spec)

    def _on_load(self, model_id: str) -> None:
        if model_id in self._catalog:
            self._announcer.tell(model_id)
            self._look_soon(self._catalog.get(model_id))

    def _look_soon(self, spec: ModelSpec) -> None:
        """Have it seen soon whether the model is in memory at a server of somebody else's."""
        if spec.server:
            self._on_server_change(spec.server)
        else:
            self._deployments[spec.root].look_soon()

    def _occupant(self, root_id: str) -> Occupant:
        settings = self._deployments[root_id].spec.settings
        return Occupant(root_id, settings.memory, self._usage.idle_since(root_id), settings.pinned)

    def _watch_idleness(self, deployment: Deployment) -> None:
        is_idle = self._usage.idle_since(deployment.spec.id) is not None
        self._idleness.watch(deployment, is_idle=is_idle)


def _info(deployment: Deployment, spec: ModelSpec) -> EngineInfo:
    """Return what a server has said of itself with a model, as far as it was asked."""
    return deployment.infos.get(spec.served_as) or deployment.status.info or EngineInfo()
