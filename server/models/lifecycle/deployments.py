"""The replicas of all model servers: created, changed and ended to match the catalogue.

A new catalogue interrupts no answer: the server of a removed model is drained first, as for any
stop, and a model that comes back meanwhile keeps its servers.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

from server.core.errors import SidestreamError
from server.models.catalogue.catalog import Catalog, ModelSpec
from server.models.lifecycle.crew import Crew
from server.models.lifecycle.crew_host import CrewHost
from server.models.lifecycle.deployment import Deployment, DeploymentHost
from server.models.lifecycle.limits import LimitsOf
from server.models.lifecycle.readiness_probe import Connect
from server.models.logbook import LogBook
from server.models.metrics import StartCounters
from server.models.runners.base import Condition, Observation, Replica, Runner

logger = logging.getLogger(__name__)

Admit = Callable[[ModelSpec, Observation], None]
"""Count a server that runs already against the room."""

# A container engine that is started later is noticed within this time.
_ENGINE_RETRY_SECONDS: Final = 15.0


class Deployments:
    """Hold the replicas of each model server, including those about to be removed."""

    def __init__(
        self,
        runners: Mapping[str, Runner],
        connect: Connect,
        limits: LimitsOf,
        host: CrewHost,
        *,
        instance: str,
    ) -> None:
        self._runners = runners
        self._connect = connect
        self._limits = limits
        self._host = host
        self._instance = instance
        self._all: dict[str, Crew] = {}
        self._retiring: dict[str, asyncio.Task[None]] = {}

    def __iter__(self) -> Iterator[Crew]:
        return iter(list(self._all.values()))

    def __getitem__(self, root_id: str) -> Crew:
        return self._all[root_id]

    def get(self, root_id: str) -> Crew | None:
        """Return the replicas of that id, None if it is gone."""
        return self._all.get(root_id)

    def own_ports(self) -> frozenset[int]:
        """Return the ports of the managed servers."""
        running = (
            one
            for crew in self._all.values()
            for one in crew
            if one.is_managed and one.status.state not in ("stopped", "failed")
        )
        ports = (urlsplit(one.address).port for one in running)
        return frozenset(port for port in ports if port is not None)

    def apply(self, catalog: Catalog) -> None:
        """Create, change and retire servers so that they match the catalogue.

        The caller has to ensure that a server keeps its kind of runner.
        """
        roots = {spec.id: spec for spec in catalog.roots()}
        for root_id, crew in self._all.items():
            if root_id not in roots and root_id not in self._retiring:
                task = asyncio.create_task(self._retire(crew), name=f"retiring {root_id}")
                self._retiring[root_id] = task
        stayed = [spec for root_id, spec in roots.items() if root_id in self._all]
        # New ones first, because notifications of a change show them too.
        self._all |= {
            root_id: Crew(spec, self._make, self._limits, self._host)
            for root_id, spec in roots.items()
            if root_id not in self._all
        }
        for spec in stayed:
            known = self._all[spec.id]
            if known.spec != spec:
                known.change(spec)
            if spec.id in self._retiring:
                self._retiring.pop(spec.id).cancel()
                if not known.is_managed:
                    # A remote server is always watched.
                    known.request_start()
        self._all = {root_id: self._all[root_id] for root_id in {**roots, **self._all}}

    async def adopt(self, admit: Admit) -> None:
        """Adopt the servers of an earlier run of this gateway, and start preloaded models.

        `admit` is called with each server that runs, and with its model. A container engine
        that does not answer is asked until it does; meanwhile the preloaded models show that error.
        """
        async with asyncio.TaskGroup() as tasks:
            for name, runner in self._runners.items():
                tasks.create_task(self._adopt_from(name, runner, admit))

    async def close(self, *, keeps_servers: bool) -> None:
        """End every lifecycle; `keeps_servers` leaves servers running that outlive us."""
        for task in self._retiring.values():
            task.cancel()
        await asyncio.gather(*(crew.close(keeps_servers=keeps_servers) for crew in self))

    def _make(
        self,
        spec: ModelSpec,
        number: int,
        host: DeploymentHost,
        log: LogBook,
        counters: StartCounters,
    ) -> Deployment:
        return Deployment(
            spec,
            Replica(self._instance, spec.id, number),
            self._runners[spec.runner],
            self._connect,
            self._limits,
            host,
            log=log,
            counters=counters,
        )

    async def _retire(self, crew: Crew) -> None:
        await crew.remove()
        # From here on, a model that comes back gets a new deployment; its server is left alone.
        del self._all[crew.spec.id], self._retiring[crew.spec.id]
        crew.log.close()
        await crew.end()

    def adopt_found(self, seen: Observation, admit: Admit) -> None:
        """Adopt a server of an earlier run; `admit` is called if it runs."""
        found = self._all.get(seen.replica.model)
        if found is None:
            logger.warning(
                "a server of model %r runs, which is not in the settings; "
                "`run.py doctor --clean` removes it",
                seen.replica.model,
            )
        elif seen.condition in {Condition.RUNNING, Condition.UNKNOWN} and found.is_managed:
            admit(found.spec, seen)
            found.adopt(seen)

    async def _adopt_from(self, name: str, runner: Runner, admit: Admit) -> None:
        served = [crew for crew in self._all.values() if crew.spec.runner == name]
        if not served:
            return
        preloaded = [crew for crew in served if crew.spec.settings.preload]
        observations = await self._listed(name, runner, preloaded)
        for seen in observations:
            self.adopt_found(seen, admit)
        for crew in preloaded:
            crew.request_start()

    async def _listed(self, name: str, runner: Runner, wanted: Sequence[Crew]) -> list[Observation]:
        """Wait until an engine answers, and return its servers; `wanted` show its error."""
        trouble = ""
        while True:
            try:
                observations = await runner.list()
            except SidestreamError as error:
                if str(error) != trouble:
                    trouble = str(error)
                    logger.warning("%s: %s", name, trouble)
                    for crew in wanted:
                        crew.show_problem(error)
                await asyncio.sleep(_ENGINE_RETRY_SECONDS)
                continue
            if trouble:
                logger.info("%s: the engine answers now", name)
                for crew in wanted:
                    crew.show_problem(None)
            return observations
