"""Read the log of a replica's task: first the history, then new lines, by asking again and again.

Rules:

1. A log that is followed never ends, not even with its task, and one of a node that is away hangs:
   so logs are polled, each reading has a time limit, and the task's state tells the end.
2. A log is read once more after its task was seen to have ended.
3. What the manager says of the log itself becomes a line of the stream `sidestream`.
4. Secrets are hidden before a line is given to the reader.
"""

import time
from collections.abc import AsyncIterator, Collection
from typing import Final

from server.core.errors import ModelFailed
from server.models.logbook import LogLine
from server.models.runners.base import Replica
from server.models.runners.containers.demultiplexer import ENGINE_STREAM, StampedLine
from server.models.runners.containers.log_reading import Unread, read_log
from server.models.runners.redaction import Redactor
from server.models.runners.swarm.errors import asking
from server.models.runners.swarm.managers import Managers
from server.models.runners.swarm.states import Task, is_away
from server.models.runners.swarm.tasks import Snapshot, Tasks

_ALL: Final = "all"
_READ_SECONDS: Final = 10.0


class Logs:
    """Read the logs of tasks."""

    def __init__(self, managers: Managers, tasks: Tasks, secrets: Collection[str]) -> None:
        self._managers = managers
        self._tasks = tasks
        self._secrets = secrets

    async def last(self, task: Task, count: int) -> list[LogLine]:
        """Return the last `count` lines; empty if they cannot be read."""
        redactor = Redactor(self._secrets)
        if not task.has_log:
            return []
        try:
            lines = await self._read(task, tail=str(count), since="")
        except ModelFailed:
            return []
        return [
            LogLine(line.time, line.stream, redactor.clean(line.text))
            for line in lines
            if line.stream != ENGINE_STREAM
        ]

    async def read(self, replica: Replica, *, tail: int, follow: bool) -> AsyncIterator[LogLine]:
        """Yield the last `tail` lines, then, if `follow`, each new line until the server ends.

        Without `follow` raises the errors in `errors`; with it waits for managers and nodes that do
        not answer.
        """
        redactor, unread = Redactor(self._secrets), Unread()
        task_id = trouble = ""
        count = None
        while True:
            try:
                snapshot = await self._seen(count)
                count = self._tasks.count
                task = _task_of(snapshot, replica)
                if task is None or (task_id and task.id != task_id):
                    return
                task_id = task.id
                lines: list[StampedLine] = []
                if task.has_log and not is_away(snapshot.node_of(task)):
                    first = _ALL if unread.since else str(tail)
                    lines = await self._read(task, tail=first, since=unread.since)
            except ModelFailed:
                if not follow:
                    raise
                count = self._tasks.count
                continue
            unread.again()
            for line in lines:
                if line.stream == ENGINE_STREAM:
                    if line.text != trouble:
                        trouble = line.text
                        yield LogLine(time.time(), ENGINE_STREAM, trouble)
                elif unread.has(line):
                    yield LogLine(line.time, line.stream, redactor.clean(line.text))
            if not follow or not task.is_alive:
                return

    async def _seen(self, count: int | None) -> Snapshot:
        """Return what there is now, later what the poller sees next."""
        if count is None:
            return await self._tasks.look()
        self._tasks.listen()
        return await self._tasks.after(count)

    async def _read(self, task: Task, *, tail: str, since: str) -> list[StampedLine]:
        async with asking("read a log", within_seconds=_READ_SECONDS):
            lines = read_log(
                self._managers.engine, f"tasks/{task.id}/logs", tail=tail, since=since, follow=False
            )
            return [line async for line in lines]


def _task_of(snapshot: Snapshot, replica: Replica) -> Task | None:
    service = snapshot.services.get(replica)
    return None if service is None else snapshot.current(service)
