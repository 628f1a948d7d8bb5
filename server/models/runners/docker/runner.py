"""Run model servers as containers.

Rules:

1. The engine is the database: a container is found by its name and its labels. The runner's own
   state (the current settings) can be lost without harm.
2. `start` returns a container that runs already, whatever settings it was started with: this is
   how containers are adopted after a restart of the gateway.
3. If the engine does not answer, no container counts as MISSING. An engine that has answered before
   is waited for; one that never has is an error at once.
4. A container that somebody else restarts has ended, also if nobody looked in between: its server
   loads its model again.
"""

import asyncio
import logging
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from server.core.docker_engine import gives_gpus
from server.core.errors import ModelFailed
from server.core.protocol import Progress
from server.dialects.base import Endpoint
from server.engines.engine import Cache, Engine
from server.models.catalogue.catalog import ModelSpec
from server.models.logbook import LogLine
from server.models.runners.base import TAIL_LINES, Condition, Observation, Replica, Report
from server.models.runners.containers.client import DockerEngine
from server.models.runners.containers.command import shared_folder
from server.models.runners.containers.errors import DockerUnreachable, PortTaken
from server.models.runners.containers.ollama_fetching import fetch_if_asked_for
from server.models.runners.docker.configuration import (
    configuration,
    settings_hash,
)
from server.models.runners.docker.containers import Container, Containers, name_of
from server.models.runners.docker.events import Events
from server.models.runners.docker.images import Images
from server.models.runners.docker.late_reports import RESTARTED, with_late_reports
from server.models.runners.docker.logs import Logs
from server.models.runners.docker.machine import hub_of, look_at_host, machine_of
from server.models.runners.docker.weights_watch import watch_weights
from server.models.runners.endpoints import read_template
from server.models.runners.machines import Look
from server.models.runners.ports import PortRange
from server.models.runners.redaction import secrets_of
from server.settings.containers import engine_of, image_of
from server.settings.tables import DockerSettings

logger = logging.getLogger(__name__)


