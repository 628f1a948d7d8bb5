"""The engine's containers: found by name and label, created, started, stopped, removed.

The name of a container is unique, so the engine itself prevents a second one of the same replica.
Labels tell which gateway a container belongs to. Containers without these labels are never used or
changed, nor are containers with the labels but another name: an image made from a container
(`docker commit`) passes its labels on.
"""

import asyncio
import logging
import math
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Final

from server.core.docker_engine import LABEL_INSTANCE, container_name
from server.engines.engine import Engine as ModelEngine
from server.models.runners.base import Replica
from server.models.runners.containers.cancelling import end_of
from server.models.runners.containers.client import CALL_SECONDS, DockerEngine
from server.models.runners.containers.command import LABEL_SETTINGS, labelled_engine, replica_of
from server.models.runners.containers.errors import (
    CONFLICT,
    NOT_FOUND,
    DockerRefused,
    DockerUnreachable,
    calling,
)
from server.models.runners.docker.configuration import published_port

# How many times to look whether a removal by somebody else is done.
_REMOVAL_LOOKS: Final = 100
_REMOVAL_LOOK_SECONDS: Final = 0.2
_RUNNING: Final = frozenset({"running", "paused", "restarting"})

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Container:
    """The engine's description of one of the gateway's containers."""

    id: str
    replica: Replica
    status: str
    port: int | None
    exit_code: int
    was_out_of_memory: bool
    settings: str
    image: str
    """The name of its image, and the image's digest."""
    engine: ModelEngine
    started: str
    """When its process was last started, as the engine tells it."""

    @property
    def run(self) -> tuple[str, str]:
        """Return what tells one run of it from the next: a restart keeps the id."""
        return self.id, self.started

    @property
    def is_running(self) -> bool:
        """Tell whether its process exists, even if it is paused."""
        return self.status in _RUNNING

    @property
    def has_run(self) -> bool:
        """Tell whether it was ever started."""
        return self.status != "created"


