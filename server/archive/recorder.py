"""Store answers in the database while they are generated.

Rules:

1. Each answer has a cursor into its log, as a socket has. A token costs nothing but a note that
   the answer has something new.
2. What is new of all answers is written in one transaction: at once after a quiet time, otherwise
   `BEAT_SECONDS` after the last one, or `PAUSE_SECONDS` when an answer has ended.
3. A cursor advances when its text is committed. While nothing can be stored, answers go on,
   cursors stay, and the write is tried again after longer and longer pauses until it succeeds.
4. A failure is reported once, and so is the end of it.
"""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Final

from server.archive.answer_writer import AnswerWriter, DescribeEngine, write_all
from server.core.errors import StorageFailed
from server.core.protocol import ErrorInfo, StorageStatus
from server.storage.database import Database, Transaction

logger = logging.getLogger(__name__)

# A crash loses at most this much; each write has to reach the disk.
BEAT_SECONDS: Final = 0.5
# So that answers that end shortly after each other share one write.
PAUSE_SECONDS: Final = 0.05
_LONGEST_PAUSE_SECONDS: Final = 5.0
# How many answers wait in memory, at some 10 KB each, while nothing can be stored.
MAX_WAITING: Final = 5_000

Listener = Callable[[StorageStatus], None]


class Recorder:
    """Store answers as they grow."""

    def __init__(self, database: Database, describe: DescribeEngine) -> None:
        self._database = database
        self._describe = describe
        self._writers: dict[tuple[int, str], AnswerWriter] = {}
        self._due: list[AnswerWriter] = []
        self._wake = asyncio.Event()
        self._has_ended = asyncio.Event()
        self._flushing = asyncio.Lock()
        self._flushes: set[asyncio.Task[None]] = set()
        self._listeners: set[Listener] = set()
        self.status = StorageStatus("on")
        self._task = asyncio.create_task(self._run(), name="conversations")

    # --- answers ----------------------------------------------------------------------------

    def add(self, writer: AnswerWriter) -> None:
        """Store an answer from now on until it has ended."""
        self._writers[writer.key] = writer
        writer.watch(self._mark_due)
        self._mark_due(writer)

    def turns_of_unfinished(self) -> dict[tuple[int, str], str]:
        """Return the turns of the answers that are not completely stored, by `AnswerWriter.key`."""
        return {key: writer.turn.id for key, writer in self._writers.items()}

    def is_storing(self, request_id: str) -> bool:
        """Tell whether an answer to a command of that id is not completely stored."""
        return any(writer.request == request_id for writer in self._writers.values())

    @property
    def is_full(self) -> bool:
        """Tell whether so many answers wait to be stored that another one is refused."""
        return len(self._writers) >= MAX_WAITING

    def drop(self, conversation: int) -> None:
        """Store nothing more of a conversation."""
        for key in [key for key in self._writers if key[0] == conversation]:
            self._writers.pop(key).unwatch()

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` when storing begins to fail and when it works again."""
        self._listeners.add(listener)
        return lambda: self._listeners.discard(listener)

    # --- storing ----------------------------------------------------------------------------

    async def flush(self) -> None:
        """Store everything new; raises `StorageFailed`. Cancelling the caller does not stop it.

        Readers flush before they read and may be cancelled at any moment, and after a cancelled
        commit nobody could tell whether the text is stored.
        """
        flush = asyncio.create_task(self._flush(), name="storing")
        self._flushes.add(flush)
        flush.add_done_callback(self._on_flushed)
        await asyncio.shield(flush)

    def _on_flushed(self, flush: asyncio.Task[None]) -> None:
        self._flushes.discard(flush)
        # The caller gets the exception. If it has left, the next attempt logs the failure.
        if not flush.cancelled():
            flush.exception()

    async def _flush(self) -> None:
        async with self._flushing:
            due, self._due = self._due, []
            self._wake.clear()
            self._has_ended.clear()
            wanted = [writer for writer in due if writer.key in self._writers]
            try:
                if wanted:
                    await self._store(wanted)
            except BaseException:
                self._due = due + self._due
                self._wake.set()
                raise
            for writer in due:
                writer.is_due = False
            for writer in wanted:
                if writer.is_complete:
                    self._writers.pop(writer.key, None)
                    writer.unwatch()
                elif writer.has_unstored:
                    self._mark_due(writer)

    async def close(self) -> None:
        """Store the rest and stop; what cannot be stored is lost, and logged."""
        self._task.cancel()
        await asyncio.wait([self._task, *self._flushes])
        try:
            await self.flush()
        except StorageFailed as error:
            logger.error("%d answers are not stored: %s", len(self._writers), error)

    def _mark_due(self, writer: AnswerWriter) -> None:
        if not writer.is_due:
            writer.is_due = True
            self._due.append(writer)
            self._wake.set()
        if writer.generation.has_ended:
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
            self._report(failure)
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

    async def _store(self, wanted: Sequence[AnswerWriter]) -> None:
        try:
            async with self._database.write() as transaction:
                await self._write(transaction, wanted)
        except sqlite3.IntegrityError:
            if len(wanted) > 1:
                for writer in wanted:
                    await self._store([writer])
                return
            # One answer that violates a constraint must not hold up the others for ever.
            logger.exception("the answer %s cannot be stored", wanted[0].key)
            self._writers.pop(wanted[0].key, None)
            wanted[0].unwatch()
            return
        for writer in wanted:
            writer.mark_stored()

    async def _write(self, transaction: Transaction, wanted: Sequence[AnswerWriter]) -> None:
        for writer in wanted:
            writer.collect(self._describe, now_ms=time.monotonic() * 1000)
        await write_all(transaction, wanted)

    def _report(self, error: StorageFailed | None) -> None:
        if (error is None) == (self.status.state == "on"):
            return
        if error is None:
            logger.info("conversations are stored again")
            self.status = StorageStatus("on")
        else:
            logger.error("conversations are not stored for the time being: %s", error)
            self.status = StorageStatus("failing", ErrorInfo.of(error))
        for listener in [*self._listeners]:
            listener(self.status)
