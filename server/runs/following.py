"""Tell those who follow runs what becomes of them.

Rules:

1. The latest state wins. That a run begins, ends or is changed by somebody is told at once. Its
   answers, of which hundreds may come in a second, are told at once or after a pause, which is the
   longer the more followers there are. So it is with its judges and what they say; a vote is told
   at once.
2. A reader is told of its own runs and of those shared with it, each as it sees them. One that is
   no longer shared is to it as one that was deleted.
3. For nobody, nothing is put together.
4. What is told is known here: nothing is read for an answer or a judgement. Only after a judge or
   a vote has changed, a run is read once, by one task for all of them. What was told of it while it
   was read is newer: then it is read again.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from server.core.errors import StorageFailed, UnknownRun
from server.runs.assessments import Assessments
from server.runs.live_judge import LiveJudge
from server.runs.live_run import LiveRun
from server.runs.reading import RunReader
from server.runs.shapes import Run
from server.runs.store import EVERYBODY, Store, StoredRun

logger = logging.getLogger(__name__)

Watcher = Callable[[Run], None]
RemovalWatcher = Callable[[str], None]

# A run with eight targets is some 3 KB for each of them.
PAUSE_PER_WATCHER_SECONDS: Final = 0.02

# What may have ended while a client was cut off.
_LAST_CHANGED: Final = 20


@dataclass(frozen=True)
class _Watch:
    watcher: Watcher
    on_removed: RemovalWatcher | None
    on_end: Callable[[], None] | None
    reader: str | None

    def remove(self, run_id: str) -> None:
        if self.on_removed is not None:
            self.on_removed(run_id)

    def sees(self, owner: str, readers: Collection[str]) -> bool:
        return self.reader in (None, owner) or self.reader in readers or EVERYBODY in readers


class RunFollowing:
    """Tell watchers of changed runs, and what runs are like now."""

    def __init__(
        self,
        store: Store,
        reading: RunReader,
        live: Mapping[str, LiveRun],
        live_judges: Mapping[str, LiveJudge],
        is_closed: Callable[[], bool],
    ) -> None:
        self._store = store
        self._reading = reading
        self._live = live
        self._live_judges = live_judges
        self._is_closed = is_closed
        self._watches: dict[object, _Watch] = {}
        # Runs to tell of after the pause; a dict, since it keeps its order.
        self._due: dict[str, None] = {}
        self._pause: asyncio.TimerHandle | None = None
        # Runs that are judged and not asked, as they were read last.
        self._judged: dict[str, Run] = {}
        self._to_read: dict[str, None] = {}
        self._changes = 0
        self.has_ended = False
        """Whether nothing more is told to those who follow."""
        self._being_read = ""
        self._is_overtaken = False
        self._is_reassessed = False
        self._reader: asyncio.Task[None] | None = None

    # --- for those who follow ---------------------------------------------------------------

    def subscribe(
        self,
        watcher: Watcher,
        on_removed: RemovalWatcher | None = None,
        *,
        on_end: Callable[[], None] | None = None,
        reader: str | None = None,
    ) -> Callable[[], None]:
        """Call `watcher` with every changed run; return a function that unsubscribes.

        `on_removed` gets the ids of runs that were deleted, and `on_end` is called once nothing
        more is told. With `reader` those are told that it may see, as it sees them; without, all of
        them with the ids of keys.
        """
        key = object()
        self._watches[key] = _Watch(watcher, on_removed, on_end, reader)

        def unsubscribe() -> None:
            self._watches.pop(key, None)

        return unsubscribe

    async def present(self, reader: str) -> list[Run]:
        """Return the runs under way that a reader may see, and those that changed last."""
        stored = await self._store.last_changed(reader, _LAST_CHANGED)
        views = {run.id: await self._reading.view_of(run, reader) for run in stored}
        for run_id, live in list(self._live.items()):
            if reader == live.run.owner or {reader, EVERYBODY} & set(live.run.readers):
                with suppress(UnknownRun):
                    views[run_id] = await self._reading.view_of(live.run, reader)
        return list(views.values())

    async def several(self, reader: str, run_ids: Sequence[str]) -> tuple[list[Run], list[str]]:
        """Return these runs, and which of the ids are none that the reader may see."""
        views, unknown = [], []
        for run_id in dict.fromkeys(run_ids):
            try:
                views.append(await self._get(reader, run_id))
            except UnknownRun:
                unknown.append(run_id)
        return views, unknown

    async def follow(
        self, reader: str, run_id: str, silence_seconds: float, *, with_judges: bool = False
    ) -> AsyncGenerator[Run | None, None]:
        """Yield a run now and after changes, the latest only, until it is over.

        With `with_judges` none of its judges may be at work either. Ends also with the first change
        once the service is closed, or when `end` is called. Yields None after each
        `silence_seconds` without a change. Raises `UnknownRun`, also once it is deleted or no
        longer shared with the reader.
        """
        changed = asyncio.Event()
        latest: Run | None = None
        has_news = True

        def note(run: Run) -> None:
            nonlocal latest, has_news
            if run.id == run_id:
                latest, has_news = run, True
                changed.set()

        def note_removed(removed: str) -> None:
            nonlocal latest, has_news
            if removed == run_id:
                latest, has_news = None, True
                changed.set()

        unsubscribe = self.subscribe(note, note_removed, on_end=changed.set, reader=reader)
        try:
            while has_news:
                # Before it is read: what changes meanwhile is seen in the next round.
                changed.clear()
                has_news = False
                run = latest
                if run is None or _is_over(run, with_judges=with_judges):
                    # First, and at the end: whose it is, what is stored, and whether it is there.
                    run = await self._get(reader, run_id)
                yield run
                if _is_over(run, with_judges=with_judges) or self._is_closed():
                    return
                while not changed.is_set():
                    try:
                        async with asyncio.timeout(silence_seconds):
                            await changed.wait()
                    except TimeoutError:
                        yield None
        finally:
            unsubscribe()

    # --- for the service --------------------------------------------------------------------

    async def read_assessments(self, run: StoredRun) -> Assessments | None:
        """Return the judges and votes of a run that is about to begin; None if they change."""
        before = self._changes
        found = await self._store.assessments.read(run.number)
        return found if self._changes == before else None

    def tell(self, run: Run, *, before: StoredRun | None = None) -> None:
        """Tell of a run, a view with ids, at once; `before` is as it was, if it is shared anew."""
        self._note_telling(run.id)
        self._tell(run, before)

    def tell_live(self, live: LiveRun) -> None:
        """Tell of a run that is under way at once."""
        stored = live.run
        self._note_telling(stored.id)
        if not self._is_seen(stored.owner, stored.readers):
            return
        if live.assessments is not None:
            self._tell(self._reading.view_of_live(live, live.assessments))
        elif stored.id != self._being_read:
            self._read_soon(stored.id)

    def tell_all_live(self) -> None:
        """Tell of each run that is under way at once."""
        for live in list(self._live.values()):
            self.tell_live(live)

    def tell_soon(self, live: LiveRun) -> None:
        """Tell of a run that is under way at once or after the pause."""
        self._tell_soon(live.run.id)

    def tell_judgement(self, run_id: str) -> None:
        """Tell of what a judge said at once or after the pause."""
        self._tell_soon(run_id)

    def tell_assessed(self, run_id: str) -> None:
        """Tell at once that a judge of a run begins, ends or is changed, or of a vote."""
        self._changes += 1
        self._is_reassessed |= run_id == self._being_read
        self._judged.pop(run_id, None)
        if live := self._live.get(run_id):
            live.assessments = None
        if self._watches:
            self._read_soon(run_id)

    def tell_removed(self, run: StoredRun) -> None:
        """Tell that a run was deleted."""
        self._note_telling(run.id)
        self._to_read.pop(run.id, None)
        for watch in list(self._watches.values()):
            if watch.sees(run.owner, run.readers):
                watch.remove(run.id)

    def end(self) -> None:
        """Have each `follow` end, also where nothing changes any more."""
        self.has_ended = True
        for watch in list(self._watches.values()):
            if watch.on_end is not None:
                watch.on_end()

    async def close(self) -> None:
        """Tell nothing more."""
        self.end()
        self._watches.clear()
        self._to_read.clear()
        if self._pause is not None:
            self._pause.cancel()
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait([self._reader])

    # --- inside -----------------------------------------------------------------------------

    def _show(self, watch: _Watch, run: Run) -> None:
        watch.watcher(run if watch.reader is None else self._reading.seen_by(run, watch.reader))

    def _tell(self, run: Run, before: StoredRun | None = None) -> None:
        for watch in list(self._watches.values()):
            if watch.sees(run.owner, run.shared_with):
                self._show(watch, run)
            elif before is not None and watch.sees(before.owner, before.readers):
                watch.remove(run.id)

    def _is_seen(self, owner: str, readers: Collection[str]) -> bool:
        return any(watch.sees(owner, readers) for watch in self._watches.values())

    def _is_judged(self, run_id: str) -> bool:
        return any(judge.stored.run_id == run_id for judge in self._live_judges.values())

    def _note_telling(self, run_id: str) -> None:
        """Forget what is older than what is told now."""
        self._due.pop(run_id, None)
        self._judged.pop(run_id, None)
        self._is_overtaken |= run_id == self._being_read

    async def _get(self, reader: str, run_id: str) -> Run:
        return await self._reading.view_of(await self._store.run_seen_by(reader, run_id), reader)

    def _tell_judged(self, run_id: str) -> None:
        """Tell of a run that is judged and not asked."""
        if known := self._judged.get(run_id):
            if self._is_seen(known.owner, known.shared_with):
                self._tell(self._reading.with_progress(known))
        elif run_id != self._being_read:
            self._read_soon(run_id)

    def _read_soon(self, run_id: str) -> None:
        self._to_read[run_id] = None
        if self._reader is None or self._reader.done():
            self._reader = asyncio.create_task(self._read_all(), name="runs that are told")

    async def _read_all(self) -> None:
        while self._to_read:
            run_id = next(iter(self._to_read))
            del self._to_read[run_id]
            self._being_read, self._is_overtaken, self._is_reassessed = run_id, False, False
            try:
                run = await self._store.run_of_anybody(run_id)
                self._tell_read(await self._reading.view_with_ids(run))
            except UnknownRun:
                continue  # That it was deleted is told.
            except StorageFailed as error:
                logger.error("run %s has changed, which cannot be read: %s", run_id, error)
            except Exception:
                logger.exception("run %s has changed, which cannot be told", run_id)
            finally:
                self._being_read = ""

    def _tell_read(self, run: Run) -> None:
        """Tell of a run that was read just now, and know it until it changes again."""
        if live := self._live.get(run.id):
            assessments = Assessments(run.judges, run.votes)
            if not self._is_reassessed:
                live.assessments = assessments
            self._tell(self._reading.view_of_live(live, assessments))
        elif self._is_overtaken:
            self._to_read[run.id] = None
        else:
            if not self._is_reassessed and self._is_judged(run.id):
                self._judged[run.id] = run
            self._tell(run)

    def _tell_soon(self, run_id: str) -> None:
        if not self._watches:
            return
        self._due[run_id] = None
        if self._pause is None:
            self._tell_due()

    def _tell_due(self) -> None:
        self._pause = None
        if not self._due:
            return
        for run_id in list(self._due):
            # The end of one that is gone was told at once.
            if live := self._live.get(run_id):
                self.tell_live(live)
            elif self._is_judged(run_id):
                self._tell_judged(run_id)
        self._due.clear()
        seconds = PAUSE_PER_WATCHER_SECONDS * len(self._watches)
        self._pause = asyncio.get_running_loop().call_later(seconds, self._tell_due)


def _is_over(run: Run, *, with_judges: bool) -> bool:
    return run.state != "running" and not (
        with_judges and any(judge.state == "running" for judge in run.judges)
    )
