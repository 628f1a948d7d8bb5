"""Changes that are carried through, also where whoever asked for them goes away meanwhile.

A client that closes its connection has its request cancelled. A pause that broke off then would
leave a run that counts as under way, and of which nothing is asked any more.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
logger = logging.getLogger(__name__)


class Unattended:
    """The changes that are being carried through."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    async def done(self, change: Coroutine[Any, Any, T], name: str) -> T:
        """Carry a change through and return its result; cancelled, it goes on by itself."""
        task = self._begin(change, name)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_log_failure)
            raise

    def begin(self, change: Coroutine[Any, Any, object], name: str) -> None:
        """Carry a change through that nobody waits for; a failure is logged."""
        self._begin(change, name).add_done_callback(_log_failure)

    async def close(self) -> None:
        """Wait until all is carried through."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _begin(self, change: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        task = asyncio.create_task(change, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _log_failure(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("%s: %s", task.get_name(), error)
