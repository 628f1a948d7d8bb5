"""Run model servers as services of a Docker Swarm, one service with one task for each replica.

Rules:

1. The swarm is the database: a service is found by its name and its labels. The runner's own state
   (the current settings) can be lost without harm.
2. Swarm places a server and tells of its end; it starts nothing again (restart policy `none`).
   Restarts, pauses and giving up are the lifecycle's.
3. `start` returns a server that runs already, whatever settings it was started with: this is how
   services are adopted after a restart of the gateway.
4. If no manager answers, no server counts as MISSING. A swarm that has answered before is waited
   for; one that never has is an error at once.
5. Services are adopted, created and removed by the one gateway that holds the instance's lock.
6. A node that is away may still serve, as where only its engine died. Its server is lost when it
   does not answer either.
"""

import asyncio
import logging
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Final

from server.core.errors import ModelFailed
from server.core.protocol import Progress
from server.dialects.base import Endpoint
from server.engines.engine import Engine
from server.models.catalogue.catalog import ModelSpec
from server.models.logbook import LogLine
from server.models.runners.base import (
    Condition,
    Observation,
    Replica,
    Report,
)
from server.models.runners.containers.command import labelled_engine
from server.models.runners.containers.errors import DockerUnreachable
from server.models.runners.containers.ollama_fetching import fetch_if_asked_for
from server.models.runners.endpoints import read_template
from server.models.runners.knocking import LISTENS_SECONDS, listens
from server.models.runners.machines import Look
from server.models.runners.redaction import secrets_of
from server.models.runners.swarm.errors import LockedOut
from server.models.runners.swarm.lock import Lock
from server.models.runners.swarm.logs import Logs
from server.models.runners.swarm.machines import Machines
from server.models.runners.swarm.managers import Managers
from server.models.runners.swarm.observing import Observer, without_task
from server.models.runners.swarm.services import Services
from server.models.runners.swarm.starting import Starter
from server.models.runners.swarm.states import (
    Task,
    condition,
)
from server.models.runners.swarm.tasks import Snapshot, Tasks
from server.settings.containers import engine_of
from server.settings.tables import SwarmSettings

logger = logging.getLogger(__name__)

# Managers wait for three; when the first of them was due, and how long each is, differs.
_MISSED_HEARTBEATS: Final = 4
# Between the managers' word that a node is away and ours, on a busy machine.
_SEEN_SECONDS: Final = LISTENS_SECONDS + 5.0


