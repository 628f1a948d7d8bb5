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
import signal
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Final

from server.core.errors import ModelFailed
from server.core.protocol import Progress
from server.dialects.base import Endpoint
from server.engines.cause import Cause
from server.engines.engine import CONTAINER_PORT, Engine
from server.models.catalogue.catalog import ModelSpec
from server.models.logbook import LogLine
from server.models.runners.base import (
    TAIL_LINES,
    Condition,
    Observation,
    PlaceLost,
    Replica,
    Report,
)
from server.models.runners.containers.command import LABEL_SETTINGS, labelled_engine
from server.models.runners.containers.errors import DockerUnreachable
from server.models.runners.containers.ollama_fetching import fetch_if_asked_for
from server.models.runners.endpoints import read_template
from server.models.runners.knocking import LISTENS_SECONDS, listens
from server.models.runners.machines import Look
from server.models.runners.redaction import secrets_of
from server.models.runners.swarm.configuration import (
    HOST_PORT,
    configuration,
    settings_hash,
    wanted_gpus,
)
from server.models.runners.swarm.errors import REPLACED, LockedOut, no_node, task_refusal
from server.models.runners.swarm.lock import Lock
from server.models.runners.swarm.logs import Logs
from server.models.runners.swarm.machines import Machines
from server.models.runners.swarm.managers import Managers
from server.models.runners.swarm.services import Services
from server.models.runners.swarm.states import (
    Service,
    Task,
    cause_of_end,
    condition,
    exit_code,
    is_away,
    node_lost,
    was_told_to_stop,
)
from server.models.runners.swarm.tasks import Snapshot, Tasks, name_of
from server.settings.containers import engine_of, image_of
from server.settings.tables import SwarmSettings

logger = logging.getLogger(__name__)