class DockerRunner:
    """Run each replica as a container of one engine."""

    is_managed: ClassVar[bool] = True
    outlives_us: ClassVar[bool] = True
    lockout: None = None
    loss_seconds: ClassVar[float] = 0.0

    def __init__(
        self,
        settings: DockerSettings,
        *,
        instance: str,
        ports: tuple[int, int],
        held_ports: set[int] | None = None,
        environment: Mapping[str, str] | None = None,
        is_one_of_several: bool = False,
        gives_gpus: bool = True,
    ) -> None:
        """`held_ports` is shared by all runners that take ports from the same range.

        One of several engines is not waited for, since another may be taken, and through SSH its
        ports lead to other ports here. Without `gives_gpus` models with `gpus = auto` get none.
        """
        self._is_one_of_several = is_one_of_several
        self._gives_gpus = gives_gpus
        self._settings = settings
        self._instance = instance
        self._environment = os.environ if environment is None else environment
        self._token = settings.hf_token or self._environment.get("HF_TOKEN", "")
        self._ports = PortRange(ports, held_ports if held_ports is not None else set())
        self.engine = DockerEngine(
            settings.host, self._environment, ports=ports, is_one_of_several=is_one_of_several
        )
        self._containers = Containers(self.engine)
        self.events = Events(self.engine, instance)
        self._images = Images(self.engine)
        self._secrets = {self._token}
        self._logs = Logs(self.engine, self._containers, self.events, self._secrets)
        self._specs: dict[Replica, ModelSpec] = {}
        self._runs: dict[Replica, tuple[str, str]] = {}
        """The run of each container that is waited for, or that was adopted."""
        self._starting: defaultdict[Replica, asyncio.Lock] = defaultdict(asyncio.Lock)

    # --- the interface ----------------------------------------------------------------------

    async def start(self, replica: Replica, spec: ModelSpec, report: Report) -> Endpoint:
        """Start the container unless it runs; pull its image first if necessary.

        Raises `ModelFailed` with the cause. If cancelled, also during the pull, nothing is left.
        """
        template = await read_template(spec.settings.chat_template)
        self._specs[replica] = spec
        self._secrets.update(secrets_of(spec.settings))
        self.events.listen()
        async with self._starting[replica]:
            await self._until_reachable(report)
            container = await self._containers.find(replica)
            self._runs.pop(replica, None)
            if container is not None:
                if container.is_running:
                    self._runs[replica] = container.run
                    endpoint = await self._adopted(container)
                    await self._have_fetched(replica, container.engine, endpoint, report)
                    return replace(endpoint, chat_template=template)
                await self._containers.remove(container.id)
            await self._images.ensure(image_of(spec.settings, self._settings), report)
            report(Progress("starting", None, "starting the container"))
            port, engine = await self._run(replica, spec), engine_of(spec.settings)
            logger.info("%s runs as %s on port %d", spec.id, name_of(replica), port)
            endpoint = await self._endpoint(replica, engine, port)
            await self._have_fetched(replica, engine, endpoint, report)
        return replace(endpoint, chat_template=template)

    async def stop(self, replica: Replica, *, grace_seconds: float) -> None:
        """Stop the container and remove it.

        Raises `DockerUnreachable` if the engine does not answer; the container then runs on.
        """
        await self._containers.stop(replica, grace_seconds=grace_seconds)

    async def inspect(self, replica: Replica) -> Observation:
        """Report the container's condition; UNKNOWN if the engine does not answer."""
        return await self._look(replica, self._observe)

    async def find(self, replica: Replica) -> Container | None:
        """Return the replica's container, None if there is none; raises the errors in `errors`."""
        return await self._containers.find(replica)

    async def wait(self, replica: Replica) -> Observation:
        """Wait until the container does not run; also waits for an engine that does not answer.

        A container that was restarted since its start, or since an earlier wait, is EXITED.
        """
        self.events.listen()
        while True:
            count = self.events.count
            seen = await self._look(replica, self._observe_run)
            if seen.condition is Condition.EXITED:
                return await with_late_reports(seen, count, self.inspect, self.events)
            if seen.condition is Condition.MISSING:
                return seen
            await self.events.after(count)

    async def list(self) -> list[Observation]:
        """Report the containers of this instance; raises `ModelFailed` if the engine fails."""
        return [
            await self._observe(container)
            for container in await self._containers.of_instance(self._instance)
        ]

    def logs(self, replica: Replica, *, tail: int, follow: bool) -> AsyncIterator[LogLine]:
        """Yield the last `tail` lines, then, if `follow`, each new line until the server ends."""
        return self._logs.read(replica, tail=tail, follow=follow)

    def progress(self, replica: Replica, spec: ModelSpec) -> AsyncIterator[Progress]:
        """Yield the progress of the download of the weights; the caller stops iterating."""
        engine, folder = engine_of(spec.settings), None
        if self.engine.is_local and engine.cache == Cache():
            folder = shared_folder(engine, self._settings)
        return watch_weights(
            folder,
            spec.settings.model_id.partition(":")[0],
            spec.settings.revision,
            token=self._token,
            hub=hub_of(self._environment) if engine.weights else None,
            weights=engine.weights,
        )

    async def machines(self) -> Look:
        """Return the engine's machine; see `HasMachines`."""
        return await machine_of(self.engine)

    async def close(self) -> None:
        """Close the connections to the engine; the containers go on."""
        await self.events.close()
        await self.engine.close()

    # --- starting ---------------------------------------------------------------------------

    async def _until_reachable(self, report: Report) -> None:
        while True:
            count = self.events.count
            try:
                await self.engine.ping()
                return
            except DockerUnreachable as error:
                if self._is_one_of_several or not self.engine.was_reached:
                    raise
                report(Progress("waiting", None, f"waiting for the Docker engine: {error.reason}"))
            await self.events.after(count)

    async def _run(self, replica: Replica, spec: ModelSpec) -> int:
        """Create and start the container on the first port that works; return the port."""
        folder = shared_folder(engine_of(spec.settings), self._settings)
        host = await look_at_host(self.engine, folder)
        host = host if self._gives_gpus else replace(host, has_gpus=False)
        for port in self._ports.candidates(is_local=self.engine.is_local):
            if not self.engine.can_reach(port):
                continue
            # Before there is a container that would be left behind.
            await self.engine.reach(port)
            body = configuration(
                replica,
                spec,
                self._settings,
                host,
                port=port,
                folder=str(folder),
                token=self._token,
                environment=self._environment,
            )
            try:
                with self._ports.hold(port):
                    await self._containers.run(name_of(replica), body)
            except PortTaken as taken:
                logger.info("port %d cannot be used: %s", port, taken)
                continue
            return port
        raise ModelFailed(
            f"no free port between {self._ports.first} and {self._ports.last}",
            hint="stop a model, or widen `ports` in [engines]",
            details={"cause": "port_taken"},
        )

    async def _have_fetched(
        self, replica: Replica, engine: Engine, endpoint: Endpoint, report: Report
    ) -> None:
        """Have a server download its model if it does so only on request; remove it on failure."""
        try:
            await fetch_if_asked_for(self, replica, engine, endpoint, report)
        except BaseException:
            with suppress(DockerUnreachable):
                await self._containers.stop(replica, grace_seconds=0)
            raise

    async def has_gpus(self) -> bool:
        """Tell whether the engine can give containers GPUs; False if it does not answer."""
        try:
            return gives_gpus(await self.engine.info())
        except ModelFailed as error:
            # A start will report the error.
            logger.debug("whether there are GPUs is not known: %s", error)
            return False

    async def _adopted(self, container: Container) -> Endpoint:
        if container.port is None:
            raise ModelFailed(
                f"the container of {container.replica.model} publishes no port of ours",
                hint="stop the model and start it again",
                details={"cause": "engine_refused"},
            )
        return await self._endpoint(container.replica, container.engine, container.port)

    async def _endpoint(self, replica: Replica, engine: Engine, port: int) -> Endpoint:
        """Return the endpoint of a container, with the dialect of its engine."""
        is_named = engine.serves_by_name and replica in self._specs
        return Endpoint(
            _url(await self.engine.reach(port)),
            dialect=engine.dialect,
            flavour=engine.flavour,
            model=self._specs[replica].served_as if is_named else "",
            hub_cache=str(self._hub_cache()) if self.engine.is_local else "",
        )

    def _hub_cache(self) -> Path:
        return self._settings.hf_cache.expanduser().absolute() / Cache().folder

    # --- observing --------------------------------------------------------------------------

    async def _look(
        self, replica: Replica, observe: Callable[[Container], Awaitable[Observation]]
    ) -> Observation:
        try:
            container = await self._containers.find(replica)
            # A container that was created but never started is left over from an aborted start.
            if container is None or not container.has_run:
                return Observation(replica, Condition.MISSING)
            return await observe(container)
        except ModelFailed as error:
            logger.debug("the state of %s is not known: %s", replica.model, error)
            return Observation(replica, Condition.UNKNOWN)

    async def _observe_run(self, container: Container) -> Observation:
        """Observe the run that is waited for: the next one is another server."""
        replica = container.replica
        if (
            not container.is_running
            or self._runs.setdefault(replica, container.run) == container.run
        ):
            return await self._observe(container)
        tail = tuple(await self._logs.last(container.id, TAIL_LINES))
        return Observation(replica, Condition.EXITED, tail=tail, cause=RESTARTED)

    async def _observe(self, container: Container) -> Observation:
        spec = self._specs.get(container.replica)
        today = settings_hash(spec, self._settings) if spec else container.settings
        if container.is_running:
            return Observation(
                container.replica,
                Condition.RUNNING,
                None if container.port is None else await self._adopted(container),
                is_outdated=container.settings != today,
                image=container.image,
            )
        return Observation(
            container.replica,
            Condition.EXITED,
            exit_code=container.exit_code,
            was_out_of_memory=container.was_out_of_memory
            or container.id in self.events.out_of_memory,
            sent_signals=frozenset(self.events.sent_signals.get(container.id, ())),
            tail=tuple(await self._logs.last(container.id, TAIL_LINES)),
        )


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}"
