"""Which runs one connection follows, and what is told of them.

Rules:

1. What is followed is the session's, as its answers are: a socket that resumes the session follows
   the same.
2. The present state of each run comes first. What changes while it is read is told as it became.
"""

import asyncio
import logging
from collections.abc import Callable, Collection

from server.core.errors import RunsOff, SidestreamError, StorageFailed, UnknownRun
from server.core.outbox import Outbox
from server.core.protocol import Error, ErrorInfo, Event
from server.runs.events import RunChanged, RunRemoved
from server.runs.following import RunFollowing
from server.runs.service import RunService
from server.runs.shapes import Run

logger = logging.getLogger(__name__)


class FollowedRuns:
    """Follow the runs that one caller may see, for one connection."""

    def __init__(self, service: RunService | None, reader: str, outbox: Outbox) -> None:
        self._service = service
        self._reader = reader
        self._outbox = outbox
        self._unsubscribe: Callable[[], None] | None = None
        self._restoring: asyncio.Task[None] | None = None

    async def follow(self, runs: Collection[str] | None) -> None:
        """Follow these runs in place of those before, all that the caller may see if None.

        Raises `RunsOff`, `UnknownRun` with all that are unknown in its details, or `StorageFailed`;
        then those before are still followed.
        """
        if runs is not None and not runs:
            self.close()
            return
        await self._follow(runs, is_restored=False)

    def restore(self, runs: Collection[str] | None) -> None:
        """Follow what the session followed; a run that was deleted meanwhile is told."""
        self._restoring = asyncio.create_task(self._restore(runs), name="followed runs")

    def close(self) -> None:
        """Follow nothing more, and drop what is queued."""
        if self._restoring is not None:
            self._restoring.cancel()
            self._restoring = None
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        self._outbox.drop_runs()

    async def _restore(self, runs: Collection[str] | None) -> None:
        try:
            await self._follow(runs, is_restored=True)
        except Exception:
            logger.exception("followed runs cannot be restored")
            self._outbox.put(Error(ErrorInfo.of(SidestreamError("internal error"))))

    async def _follow(self, runs: Collection[str] | None, *, is_restored: bool) -> None:
        service = self._service
        if service is None:
            raise RunsOff("this server keeps no prompt sets and no runs")
        meanwhile: dict[str, Event] = {}
        tell = meanwhile.__setitem__

        def changed(run: Run) -> None:
            if runs is None or run.id in runs:
                tell(run.id, RunChanged(run))

        def removed(run_id: str) -> None:
            if runs is None or run_id in runs:
                tell(run_id, RunRemoved(run_id))

        unsubscribe = service.following.subscribe(changed, removed, reader=self._reader)
        try:
            events = await self._present(service.following, runs, is_restored=is_restored)
        except BaseException:
            unsubscribe()
            raise
        # From here on nothing waits: the command's result precedes these events.
        if not is_restored:
            self.close()
        self._restoring, self._unsubscribe = None, unsubscribe
        tell = self._outbox.put_run
        for run_id, event in (events | meanwhile).items():
            tell(run_id, event)

    async def _present(
        self, following: RunFollowing, runs: Collection[str] | None, *, is_restored: bool
    ) -> dict[str, Event]:
        unknown: list[str] = []
        try:
            if runs is None:
                present = await following.present(self._reader)
            else:
                present, unknown = await following.several(self._reader, list(runs))
        except StorageFailed as error:
            if not is_restored:
                raise
            # What changes from now on is told all the same.
            self._outbox.put(Error(ErrorInfo.of(error)))
            present = []
        if unknown and not is_restored:
            raise UnknownRun(f"there is no run {unknown[0]!r}", details={"runs": unknown})
        events: dict[str, Event] = {run.id: RunChanged(run) for run in present}
        return events | {run_id: RunRemoved(run_id) for run_id in unknown}