class SwarmRunner:
    """Run each replica as a service of one swarm."""

    is_managed: ClassVar[bool] = True
    outlives_us: ClassVar[bool] = True

    def __init__(
        self,
        settings: SwarmSettings,
        *,
        instance: str,
        environment: Mapping[str, str] | None = None,
        state_file: Path | None = None,
    ) -> None:
        environment = os.environ if environment is None else environment
        token = settings.hf_token or environment.get("HF_TOKEN", "")
        self._managers = Managers(settings.host, environment)
        self._lock = Lock(self._managers, instance, state_file)
        self._services = Services(self._managers, self._lock)
        self._tasks = Tasks(self._managers, instance)
        self._machines = Machines(self._managers, instance)
        self._secrets = {token}
        self._logs = Logs(self._managers, self._tasks, self._secrets)
        self._observer = Observer(settings, self._logs)
        self._starter = Starter(
            settings,
            self._services,
            self._tasks,
            self._observer,
            environment=environment,
            token=token,
        )
        self._starting: defaultdict[Replica, asyncio.Lock] = defaultdict(asyncio.Lock)

    @property
    def lockout(self) -> LockedOut | None:
        """Return that another gateway controls the services, as far as that is known."""
        return self._lock.lockout

    # --- the interface ----------------------------------------------------------------------

    @property
    def loss_seconds(self) -> float:
        """Return how long it takes until a node that is away counts as lost."""
        # Swarm misses heartbeats, then the poller sees it, and then the server is asked.
        return _MISSED_HEARTBEATS * self._tasks.heartbeat_seconds + _SEEN_SECONDS

    async def start(self, replica: Replica, spec: ModelSpec, report: Report) -> Endpoint:
        """Create the service unless it runs, and return once its task runs.

        Raises `ModelFailed` with the cause, and `PlaceLost` if its node went away meanwhile. If
        cancelled, also while no node takes it, nothing is left; `inspect` then tells that no node
        took it.
        """
        template = await read_template(spec.settings.chat_template)
        self._observer.specs[replica] = spec
        self._secrets.update(secrets_of(spec.settings))
        self._observer.unplaced.pop(replica, None)
        async with self._starting[replica]:
            with self._tasks.hurry():
                snapshot = await self._until_reachable(report)
                service = snapshot.services.get(replica)
                task = None if service is None else snapshot.current(service)
                if service is None or task is None or not _runs(snapshot, task):
                    endpoint = await self._starter.run(replica, spec, snapshot, report)
                    engine = engine_of(spec.settings)
                else:
                    endpoint = self._observer.adopted(snapshot, service, task)
                    engine = labelled_engine(service.labels)
            await self._have_fetched(replica, engine, endpoint, report)
        return replace(endpoint, chat_template=template)

    async def stop(self, replica: Replica, *, grace_seconds: float) -> None:
        """Remove the service, and return once its task is gone or its node is away.

        The task gets the time that was fixed at its start, not `grace_seconds`. Raises
        `DockerUnreachable` if no manager answers, `LockedOut` if another gateway controls the
        services; the server then runs on. If cancelled, it still
        ends within that time.
        """
        removing = asyncio.ensure_future(self._services.remove(replica))
        try:
            await asyncio.shield(removing)
        except asyncio.CancelledError:
            await self._services.surely(_waiting_for(removing), replica)
            raise
        await self._starter.until_gone(replica)

    async def inspect(self, replica: Replica) -> Observation:
        """Report the server's condition; UNKNOWN if no manager answers or its node is away."""
        try:
            return await self._observer.observe(replica, await self._tasks.look())
        except ModelFailed as error:
            logger.debug("the state of %s is not known: %s", replica.model, error)
            return Observation(replica, Condition.UNKNOWN)

    async def wait(self, replica: Replica) -> Observation:
        """Wait until the server does not run; also waits for managers that do not answer.

        Returns UNKNOWN with a cause when its node is away and it does not answer.
        """
        self._tasks.listen()
        known: Task | None = None
        while True:
            count = self._tasks.count
            try:
                snapshot = await (self._tasks.look() if known is None else self._tasks.next())
                service = snapshot.services.get(replica)
                task = None if service is None else snapshot.current(service)
                if service is not None and known is not None:
                    # Where somebody changed the service, its successor is not the same server.
                    task = next((one for one in snapshot.tasks if one.id == known.id), None)
                    if task is None:
                        return without_task(service)
                seen = await self._observer.observe(replica, snapshot, task)
            except ModelFailed as error:
                logger.debug("the state of %s is not known: %s", replica.model, error)
                await self._tasks.polled(count)
                continue
            known = known or task
            if seen.condition in {Condition.EXITED, Condition.MISSING}:
                return seen
            if seen.cause is not None and not (seen.endpoint and await listens(seen.endpoint.url)):
                return seen

    async def list(self) -> list[Observation]:
        """Report the services of this instance, which only one gateway may control.

        Raises `ModelFailed` if no manager answers, or if another gateway controls them.
        """
        await self._lock.confirm()
        snapshot = await self._tasks.look()
        return [await self._observer.observe(replica, snapshot) for replica in snapshot.services]

    def logs(self, replica: Replica, *, tail: int, follow: bool) -> AsyncIterator[LogLine]:
        """Yield the last `tail` lines, then, if `follow`, each new line until the server ends."""
        return self._logs.read(replica, tail=tail, follow=follow)

    async def progress(self, replica: Replica, spec: ModelSpec) -> AsyncIterator[Progress]:
        """Yield nothing: what is downloaded on a node cannot be seen from a manager."""
        nothing: tuple[Progress, ...] = ()
        for progress in nothing:
            yield progress

    async def machines(self) -> Look:
        """Return the swarm's nodes, and what is wrong with it; see `HasMachines`."""
        return await self._machines.see()

    async def close(self) -> None:
        """Release the lock, and close the connections to the managers; the services go on."""
        await self._lock.release()
        await self._tasks.close()
        await self._managers.close()

    # --- starting ---------------------------------------------------------------------------

    async def _until_reachable(self, report: Report) -> Snapshot:
        while True:
            count = self._tasks.count
            try:
                await self._lock.confirm()
                return await self._tasks.look()
            except DockerUnreachable as error:
                if not self._managers.was_reached:
                    raise
                report(Progress("waiting", None, f"waiting for the swarm: {error.reason}"))
            await self._tasks.polled(count)

    async def _have_fetched(
        self, replica: Replica, engine: Engine, endpoint: Endpoint, report: Report
    ) -> None:
        """Have a server download its model if it does so only on request; remove it on failure."""
        try:
            await fetch_if_asked_for(self, replica, engine, endpoint, report)
        except BaseException:
            await self._starter.give_up(replica)
            raise


def _runs(snapshot: Snapshot, task: Task) -> bool:
    return condition(task, snapshot.node_of(task)) is Condition.RUNNING


async def _waiting_for(future: "asyncio.Future[None]") -> None:
    await future
