"""Restart the replicas of one model one after the other, so that others answer meanwhile.

Where there is room, an additional replica is started first: if that fails, none is touched.
"""

import asyncio
import logging
import time
from typing import Protocol

from server.core.errors import SidestreamError
from server.models.catalogue.catalog import ModelSpec
from server.models.lifecycle.crew_host import CrewHost
from server.models.lifecycle.deployment import Deployment
from server.models.lifecycle.replica_settings import can_have_several
from server.models.logbook import LogBook, LogLine

logger = logging.getLogger(__name__)


class Restarted(Protocol):
    """The crew whose replicas are restarted."""

    @property
    def spec(self) -> ModelSpec:
        """Return the model."""

    @property
    def host(self) -> CrewHost:
        """Return the part of the fleet that the crew needs."""

    @property
    def log(self) -> LogBook:
        """Return the model's log."""

    @property
    def count(self) -> int:
        """Return how many replicas there are to be, without the additional one."""

    def __getitem__(self, number: int) -> Deployment:
        """Return the replica of that number."""

    def get(self, number: int) -> Deployment | None:
        """Return the replica of that number, None if there is none."""

    def staying(self) -> list[Deployment]:
        """Return the replicas that are not leaving."""

    def resize(self) -> None:
        """Make the replicas that are missing, and have those too many leave."""


class Rollout:
    """Restart the replicas of one crew."""

    def __init__(self, crew: Restarted) -> None:
        self._crew = crew
        self._task: asyncio.Task[None] | None = None
        self.extra = 0
        """The number of the additional replica while the others are restarted; 0 for none."""

    def begin(self) -> None:
        """Restart what runs, without waiting for it; a restart under way goes on."""
        if self._task is None or self._task.done() or self._task.cancelling():
            name = f"restarting {self._crew.spec.id}"
            self._task = asyncio.create_task(self._restart_each(), name=name)

    def cancel(self) -> None:
        """End a restart under way, without waiting for it."""
        if self._task is not None:
            self._task.cancel()

    async def end(self) -> None:
        """End a restart under way, and return once it has ended."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def wait(self) -> None:
        """Wait until no restart is under way."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _restart_each(self) -> None:
        crew = self._crew
        idle = ("stopped", "failed", "stopping")
        running = [one for one in crew.staying() if one.status.state not in idle]
        numbers = [one.number for one in running]
        try:
            if numbers and can_have_several(crew.spec):
                await self._start_extra()
            for number in numbers:
                await self._restart_one(number)
        except SidestreamError as error:
            # Shown at the replica; the others go on with the settings that they have.
            logger.warning("%s: the restart ends: %s", crew.spec.id, error)
            crew.log.add(LogLine(time.time(), "sidestream", f"the restart ends: {error}"))
        finally:
            self.extra = 0
            crew.resize()

    async def _restart_one(self, number: int) -> None:
        """Restart a replica, unless it leaves: that one is not started again."""
        one = self._crew.get(number)
        if one is None:
            return
        try:
            if one in self._crew.staying():
                await one.stop()
            if one in self._crew.staying():
                await one.ensure_ready()
        except SidestreamError:
            if one in self._crew.staying():
                raise

    async def _start_extra(self) -> None:
        number = self._crew.count + 1
        if await self._crew.host.has_room(self._crew.spec, number):
            self.extra = number
            self._crew.resize()
            await self._crew[number].ensure_ready()