class Containers:
    """Find, create, stop and remove containers; every method raises the errors in `errors`."""

    def __init__(self, engine: DockerEngine) -> None:
        self._engine = engine

    async def find(self, replica: Replica) -> Container | None:
        """Return the replica's container; raises `DockerRefused` if a foreign one has its name."""
        name = name_of(replica)
        try:
            async with calling("show a container", within_seconds=CALL_SECONDS):
                docker = await self._engine.docker()
                container = _read(await docker.containers.container(name).show())
        except DockerRefused as refused:
            if refused.docker_status == NOT_FOUND:
                return None
            raise
        if container is None or container.replica != replica:
            raise DockerRefused(
                f"the container {name} is not this gateway's",
                "name_taken",
                "rename or remove it, or set another `instance` in [server]",
                CONFLICT,
            )
        return container

    async def of_instance(self, instance: str) -> list[Container]:
        """Return all containers of a gateway instance that were ever started."""
        filters = f'{{"label":["{LABEL_INSTANCE}={instance}"]}}'
        async with calling("list containers", within_seconds=CALL_SECONDS):
            docker = await self._engine.docker()
            listed = await docker.containers.list(all=True, filters=filters)
        found = []
        for one in listed:
            try:
                async with calling("show a container", within_seconds=CALL_SECONDS):
                    container = _read(await one.show())
            except DockerRefused as refused:
                if refused.docker_status != NOT_FOUND:
                    raise
                continue  # It was removed meanwhile.
            if container is not None and container.has_run:
                found.append(container)
        return found

    async def run(self, name: str, configuration: dict[str, Any]) -> None:
        """Create and start a container; if cancelled or failed, nothing of it is left.

        Raises `PortTaken` if the port to publish is taken.
        """
        running = asyncio.ensure_future(self._create_and_start(name, configuration))
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            # The engine may be creating the container now: it can be removed only once the engine
            # has answered.
            if await end_of(running) is None:
                await self._surely(self.remove(name), name)
            raise

    async def stop(self, replica: Replica, *, grace_seconds: float) -> None:
        """Ask a container to end, kill it after `grace_seconds`, and remove it.

        Does nothing if there is none. If cancelled, it is killed and removed at once.
        """
        try:
            container = await self.find(replica)
            if container is None:
                return
            if container.is_running:
                seconds = math.ceil(grace_seconds)
                await _absent_is_success(
                    self._stop(container, seconds), within_seconds=seconds + CALL_SECONDS
                )
            await self.remove(container.id)
        except asyncio.CancelledError:
            await self._surely(self.discard(replica), name_of(replica))
            raise

    async def discard(self, replica: Replica) -> None:
        """Kill and remove the replica's container; does nothing if there is none."""
        container = await self.find(replica)
        if container is not None:
            await self.remove(container.id)

    async def remove(self, name_or_id: str) -> None:
        """Kill and remove a container; does nothing if there is none."""
        try:
            await _absent_is_success(self._remove(name_or_id), within_seconds=CALL_SECONDS)
        except DockerRefused as refused:
            if refused.docker_status != CONFLICT:
                raise
            await self._until_gone(name_or_id)

    async def _surely(self, removal: Coroutine[Any, Any, None], name: str) -> None:
        """Let a removal finish, however often this is cancelled."""
        error = await end_of(asyncio.ensure_future(removal))
        if error is not None:
            logger.warning("%s may still run: %s", name, error)

    async def _create_and_start(self, name: str, configuration: dict[str, Any]) -> None:
        async with calling("create the container", within_seconds=CALL_SECONDS):
            docker = await self._engine.docker()
            container = await docker.containers.create(configuration, name=name)
        try:
            async with calling("start the container", within_seconds=CALL_SECONDS):
                await container.start()
        except (DockerRefused, DockerUnreachable):
            await self.remove(container.id)
            raise

    async def _stop(self, container: Container, seconds: int) -> None:
        docker = await self._engine.docker()
        await docker.containers.container(container.id).stop(t=seconds)

    async def _remove(self, name_or_id: str) -> None:
        docker = await self._engine.docker()
        await docker.containers.container(name_or_id).delete(force=True, v=True)

    async def _until_gone(self, name_or_id: str) -> None:
        """Wait for a removal that somebody else has begun."""
        for _ in range(_REMOVAL_LOOKS):
            try:
                async with calling("show a container", within_seconds=CALL_SECONDS):
                    docker = await self._engine.docker()
                    await docker.containers.container(name_or_id).show()
            except DockerRefused as refused:
                if refused.docker_status == NOT_FOUND:
                    return
                raise
            await asyncio.sleep(_REMOVAL_LOOK_SECONDS)
        raise DockerRefused(
            f"the Docker engine does not get done with removing {name_or_id}",
            "engine_refused",
            "restart the engine",
            CONFLICT,
        )


def name_of(replica: Replica) -> str:
    """Return the name of a replica's container."""
    return container_name(replica.instance, replica.model, replica.number)


def _read(shown: dict[str, Any]) -> Container | None:
    """Parse an inspected container; None if its labels or its name are not the gateway's."""
    labels = shown["Config"].get("Labels") or {}
    replica = replica_of(labels)
    if replica is None or shown["Name"].lstrip("/") != name_of(replica):
        return None
    state = shown["State"]
    return Container(
        id=shown["Id"],
        replica=replica,
        status=state["Status"],
        port=published_port(shown),
        exit_code=state["ExitCode"],
        was_out_of_memory=bool(state.get("OOMKilled")),
        settings=labels.get(LABEL_SETTINGS, ""),
        image=f"{shown['Config']['Image']} {shown['Image']}",
        engine=labelled_engine(labels),
        started=state.get("StartedAt", ""),
    )


async def _absent_is_success(call: Coroutine[Any, Any, None], *, within_seconds: float) -> None:
    try:
        async with calling("stop or remove the container", within_seconds=within_seconds):
            await call
    except DockerRefused as refused:
        if refused.docker_status != NOT_FOUND:
            raise
