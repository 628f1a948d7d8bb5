"""All model servers: leases to use them, views of their models, and room for starts."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial

from server.core.errors import InvalidCommand, SidestreamError
from server.core.placement import Capacity, Occupant
from server.core.protocol import Model
from server.dialects.base import EngineInfo, Upstream
from server.models.announcer import Announcer, ListSubscriber, Subscriber
from server.models.capacity.gpus import TakesOfGpus, no_gpus
from server.models.capacity.occupants import model_and_number, occupying
from server.models.capacity.room import Places, Room
from server.models.capacity.usage import IdleTimers, Usage
from server.models.catalogue.catalog import Catalog, ModelSpec
from server.models.catalogue.found_servers import FoundServers
from server.models.lifecycle.crew import Crew
from server.models.lifecycle.deployment import Deployment
from server.models.lifecycle.deployments import Deployments
from server.models.lifecycle.limits import LimitsOf
from server.models.lifecycle.loads import Loads
from server.models.lifecycle.readiness_probe import Connect
from server.models.lifecycle.ready_server import Lease
from server.models.logbook import LogBook
from server.models.machine_views import see_machines
from server.models.metrics import EngineMetrics, ServerKey
from server.models.runners.base import Observation, Report, Runner
from server.models.runners.machines import Machines
from server.models.views import FactsOf, ModelViews, ServerFacts, UseCounts, ViewParts

CapacitySubscriber = Callable[[str, int | None], None]
"""Called with a server's id and how many answers its replicas write at once."""


