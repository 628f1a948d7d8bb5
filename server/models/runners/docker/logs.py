"""Read a container's log: first the history, then new lines, across broken connections.

Rules:

1. Only the current line is buffered; a slow reader slows down only its own connection to the
   engine.
2. If the connection breaks while the container runs, it is reopened from the time stamp of the last
   line; lines with that time stamp that were read already are skipped.
3. Secrets are hidden before a line is given to the reader.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection
from contextlib import aclosing
from typing import Final

from server.models.logbook import LogLine
from server.models.runners.base import Replica
from server.models.runners.containers.client import DockerEngine
from server.models.runners.containers.demultiplexer import StampedLine
from server.models.runners.containers.errors import (
    CONFLICT,
    NOT_FOUND,
    DockerRefused,
    DockerUnreachable,
)
from server.models.runners.containers.log_reading import Unread, read_log
from server.models.runners.docker.containers import Containers
from server.models.runners.docker.events import Events
from server.models.runners.redaction import Redactor

_ALL: Final = "all"
# The pause before a log that ended too early is read again.
_PAUSE_SECONDS: Final = 0.2


class Logs:
    """Read the logs of containers."""

    def __init__(
        self, engine: DockerEngine, containers: Containers, events: Events, secrets: Collection[str]
    ) -> None:
        self._engine = engine
        self._containers = containers
        self._events = events
        self._secrets = secrets

    async def last(self, container_id: str, count: int) -> list[LogLine]:
        """Return the last `count` lines; empty if the engine cannot give them."""
        redactor = Redactor(self._secrets)
        lines = self._read(container_id, tail=str(count), since="", follow=False)
        try:
            return [
                LogLine(line.time, line.stream, redactor.clean(line.text)) async for line in lines
            ]
        except (DockerRefused, DockerUnreachable):
            return []

    async def read(self, replica: Replica, *, tail: int, follow: bool) -> AsyncIterator[LogLine]:
        """Yield the last `tail` lines, then, if `follow`, each new line until the container ends.

        Without `follow` raises the errors in `errors`; with it waits for an engine that does not
        answer.
        """
        redactor = Redactor(self._secrets)
        container_id = ""
        unread = Unread()
        while True:
            count = self._events.count
            unread.again()
            try:
                container = await self._containers.find(replica)
                if container is None or (container_id and container.id != container_id):
                    return
                container_id = container.id
                first = _ALL if unread.since else str(tail)
                async with aclosing(
                    self._read(container_id, tail=first, since=unread.since, follow=follow)
                ) as lines:
                    async for line in lines:
                        if unread.has(line):
                            yield LogLine(line.time, line.stream, redactor.clean(line.text))
            except DockerUnreachable:
                if not follow:
                    raise
                self._events.listen()
                await self._events.after(count)
                continue
            except DockerRefused as refused:
                # The container is gone, or about to be.
                if refused.docker_status in {NOT_FOUND, CONFLICT}:
                    return
                raise
            if not follow or not await self._goes_on(replica, container_id):
                return
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _goes_on(self, replica: Replica, container_id: str) -> bool:
        """Tell whether more lines may follow although the log has ended."""
        try:
            container = await self._containers.find(replica)
        except DockerUnreachable:
            return True
        return container is not None and container.id == container_id and container.is_running

    def _read(
        self, container_id: str, *, tail: str, since: str, follow: bool
    ) -> AsyncGenerator[StampedLine, None]:
        path = f"containers/{container_id}/logs"
        return read_log(self._engine, path, tail=tail, since=since, follow=follow)