# Managers wait for three; when the first of them was due, and how long each is, differs.
_MISSED_HEARTBEATS: Final = 4
# Between the managers' word that a node is away and ours, on a busy machine.
_SEEN_SECONDS: Final = LISTENS_SECONDS + 5.0
# A server whose start was given up gets this long to end before the start returns.
_GIVEN_UP_SECONDS: Final = 10.0
_ASKED_TO_END: Final = frozenset({signal.SIGTERM.value})
# The port "discard", where no server of ours listens: of one that ended as soon as it had started.
_NOWHERE: Final = "http://127.0.0.1:9"


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
        self._settings = settings
        self._environment = os.environ if environment is None else environment
        self._token = settings.hf_token or self._environment.get("HF_TOKEN", "")
        self._managers = Managers(settings.host, self._environment)
        self._lock = Lock(self._managers, instance, state_file)
        self._services = Services(self._managers, self._lock)
        self._tasks = Tasks(self._managers, instance)
        self._machines = Machines(self._managers, instance)
        self._secrets = {self._token}
        self._logs = Logs(self._managers, self._tasks, self._secrets)
        self._specs: dict[Replica, ModelSpec] = {}
        self._unplaced: dict[Replica, Cause] = {}
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
        self._specs[replica] = spec
        self._secrets.update(secrets_of(spec.settings))
        self._unplaced.pop(replica, None)
        async with self._starting[replica]:
            with self._tasks.hurry():
                snapshot = await self._until_reachable(report)
                service = snapshot.services.get(replica)
                task = None if service is None else snapshot.current(service)
                if service is None or task is None or not _runs(snapshot, task):
                    endpoint = await self._run(replica, spec, snapshot, report)
                    engine = engine_of(spec.settings)
                else:
                    endpoint = self._adopted(snapshot, service, task)
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
        await self._until_gone(replica)

    async def inspect(self, replica: Replica) -> Observation:
        """Report the server's condition; UNKNOWN if no manager answers or its node is away."""
        try:
            return await self._observe(replica, await self._tasks.look())
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
                snapshot = await self._tasks.look() if known is None else await self._after()
                service = snapshot.services.get(replica)
                task = None if service is None else snapshot.current(service)
                if service is not None and known is not None:
                    # Where somebody changed the service, its successor is not the same server.
                    task = next((one for one in snapshot.tasks if one.id == known.id), None)
                    if task is None:
                        return _without_task(service)
                seen = await self._observe(replica, snapshot, task)
            except ModelFailed as error:
                logger.debug("the state of %s is not known: %s", replica.model, error)
                await self._happens_after(count)
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
        return [await self._observe(replica, snapshot) for replica in snapshot.services]

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
            await self._happens_after(count)

    async def _run(
        self, replica: Replica, spec: ModelSpec, snapshot: Snapshot, report: Report
    ) -> Endpoint:
        """Create a service in place of what is left of another, and wait until its task runs."""
        if replica in snapshot.services:
            await self._services.remove(replica)
        await self._until_gone(replica)
        engine, model = engine_of(spec.settings), spec.settings
        report(Progress("starting", None, "creating the service"))
        image = await self._services.pinned(image_of(model, self._settings))
        kinds = {kind for node in snapshot.nodes.values() for kind in node.resources}
        told_by_file = bool(engine.hub_key) and engine.reads_token_file

        def configured(secret: str) -> dict[str, Any]:
            return configuration(
                replica,
                spec,
                self._settings,
                image=image,
                gpus=wanted_gpus(model, sorted(kinds)),
                secret=secret,
                token=self._token,
                environment=self._environment,
            )

        service_id = await self._services.create(
            replica, engine, self._token if told_by_file else "", configured
        )
        try:
            endpoint = await self._until_running(replica, service_id, report)
        except BaseException:
            await self._services.surely(self._give_up(replica), replica)
            raise
        logger.info("%s runs as %s", spec.id, name_of(replica))
        return endpoint

    async def _until_running(self, replica: Replica, service_id: str, report: Report) -> Endpoint:
        told = ""
        snapshot = await self._tasks.look()
        while True:
            service = snapshot.services.get(replica)
            if service is None or service.id != service_id:
                raise ModelFailed(
                    "somebody else removed the service while it was started",
                    hint="start it again",
                    details={"cause": "gone"},
                )
            task = snapshot.current(service)
            progress = _progress(snapshot, task)
            self._note_place(replica, task)
            if progress.text != told:
                told = progress.text
                report(progress)
            if task is not None:
                node = snapshot.node_of(task)
                if task.was_refused:
                    raise task_refusal(f"{node.name}: {task.words}" if node else task.words)
                if is_away(node):
                    cause = node_lost(node)
                    raise PlaceLost(cause.message, hint=cause.hint, details={"cause": cause.code})
                # One that has ended already is for `wait` to tell.
                if task.state == "running" or not task.is_alive:
                    return self._endpoint(snapshot, service, task)
            snapshot = await self._after()

    def _note_place(self, replica: Replica, task: Task | None) -> None:
        """Remember why no node takes a task, in case that the start is given up."""
        self._unplaced.pop(replica, None)
        if task is not None and task.state == "pending" and task.error:
            error = no_node(task.error)
            self._unplaced[replica] = Cause("no_node", error.message, error.hint or "")

    async def _give_up(self, replica: Replica) -> None:
        await self._services.remove(replica)
        try:
            async with asyncio.timeout(_GIVEN_UP_SECONDS):
                await self._until_gone(replica)
        except TimeoutError:
            logger.warning("%s takes its time to end", name_of(replica))

    async def _until_gone(self, replica: Replica) -> None:
        with self._tasks.hurry():
            while True:
                snapshot = await self._tasks.look()
                if not snapshot.ending(replica):
                    return
                await self._happens_after(self._tasks.count)

    async def _after(self) -> Snapshot:
        return await self._tasks.after(self._tasks.count)

    async def _happens_after(self, count: int) -> None:
        """Wait until there was another poll, whatever it saw."""
        self._tasks.listen()
        await self._tasks.changed.wait_for(lambda: self._tasks.count > count)

    async def _have_fetched(
        self, replica: Replica, engine: Engine, endpoint: Endpoint, report: Report
    ) -> None:
        """Have a server download its model if it does so only on request; remove it on failure."""
        try:
            await fetch_if_asked_for(self, replica, engine, endpoint, report)
        except BaseException:
            await self._services.surely(self._give_up(replica), replica)
            raise

    # --- observing --------------------------------------------------------------------------

    async def _observe(
        self, replica: Replica, snapshot: Snapshot, task: Task | None = None
    ) -> Observation:
        service = snapshot.services.get(replica)
        if service is None:
            if snapshot.ending(replica):
                return Observation(replica, Condition.UNKNOWN)
            return Observation(replica, Condition.MISSING, cause=self._unplaced.get(replica))
        task = task or snapshot.current(service)
        if task is None and service.wanted:
            return Observation(replica, Condition.UNKNOWN)
        if task is None:
            return _without_task(service)
        node, found = snapshot.node_of(task), condition(task, snapshot.node_of(task))
        if found is not Condition.EXITED:
            spec = self._specs.get(replica)
            settings = service.labels.get(LABEL_SETTINGS, "")
            today = settings_hash(spec, self._settings) if spec else settings
            return Observation(
                replica,
                found,
                self._endpoint(snapshot, service, task) if self._url(snapshot, task) else None,
                is_outdated=settings != today,
                image=service.image,
                cause=node_lost(node) if is_away(node) else None,
            )
        others = [one for one in snapshot.tasks_of(service) if one.is_alive and one.id != task.id]
        is_replaced = bool(others)
        return Observation(
            replica,
            Condition.EXITED,
            exit_code=exit_code(task),
            sent_signals=_ASKED_TO_END
            if was_told_to_stop(task, node, service.wanted, is_replaced=is_replaced)
            else frozenset(),
            tail=() if is_away(node) else tuple(await self._logs.last(task, TAIL_LINES)),
            cause=cause_of_end(task, node, service.wanted, is_replaced=is_replaced),
        )

    def _adopted(self, snapshot: Snapshot, service: Service, task: Task) -> Endpoint:
        if not self._url(snapshot, task):
            raise ModelFailed(
                f"the service of {service.replica.model} publishes no port of ours",
                hint="stop the model and start it again",
                details={"cause": "engine_refused"},
            )
        return self._endpoint(snapshot, service, task)

    def _endpoint(self, snapshot: Snapshot, service: Service, task: Task) -> Endpoint:
        """Return the endpoint of a task, with the dialect of its engine."""
        engine, replica = labelled_engine(service.labels), service.replica
        node = snapshot.node_of(task)
        is_named = engine.serves_by_name and replica in self._specs
        return Endpoint(
            self._url(snapshot, task) or _NOWHERE,
            dialect=engine.dialect,
            flavour=engine.flavour,
            model=self._specs[replica].served_as if is_named else "",
            place=node.name if node else "",
        )

    def _url(self, snapshot: Snapshot, task: Task) -> str:
        """Return where a task is reached; empty if it has ended, or publishes no port of ours."""
        node = snapshot.node_of(task)
        if self._settings.network == HOST_PORT:
            host = node.address if node else ""
            port = task.ports[0] if task.ports else 0
        else:
            host, port = task.addresses.get(self._settings.network, ""), CONTAINER_PORT
        if not host or not port:
            return ""
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _runs(snapshot: Snapshot, task: Task) -> bool:
    return condition(task, snapshot.node_of(task)) is Condition.RUNNING


def _without_task(service: Service) -> Observation:
    """Report a service whose task was removed: somebody else wants none of it, or another."""
    if service.wanted:
        return Observation(service.replica, Condition.EXITED, cause=REPLACED)
    return Observation(service.replica, Condition.EXITED, sent_signals=_ASKED_TO_END)


def _progress(snapshot: Snapshot, task: Task | None) -> Progress:
    """Return how far a start is, in Swarm's own words where it waits."""
    node = None if task is None else snapshot.node_of(task)
    if task is None or node is None:
        said = task.error if task is not None else ""
        return Progress("waiting", None, f"waiting for a node{said and f': {said}'}")
    if task.state in {"assigned", "accepted", "preparing"}:
        return Progress("pulling", None, f"{node.name} gets the image; Swarm tells no more of it")
    return Progress("starting", None, f"starting on {node.name}")


async def _waiting_for(future: "asyncio.Future[None]") -> None:
    await future
