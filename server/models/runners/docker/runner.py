"""Run model servers as containers.

Rules:

1. The engine is the database: a container is found by its name and known by its labels.
   What is kept here (which settings are today's) can be lost without harm.
2. `start` on a container of ours that runs is the same container: that is how one is taken
   over after a restart of the gateway, with today's settings or others.
3. An engine that does not answer makes nothing MISSING. One that has answered before is
   waited for; one that never has is reported at once.
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
from server.models.catalog import ModelSpec
from server.models.runners.base import (
    TAIL_LINES,
    Condition,
    LogLine,
    Observation,
    Replica,
    Report,
)
from server.models.runners.conversing import read_template
from server.models.runners.docker.client import Engine
from server.models.runners.docker.configuration import (
    Host,
    configuration,
    container_name,
    image_of,
    settings_hash,
)
from server.models.runners.docker.containers import Container, Containers
from server.models.runners.docker.errors import DockerUnreachable, PortTaken
from server.models.runners.docker.events import Events
from server.models.runners.docker.folders import owner_of_folder
from server.models.runners.docker.images import Images
from server.models.runners.docker.late_word import with_late_word
from server.models.runners.docker.logs import Logs
from server.models.runners.ports import PortRange
from server.models.weights_watch import HUB, watch_weights
from server.settings import DockerSettings

logger = logging.getLogger(__name__)

_HF_HUB: Final = "hub"


class DockerRunner:
    """Run each replica as a container of one engine."""

    is_managed: ClassVar[bool] = True
    outlives_us: ClassVar[bool] = True

    def __init__(
        self,
        settings: DockerSettings,
        *,
        instance: str,
        ports: tuple[int, int],
        held_ports: set[int] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`held_ports` are those of runners that share the range; ours are added to them."""
        self._settings = settings
        self._instance = instance
        self._environment = os.environ if environment is None else environment
        self._token = settings.hf_token or self._environment.get("HF_TOKEN", "")
        self._ports = PortRange(ports, held_ports if held_ports is not None else set())
        self._engine = Engine(settings.host, self._environment, ports=ports)
        self._containers = Containers(self._engine)
        self._events = Events(self._engine, instance)
        self._images = Images(self._engine)
        secrets = [self._token] if self._token else []
        self._logs = Logs(self._engine, self._containers, self._events, secrets)
        self._settings_today: dict[Replica, str] = {}
        self._starting: defaultdict[Replica, asyncio.Lock] = defaultdict(asyncio.Lock)

    # --- the seam ---------------------------------------------------------------------------

    async def start(self, replica: Replica, spec: ModelSpec, report: Report) -> Endpoint:
        """Start the container unless it runs, fetching its image first if need be.

        Raises `ModelFailed` with the cause. Cancelled at any moment, the pull included,
        nothing is left.
        """
        template = await read_template(spec.settings.chat_template)
        self._settings_today[replica] = settings_hash(spec, self._settings)
        self._events.listen()
        async with self._starting[replica]:
            await self._until_reachable(report)
            container = await self._containers.find(replica)
            if container is not None:
                if container.is_running:
                    return replace(self._adopted(container), chat_template=template)
                await self._containers.remove(container.id)
            await self._images.ensure(image_of(spec, self._settings), report)
            report(Progress("starting", None, "starting the container"))
            port = await self._run(replica, spec)
        logger.info("%s runs as %s on port %d", spec.id, container_name(replica), port)
        return self._endpoint(port, template)

    async def stop(self, replica: Replica, *, grace_seconds: float) -> None:
        """End the container and remove it.

        Raises `DockerUnreachable` when the engine does not answer: what runs there runs on.
        """
        await self._containers.stop(replica, grace_seconds=grace_seconds)

    async def inspect(self, replica: Replica) -> Observation:
        """Report what the engine says; UNKNOWN when it says nothing."""
        try:
            container = await self._containers.find(replica)
        except ModelFailed as error:
            logger.debug("the state of %s is not known: %s", replica.model, error)
            return Observation(replica, Condition.UNKNOWN)
        # One that was created and never started is no server: what an aborted start left.
        if container is None or not container.has_run:
            return Observation(replica, Condition.MISSING)
        return await self._observe(container)

    async def wait(self, replica: Replica) -> Observation:
        """Return once the container is seen not to run; an engine that is away is waited for."""
        self._events.listen()
        while True:
            count = self._events.count
            seen = await self.inspect(replica)
            if seen.condition is Condition.EXITED:
                return await with_late_word(seen, count, self.inspect, self._events)
            if seen.condition is Condition.MISSING:
                return seen
            await self._events.after(count)

    async def list(self) -> list[Observation]:
        """Report the containers of this instance; raises `ModelFailed` if none can be seen."""
        return [
            await self._observe(container)
            for container in await self._containers.of_instance(self._instance)
        ]

    def logs(self, replica: Replica, *, tail: int, follow: bool) -> AsyncIterator[LogLine]:
        """Give the last `tail` lines, then, if `follow`, each new one until the server ends."""
        return self._logs.read(replica, tail=tail, follow=follow)

    def progress(self, replica: Replica, spec: ModelSpec) -> AsyncIterator[Progress]:
        """Give the bytes of the weights as they arrive in the cache, for as long as asked."""
        return watch_weights(
            self._hub_cache() if self._engine.is_local else None,
            spec.settings.model_id,
            spec.settings.revision,
            token=self._token,
            hub=self._hub(),
        )

    async def close(self) -> None:
        """Let go of the engine; the containers go on."""
        await self._events.close()
        await self._engine.close()

    # --- starting ---------------------------------------------------------------------------

    async def _until_reachable(self, report: Report) -> None:
        while True:
            count = self._events.count
            try:
                await self._engine.ping()
                return
            except DockerUnreachable as error:
                if not self._engine.was_reached:
                    raise
                report(Progress("waiting", None, f"waiting for the Docker engine: {error.reason}"))
            await self._events.after(count)

    async def _run(self, replica: Replica, spec: ModelSpec) -> int:
        """Create and start the container on the first port that works; return the port."""
        host = await self._host()
        hub_cache = self._hub_cache()
        for port in self._ports.candidates(is_local=self._engine.is_local):
            if not self._engine.can_reach(port):
                continue
            body = configuration(
                replica,
                spec,
                self._settings,
                host,
                port=port,
                hub_cache=str(hub_cache),
                token=self._token,
                environment=self._environment,
            )
            try:
                with self._ports.hold(port):
                    await self._containers.run(container_name(replica), body)
            except PortTaken as taken:
                logger.info("port %d cannot be used: %s", port, taken)
                continue
            return port
        raise ModelFailed(
            f"no free port between {self._ports.first} and {self._ports.last}",
            hint="stop a model, or widen `ports` in [engines]",
            details={"cause": "port_taken"},
        )

    async def _host(self) -> Host:
        info = await self._engine.info()
        runtimes = set(info.get("Runtimes") or {})
        # A device that the container device interface knows, as of engine 28.
        discovered = info.get("DiscoveredDevices") or []
        is_rootless = any("rootless" in option for option in info.get("SecurityOptions") or [])
        owner = 0
        if self._engine.is_local:
            owner = await asyncio.to_thread(owner_of_folder, self._hub_cache())
        return Host(
            memory_bytes=int(info.get("MemTotal") or 0),
            has_gpus="nvidia" in runtimes or bool(discovered),
            # The root of a rootless engine's containers is the user himself outside.
            is_cache_foreign=owner != 0 and not is_rootless,
        )

    def _hub(self) -> str | None:
        """Return the hub's address; None where it is not to be asked."""
        if self._environment.get("HF_HUB_OFFLINE", "").lower() in {"1", "true", "yes", "on"}:
            return None
        return (self._environment.get("HF_ENDPOINT") or HUB).rstrip("/")

    def _adopted(self, container: Container) -> Endpoint:
        if container.port is None:
            raise ModelFailed(
                f"the container of {container.replica.model} publishes no port of ours",
                hint="stop the model and start it again",
                details={"cause": "engine_refused"},
            )
        return self._endpoint(container.port)

    def _endpoint(self, port: int, chat_template: str = "") -> Endpoint:
        hub_cache = str(self._hub_cache()) if self._engine.is_local else ""
        return Endpoint(_url(port), chat_template=chat_template, hub_cache=hub_cache)

    def _hub_cache(self) -> Path:
        return self._settings.hf_cache.expanduser().absolute() / _HF_HUB

    # --- seeing -----------------------------------------------------------------------------

    async def _observe(self, container: Container) -> Observation:
        today = self._settings_today.get(container.replica, container.settings)
        if container.is_running:
            return Observation(
                container.replica,
                Condition.RUNNING,
                None if container.port is None else self._endpoint(container.port),
                is_outdated=container.settings != today,
                image=container.image,
            )
        return Observation(
            container.replica,
            Condition.EXITED,
            exit_code=container.exit_code,
            was_out_of_memory=container.was_out_of_memory
            or container.id in self._events.out_of_memory,
            sent_signals=frozenset(self._events.sent_signals.get(container.id, ())),
            tail=tuple(await self._logs.last(container.id, TAIL_LINES)),
        )


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}"