class Fleet:
    """Hold one deployment per model server and notify subscribers of every change."""

    def __init__(
        self,
        catalog: Catalog,
        runners: Mapping[str, Runner],
        connect: Connect,
        limits: LimitsOf,
        *,
        instance: str,
        capacity: Capacity,
        facts: FactsOf = lambda name: ServerFacts(),
        on_server_change: Callable[[str], None] = lambda name: None,
        found: FoundServers | None = None,
        takes_of_gpus: TakesOfGpus = no_gpus,
        places: Places | None = None,
    ) -> None:
        """Hold the models of `catalog`; list those in `found` after them.

        `facts` returns the facts about an `[upstream]` that its status lacks; `on_server_change` is
        called with its name when its list of models may have changed.
        """
        self._catalog = catalog
        self._facts = facts
        self._on_server_change = on_server_change
        self._found = found or FoundServers()
        self._found.subscribe(self._tell_all)
        self._views = ModelViews()
        self._loads = Loads(self._on_load)
        self._runners = runners
        self._capacity_subscribers: list[CapacitySubscriber] = []
        self._announcer = Announcer(self.snapshot)
        self._engine_metrics = EngineMetrics(self._upstreams)
        self._idle_timers = IdleTimers()
        self._places = places
        self._usage = Usage(self._on_use)
        self._takes_of_gpus = takes_of_gpus
        self._room = Room(
            capacity,
            self._occupant,
            self._request_stop,
            takes_of_gpus,
            places,
        )
        self._deployments = Deployments(runners, connect, limits, self, instance=instance)
        self._deployments.apply(catalog)

    # --- using ------------------------------------------------------------------------------

    @asynccontextmanager
    async def lease(self, model_id: str) -> AsyncIterator[Lease]:
        """Start the model's server if necessary, and hold a lease of it while the context lasts.

        Raises `UnknownModel`, and `ModelFailed` if the server cannot be brought up.
        """
        spec, crew = self.spec(model_id), self._crew(model_id)
        with self._usage.wait(spec):
            deployment, ready = await crew.ensure_ready()
            info = await ready.describe(spec.served_as, deployment.cause_of_loss)
        with self._usage.run(spec):
            yield Lease(
                ready.upstream,
                info,
                waits=partial(self._usage.pause, spec),
                server_cause=deployment.cause_of_loss,
                replicas=crew.choice,
                replica=deployment.number,
            )

    def is_ready(self, model_id: str) -> bool:
        """Tell whether the model's server is up; raises `UnknownModel`."""
        return self._crew(model_id).status.state == "ready"

    def start(self, model_id: str) -> Model:
        """Request a start of the model's server; progress is announced as changes of the model.

        A remote server is asked to load the model, if it takes such requests.
        """
        spec, crew = self.spec(model_id), self._crew(model_id)
        info = _info(crew, spec)
        if crew.upstream is not None and not crew.is_managed and info.can_load:
            name = spec.served_as or info.model_id
            self._loads.request(model_id, "loading", [*crew.upstreams.values()], name)
        crew.request_start()
        return self.snapshot(model_id)

    def stop(self, model_id: str) -> Model:
        """Request a stop of the model's server, or have a remote server unload the model.

        Raises `InvalidCommand` for a remote server that cannot unload it.
        """
        spec, crew = self.spec(model_id), self._crew(model_id)
        info = _info(crew, spec)
        if crew.is_managed:
            crew.request_stop()
        elif crew.upstream is not None and info.can_load:
            name = spec.served_as or info.model_id
            self._loads.request(model_id, "stopping", [*crew.upstreams.values()], name)
        else:
            raise InvalidCommand(f"{model_id} is run by somebody else and cannot be stopped here")
        return self.snapshot(model_id)

    def restart(self, model_id: str) -> Model:
        """Request a restart of the model's servers with today's settings, one after the other.

        Raises `InvalidCommand` for servers that somebody else runs.
        """
        crew = self._crew(model_id)
        if not crew.is_managed:
            raise InvalidCommand(f"{model_id} is run by somebody else and cannot be restarted here")
        crew.restart()
        return self.snapshot(model_id)

    async def wait_until_restarted(self, model_id: str) -> None:
        """Wait until no restart of the model's servers is under way; raises `UnknownModel`."""
        await self._crew(model_id).wait_until_restarted()

    async def wait_until_ready(self, root_id: str) -> Upstream:
        """Wait until a server is up, and return its upstream; starts nothing."""
        return await self._deployments[root_id].wait_until_ready()

    def tell_of(self, root_id: str) -> None:
        """Announce all models of a server, because something about it has changed."""
        served = self._catalog.served_by(root_id)
        self._announcer.tell_several([one.id for one in served], self.shown)

    def log(self, model_id: str) -> LogBook:
        """Return the log of the model's server; raises `UnknownModel`."""
        return self._crew(model_id).log

    def close_logs(self) -> None:
        """End the logs, so that their readers end."""
        for crew in self._deployments:
            crew.log.close()

    def change(self, catalog: Catalog) -> None:
        """Replace the catalogue.

        Servers of removed models are drained and stopped. Servers whose settings have changed run
        on until they are next stopped. A model keeps its kind of runner.
        """
        known = {spec.id: spec for spec in self._catalog}
        self._catalog = catalog
        self._views.forget_others(catalog)
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
                self._deployments[spec.id].request_start()

    async def adopt(self) -> None:
        """Adopt the servers of an earlier run; see `Deployments.adopt`."""
        await self._deployments.adopt(self._admit)

    def adopt_found(self, seen: Observation) -> None:
        """Adopt a server of an earlier run that is found later than the others."""
        self._deployments.adopt_found(seen, self._admit)

    def places(self) -> Mapping[str, bool]:
        """Return the places beside this machine by their names, and whether each is there now."""
        return {} if self._places is None else self._places.answering()

    def places_changed(self, *, is_back: bool) -> None:
        """Offer other places to the servers that wait for room: one has gone away or is back.

        When one is back, preloaded models are tried again that could not be started at any.
        """
        self._room.places_changed()
        for crew in self._deployments if is_back else ():
            if crew.spec.settings.preload and crew.spec.settings.engine_host:
                crew.start_failed()

    async def close(self, *, keeps_servers: bool) -> None:
        """End every lifecycle and close the runners; `keeps_servers` leaves containers running."""
        self._idle_timers.close()
        await self._loads.close()
        await self._engine_metrics.close()
        await self._deployments.close(keeps_servers=keeps_servers)
        await asyncio.gather(*(runner.close() for runner in self._runners.values()))
        self._announcer.close()

    def servers(self) -> list[Crew]:
        """Return the replicas of each server, in the order of the catalogue."""
        return list(self._deployments)

    def lockouts(self) -> list[SidestreamError]:
        """Return why servers may not be started and stopped, for each place where that is so."""
        return [error for runner in self._runners.values() if (error := runner.lockout)]

    async def machines(self) -> Machines:
        """Return the machines that model servers run on; see `see_machines`."""
        return await see_machines(self.servers(), self._runners, self._takes_of_gpus)

    def own_ports(self) -> frozenset[int]:
        """Return the ports of the managed servers."""
        return self._deployments.own_ports()

    async def engine_metrics(self) -> dict[ServerKey, str | None]:
        """Return the metrics of each server that is up; see `EngineMetrics.ask`."""
        return await self._engine_metrics.ask()

    def _upstreams(self) -> dict[ServerKey, Upstream]:
        return {
            ServerKey(crew.spec.id, "" if crew.is_single else str(number)): upstream
            for crew in self._deployments
            for number, upstream in crew.upstreams.items()
        }

    # --- watching ---------------------------------------------------------------------------

    def snapshot(self, model_id: str) -> Model:
        """Return the model as clients see it now; raises `UnknownModel`."""
        if model_id not in self._catalog and (model := self._found.model(model_id)) is not None:
            return model
        spec, crew = self.spec(model_id), self._crew(model_id)
        facts = self._facts(spec.server) if spec.server else ServerFacts()
        parts = ViewParts(
            spec,
            crew.status,
            _info(crew, spec),
            UseCounts(self._usage.running(model_id), self._usage.waiting(model_id)),
            facts,
            self._loads.state(model_id),
            self._loads.error(model_id),
            crew.statuses,
        )
        return self._views.view(parts)

    def snapshots(self) -> list[Model]:
        """Return all models that can be asked, in the order of the catalogue."""
        return [self.snapshot(spec.id) for spec in self._catalog]

    def shown(self) -> list[Model]:
        """Return all models that clients see, found ones last."""
        found = [model for model in self._found.models() if model.id not in self._catalog]
        return [*self.snapshots(), *found]

    def info(self, model_id: str) -> EngineInfo:
        """Return the server's description of itself and the model; raises `UnknownModel`."""
        return _info(self._crew(model_id), self.spec(model_id))

    def spec(self, model_id: str) -> ModelSpec:
        """Return the spec of a model that can be asked; raises `UnknownModel`."""
        if model_id not in self._catalog:
            self._found.check(model_id)
        return self._catalog.get(model_id)

    def named(self, name: str, *, sees: Callable[[str], bool]) -> ModelSpec:
        """Return the model of that id or name; see `Catalog.named`."""
        return self._catalog.named(name, sees=sees)

    def subscribe(
        self, subscriber: Subscriber, list_subscriber: ListSubscriber | None = None
    ) -> Callable[[], None]:
        """Subscribe to changes; see `Announcer.subscribe`."""
        return self._announcer.subscribe(subscriber, list_subscriber)

    def subscribe_to_capacity(self, subscriber: CapacitySubscriber) -> None:
        """Call `subscriber` whenever the capacity of a model with several servers may change."""
        self._capacity_subscribers.append(subscriber)

    def capacity(self, model_id: str) -> int | None:
        """Return how many answers of a model are written at once; None if any number, or unknown.

        Raises `UnknownModel`.
        """
        spec = self.spec(model_id)
        return self._crew(model_id).choice.capacity(spec) or spec.max_concurrent

    async def could_start(self, model_id: str) -> bool:
        """Tell whether the model's server is up, or could start now without waiting for room.

        Idle servers may be stopped for it. Raises `UnknownModel`.
        """
        crew = self._crew(model_id)
        return not crew.is_managed or await self._room.could_enter(crew.spec)

    def waiting_for_room(self) -> frozenset[str]:
        """Return the roots of the models whose servers wait for room."""
        return self._room.waiting()

    # --- what crews need (`CrewHost`) -------------------------------------------------------

    async def enter(self, spec: ModelSpec, number: int, report: Report) -> None:
        """Wait until there is room for the server of a replica."""
        await self._room.enter(occupying(spec, number), report)

    def leave(self, spec: ModelSpec, number: int) -> None:
        """Release the room of a server that is gone."""
        self._room.leave(occupying(spec, number).id)

    def is_answering(self, spec: ModelSpec) -> bool:
        """Tell whether the model's server is writing an answer."""
        return self._usage.is_answering(spec.id)

    def answers(self, spec: ModelSpec) -> int:
        """Return how many answers of the model's servers are written or waited for."""
        return self._usage.needing(spec.id)

    async def has_room(self, spec: ModelSpec, number: int) -> bool:
        """Tell whether a replica could be started now, with nobody stopped for it."""
        return await self._room.has_room(occupying(spec, number))

    def changed(self, spec: ModelSpec) -> None:
        """Announce a server's new status."""
        crew = self._deployments.get(spec.id)
        if crew is not None and crew.status.state == "ready":
            self._usage.touch(spec.id)
            self._watch_idle_time(crew)
            self._on_server_change(spec.server)
        if crew is not None and not crew.is_single:
            for subscriber in self._capacity_subscribers:
                subscriber(spec.id, crew.choice.capacity(spec))
        self.tell_of(spec.id)

    # --- inside -----------------------------------------------------------------------------

    def _admit(self, spec: ModelSpec, seen: Observation) -> None:
        # A swarm keeps account of its nodes itself.
        is_counted = spec.runner == "docker" and seen.endpoint is not None
        place = seen.endpoint.place if is_counted and seen.endpoint else ""
        self._room.admit(occupying(spec, seen.replica.number), place)

    def _request_stop(self, occupant: str) -> None:
        self._occupying_replica(occupant).request_stop()

    def _occupying_replica(self, occupant: str) -> Deployment:
        root_id, number = model_and_number(occupant)
        return self._deployments[root_id][number]

    def _crew(self, model_id: str) -> Crew:
        return self._deployments[self.spec(model_id).root]

    def _tell_all(self) -> None:
        self._announcer.tell_all(self.shown())

    def _on_use(self, spec: ModelSpec) -> None:
        crew = self._deployments.get(spec.root)
        if crew is not None:
            crew.use_changed()
            self._watch_idle_time(crew)
        self._room.use_changed()
        if spec.id in self._catalog:
            self._announcer.tell_soon(spec.id)
        if crew is not None and _info(crew, spec).is_loaded is False:
            self._check_soon(spec)

    def _on_load(self, model_id: str) -> None:
        if model_id in self._catalog:
            self._announcer.tell(model_id)
            self._check_soon(self._catalog.get(model_id))

    def _check_soon(self, spec: ModelSpec) -> None:
        """Ask a remote server soon whether the model is in memory."""
        if spec.server:
            self._on_server_change(spec.server)
        else:
            self._deployments[spec.root].check_soon()

    def _occupant(self, occupant: str) -> Occupant:
        spec = self._occupying_replica(occupant).spec
        idle_since, is_pinned = self._usage.idle_since(spec.id), spec.settings.pinned
        return Occupant(occupant, spec.budgeted_memory, idle_since, is_pinned, root=spec.root)

    def _watch_idle_time(self, crew: Crew) -> None:
        is_idle = self._usage.idle_since(crew.spec.id) is not None
        self._idle_timers.watch(crew.spec, crew.request_stop, is_idle=is_idle)


def _info(crew: Crew, spec: ModelSpec) -> EngineInfo:
    """Return a server's description of itself and a model; empty before it was asked."""
    return crew.infos.get(spec.served_as) or crew.status.info or EngineInfo()
