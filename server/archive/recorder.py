"""Write answers into the database while they are written by their models.

Rules:

1. An answer is followed by a cursor into its log, as a socket follows it; per token nothing is
   done but to note that there is something new.
2. What is new of all answers is one transaction: at once when it was quiet, then no sooner than
   `BEAT_SECONDS` after the last, or `PAUSE_SECONDS` when an answer has ended.
3. A cursor moves when its text is stored. While nothing can be stored, answers go on, cursors
   stand still, and the same is tried again, ever later, until it works.
4. That it does not work is said once, and once that it works again.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Sequence
from typing import Final

from server.archive.database import Database, Transaction
from server.archive.following import DescribeEngine, Following, write_all
from server.core.errors import StorageFailed
from server.core.protocol import ErrorInfo, Keeping

logger = logging.getLogger(__name__)

# A crash loses what is newer; each costs a write that reaches the disk.
BEAT_SECONDS: Final = 0.5
# Many answers that end one after the other do not become a write each.
PAUSE_SECONDS: Final = 0.05
_LONGEST_PAUSE_SECONDS: Final = 5.0
# What waits in memory when nothing can be stored: an answer's log of some 10 KB each.
MAX_WAITING: Final = 5_000

Listener = Callable[[Keeping], None]
# What it is, the number of its conversation, its id.
Followed = tuple[str, int, str]


class Recorder:
    """Follow answers and store what they become."""

    def __init__(self, database: Database, describe: DescribeEngine) -> None:
        self._database = database
        self._describe = describe
        self._following: dict[tuple[int, str], Following] = {}
        self._due: list[Following] = []
        self._wake = asyncio.Event()
        self._has_ended = asyncio.Event()
        self._flushing = asyncio.Lock()
        self._flushes: set[asyncio.Task[None]] = set()
        self._listeners: set[Listener] = set()
        self.keeping = Keeping("on")
        self._task = asyncio.create_task(self._run(), name="conversations")

    # --- what is followed -------------------------------------------------------------------

    def follow(self, following: Following) -> None:
        """Store an answer from now on until it has ended."""
        self._following[following.key] = following
        following.attach(self._note)
        self._note(following)

    @property
    def followed(self) -> frozenset[Followed]:
        """Return the answers that are followed, and the turns they belong to."""
        answers = {("answer", *key) for key in self._following}
        turns = {("turn", f.conversation, f.turn.id) for f in self._following.values()}
        return frozenset(answers | turns)

    @property
    def is_full(self) -> bool:
        """Tell whether too many answers wait to be stored for another one."""
        return len(self._following) >= MAX_WAITING

    def forget(self, conversation: int) -> None:
        """Store nothing more of a conversation."""
        for key in [key for key in self._following if key[0] == conversation]:
            self._following.pop(key).detach()

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Have `listener` told when storing begins to fail and when it works again."""
        self._listeners.add(listener)
        return lambda: self._listeners.discard(listener)

    # --- storing ----------------------------------------------------------------------------

    async def flush(self) -> None:
        """Store all that is new; raises `StorageFailed`. Cancelled, it is stored all the same.

        Of what is cut off while it is committed nobody knows whether it is stored, and readers,
        who store what is new before they look, may leave at any moment.
        """
        flush = asyncio.create_task(self._flush(), name="storing")
        self._flushes.add(flush)
        flush.add_done_callback(self._flushed)
        await asyncio.shield(flush)

    def _flushed(self, flush: asyncio.Task[None]) -> None:
        self._flushes.discard(flush)
        # Who waits for it hears of a failure; if nobody does any more, it is tried again and said.
        if not flush.cancelled():
            flush.exception()

    async def _flush(self) -> None:
        async with self._flushing:
            due, self._due = self._due, []
            self._wake.clear()
            self._has_ended.clear()
            wanted = [following for following in due if following.key in self._following]
            try:
                if wanted:
                    await self._store(wanted)
            except BaseException:
                self._due = due + self._due
                self._wake.set()
                raise
            for following in due:
                following.is_due = False
            for following in wanted:
                if following.is_stored:
                    self._following.pop(following.key, None)
                    following.detach()
                elif following.has_news:
                    self._note(following)

    async def close(self) -> None:
        """Store what is left, and end; what cannot be stored is lost, and said to be."""
        self._task.cancel()
        await asyncio.wait([self._task, *self._flushes])
        try:
            await self.flush()
        except StorageFailed as error:
            logger.error("%d answers are not stored: %s", len(self._following), error)

    def _note(self, following: Following) -> None:
        if not following.is_due:
            following.is_due = True
            self._due.append(following)
            self._wake.set()
        if following.generation.has_ended:
            self._has_ended.set()

    async def _run(self) -> None:
        pause = BEAT_SECONDS
        while True:
            await self._wake.wait()
            try:
                await self.flush()
            except StorageFailed as error:
                failure: StorageFailed | None = error
            except Exception:
                logger.exception("storing broke")
                failure = StorageFailed("internal error")
            else:
                failure = None
            self._tell(failure)
            if failure is not None:
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
                continue
            pause = BEAT_SECONDS
            await asyncio.sleep(PAUSE_SECONDS)
            try:
                async with asyncio.timeout(BEAT_SECONDS - PAUSE_SECONDS):
                    await self._has_ended.wait()
            except TimeoutError:
                continue

    async def _store(self, wanted: Sequence[Following]) -> None:
        try:
            async with self._database.change() as transaction:
                await self._write(transaction, wanted)
        except sqlite3.IntegrityError:
            if len(wanted) > 1:
                for following in wanted:
                    await self._store([following])
                return
            # One that contradicts what is there must not hold up all others for ever.
            logger.exception("the answer %s cannot be stored", wanted[0].key)
            self._following.pop(wanted[0].key, None)
            wanted[0].detach()
            return
        for following in wanted:
            following.settle()

    async def _write(self, transaction: Transaction, wanted: Sequence[Following]) -> None:
        for following in wanted:
            following.take(self._describe)
        await write_all(transaction, wanted)

    def _tell(self, error: StorageFailed | None) -> None:
        if (error is None) == (self.keeping.state == "on"):
            return
        if error is None:
            logger.info("conversations are stored again")
            self.keeping = Keeping("on")
        else:
            logger.error("conversations are not stored for the time being: %s", error)
            self.keeping = Keeping("failing", ErrorInfo(error.code, error.message, error.hint))
        for listener in [*self._listeners]:
            listener(self.keeping)
