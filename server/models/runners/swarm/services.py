"""The swarm's services: created with their secret, and removed.

The name of a service is unique, so the swarm itself prevents a second one of the same replica.
Labels tell which gateway a service belongs to; services without them are never changed. Before each
change the gateway makes sure that it holds the instance's lock.
"""

import asyncio
import base64
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final

from server.engines.engine import Engine
from server.models.runners.base import Replica
from server.models.runners.containers.cancelling import end_of
from server.models.runners.containers.errors import (
    CONFLICT,
    NOT_FOUND,
    DockerRefused,
    DockerUnreachable,
    calling,
)
from server.models.runners.swarm.configuration import secret_body
from server.models.runners.swarm.lock import Lock
from server.models.runners.swarm.managers import Managers
from server.models.runners.swarm.tasks import name_of

logger = logging.getLogger(__name__)

# A registry that does not answer delays no start by more, and not the next ones at all.
_LOOK_UP_SECONDS: Final = 10.0
_SILENT_SECONDS: Final = 300.0


class Services:
    """Create and remove services; every method raises the errors in `errors`."""

    def __init__(self, managers: Managers, lock: Lock) -> None:
        self._managers = managers
        self._lock = lock
        self._digests: dict[str, str] = {}
        self._silent_until = 0.0

    async def pinned(self, image: str) -> str:
        """Return the image's name with the digest that its tag stands for now.

        Each node pulls a tag by itself, at every start, and may get another image. The tag is
        looked up once, so that all replicas run the same. Without a registry that answers it stays
        as it is: the nodes may have the image.
        """
        if image.startswith("sha256:") or "@" in image:
            return image
        if image not in self._digests:
            if time.monotonic() < self._silent_until:
                return image
            try:
                async with calling("look up an image", within_seconds=_LOOK_UP_SECONDS):
                    told = await self._managers.get("look up", f"distribution/{image}/json")
            except (DockerRefused, DockerUnreachable) as error:
                logger.info("%s cannot be looked up at its registry: %s", image, error)
                if isinstance(error, DockerUnreachable):
                    self._silent_until = time.monotonic() + _SILENT_SECONDS
                return image
            name = image.rpartition(":")[0] if ":" in image.rpartition("/")[2] else image
            self._digests[image] = f"{name}@{told['Descriptor']['digest']}"
        return self._digests[image]

    async def create(
        self,
        replica: Replica,
        engine: Engine,
        token: str,
        configuration: Callable[[str], dict[str, Any]],
    ) -> str:
        """Create a service and return its id; if cancelled or failed, nothing of it is left.

        `configuration` is called with the id of the secret that holds the token, empty for none.
        """
        creating = asyncio.ensure_future(self._create(replica, engine, token, configuration))
        try:
            return await asyncio.shield(creating)
        except asyncio.CancelledError:
            # It may be created now: it can be removed only once the manager has answered.
            if await end_of(creating) is None:
                await self.surely(self.remove(replica), replica)
            raise

    async def remove(self, replica: Replica) -> None:
        """Remove a replica's service and its secret; does nothing if there are none.

        The tasks end by themselves, within the grace that the service was created with.
        """
        await self._lock.confirm()
        name = name_of(replica)
        await self._delete("remove a service", f"services/{name}")
        await self._delete("remove a secret", f"secrets/{name}")

    async def surely(self, call: Coroutine[Any, Any, None], replica: Replica) -> None:
        """Let a call finish, however often this is cancelled."""
        error = await end_of(asyncio.ensure_future(call))
        if error is not None:
            logger.warning("%s may still run: %s", name_of(replica), error)

    async def _create(
        self,
        replica: Replica,
        engine: Engine,
        token: str,
        configuration: Callable[[str], dict[str, Any]],
    ) -> str:
        await self._lock.confirm()
        secret = ""
        if token:
            # One that an earlier run has left may hold another token, which nobody can read.
            await self._delete("remove a secret", f"secrets/{name_of(replica)}")
            data = base64.b64encode(token.encode()).decode()
            secret = await self._managers.create(
                "create a secret", "secrets/create", secret_body(replica, engine, data)
            )
        try:
            return await self._managers.create(
                "create a service", "services/create", configuration(secret)
            )
        except BaseException as error:
            if secret:
                await self._delete("remove a secret", f"secrets/{secret}")
            if isinstance(error, DockerRefused) and error.docker_status == CONFLICT:
                raise DockerRefused(
                    f"the service {name_of(replica)} is not this gateway's",
                    "name_taken",
                    "rename or remove it, or set another `instance` in [server]",
                    CONFLICT,
                ) from None
            raise

    async def _delete(self, what: str, path: str) -> None:
        try:
            await self._managers.delete(what, path)
        except DockerRefused as refused:
            if refused.docker_status != NOT_FOUND:
                raise
