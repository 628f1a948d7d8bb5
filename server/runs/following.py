"""Tell those who follow runs what becomes of them.

Rules:

1. The latest state wins. That a run begins, ends or is changed by somebody is told at once. Its
   answers, of which hundreds may come in a second, are told at once or after a pause, which is the
   longer the more followers there are.
2. A reader is told of its own runs and of those shared with it, each as it sees them. One that is
   no longer shared is to it as one that was deleted.
3. For nobody, nothing is put together.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from server.core.errors import UnknownRun
from server.runs.live_run import LiveRun
from server.runs.reading import RunReader
from server.runs.shapes import Run
from server.runs.store import EVERYBODY, Store, StoredRun

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
        is_closed: Callable[[], bool],
    ) -> None:
        self._store = store
        self._reading = reading
        self._live = live
        self._is_closed = is_closed
        self._watches: dict[object, _Watch] = {}
        # Runs to tell of after the pause; a dict, since it keeps its order.
        self._due: dict[str, None] = {}
        self._pause: asyncio.TimerHandle | None = None

    # --- for those who follow ---------------------------------------------------------------

    def subscribe(
        self,
        watcher: Watcher,
        on_removed: RemovalWatcher | None = None,
        *,
        reader: str | None = None,
    ) -> Callable[[], None]:
        """Call `watcher` with every changed run; return a function that unsubscribes.

        `on_removed` gets the ids of runs that were deleted. With `reader` those are told that it
        may see, as it sees them; without, all of them with the ids of keys.
        """
        key = object()
        self._watches[key] = _Watch(watcher, on_removed, reader)

        def unsubscribe() -> None:
            self._watches.pop(key, None)

        return unsubscribe

    async def present(self, reader: str) -> list[Run]:
        """Return the runs under way that a reader may see, and those that changed last."""
        stored = await self._store.last_changed(reader, _LAST_CHANGED)
        views = {run.id: await self._reading.view_of(run, reader) for run in stored}
        for run_id, live in list(self._live.items()):
            if reader == live.run.owner or {reader, EVERYBODY} & set(live.run.readers):
                views[run_id] = self._reading.seen_by(self._reading.view_of_live(live), reader)
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
        self, reader: str, run_id: str, silence_seconds: float
    ) -> AsyncGenerator[Run | None, None]:
        """Yield a run now and after changes, the latest only, until it is over.

        Yields None after each `silence_seconds` without a change. Raises `UnknownRun`, also once
        it is deleted or no longer shared with the reader.
        """
        changed = asyncio.Event()
        latest: Run | None = None

        def note(run: Run) -> None:
            nonlocal latest
            if run.id == run_id:
                latest = run
                changed.set()

        def note_removed(removed: str) -> None:
            nonlocal latest
            if removed == run_id:
                latest = None
                changed.set()

        unsubscribe = self.subscribe(note, note_removed, reader=reader)
        try:
            while True:
                # Before it is read: what changes meanwhile is seen in the next round.
                changed.clear()
                run = latest
                if run is None or run.state != "running":
                    # First, and at the end: whose it is, what is stored, and whether it is there.
                    run = await self._get(reader, run_id)
                yield run
                if run.state != "running" or self._is_closed():
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

    def tell(self, run: Run, *, before: StoredRun | None = None) -> None:
        """Tell of a run, a view with ids, at once; `before` is as it was, if it is shared anew."""
        self._due.pop(run.id, None)
        for watch in list(self._watches.values()):
            if watch.sees(run.owner, run.shared_with):
                self._show(watch, run)
            elif before is not None and watch.sees(before.owner, before.readers):
                watch.remove(run.id)

    def tell_live(self, live: LiveRun) -> None:
        """Tell of a run that is under way at once."""
        stored = live.run
        self._due.pop(stored.id, None)
        if any(watch.sees(stored.owner, stored.readers) for watch in self._watches.values()):
            self.tell(self._reading.view_of_live(live))

    def tell_all_live(self) -> None:
        """Tell of each run that is under way at once."""
        for live in list(self._live.values()):
            self.tell_live(live)

    def tell_soon(self, live: LiveRun) -> None:
        """Tell of a run that is under way at once or after the pause."""
        if not self._watches:
            return
        self._due[live.run.id] = None
        if self._pause is None:
            self._tell_due()

    def tell_removed(self, run: StoredRun) -> None:
        """Tell that a run was deleted."""
        self._due.pop(run.id, None)
        for watch in list(self._watches.values()):
            if watch.sees(run.owner, run.readers):
                watch.remove(run.id)

    def close(self) -> None:
        """Tell nothing more."""
        self._watches.clear()
        if self._pause is not None:
            self._pause.cancel()

    # --- inside -----------------------------------------------------------------------------

    def _show(self, watch: _Watch, run: Run) -> None:
        watch.watcher(run if watch.reader is None else self._reading.seen_by(run, watch.reader))

    async def _get(self, reader: str, run_id: str) -> Run:
        return await self._reading.view_of(await self._store.run_seen_by(reader, run_id), reader)

    def _tell_due(self) -> None:
        self._pause = None
        if not self._due:
            return
        for run_id in list(self._due):
            # The end of one that is gone was told at once.
            if live := self._live.get(run_id):
                self.tell_live(live)
        self._due.clear()
        seconds = PAUSE_PER_WATCHER_SECONDS * len(self._watches)
        self._pause = asyncio.get_running_loop().call_later(seconds, self._tell_due)
