"""Store answers as they come, all that wait in one transaction.

Rules:

1. What comes while a transaction is written is the next one, so that many answers cost few of them.
2. Answers that cannot be stored wait, and are tried again: at once when somebody asks for it, else
   after `RETRY_SECONDS`. Meanwhile nothing new is asked.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

from server.core.errors import StorageFailed
from server.core.protocol import ErrorInfo
from server.models.state_changed import StateChanged
from server.runs.answer_store import AnswerStore
from server.runs.shapes import RunAnswer

logger = logging.getLogger(__name__)

RETRY_SECONDS: Final = 5.0
# Some megabytes of long answers.
_MAX_WAITING: Final = 256


class AnswerWriter:
    """Store complete answers of all runs."""

    def __init__(self, answers: AnswerStore, on_change: Callable[[], None]) -> None:
        self._answers = answers
        self._on_change = on_change
        self._waiting: list[tuple[int, RunAnswer]] = []
        self._given = self._stored = 0
        self._changed = StateChanged()
        self._is_closed = False
        self._retry = asyncio.Event()
        self.error: ErrorInfo | None = None
        """Why answers cannot be stored now."""
        self._task = asyncio.create_task(self._write(), name="answers of runs")

    @property
    def waiting(self) -> int:
        """Return how many answers wait to be stored."""
        return len(self._waiting)

    def waiting_of(self, number: int, prompt: int) -> list[RunAnswer]:
        """Return the answers to a prompt of the run with this number that wait to be stored."""
        return [one for run, one in self._waiting if run == number and one.prompt == prompt]

    def put(self, number: int, answer: RunAnswer) -> None:
        """Store an answer of the run with this number soon."""
        self._waiting.append((number, answer))
        self._given += 1
        self._changed.notify_all()

    def forget(self, number: int) -> None:
        """Drop the answers of a run that is deleted: a later run may have its number."""
        self._drop([one for one in self._waiting if one[0] == number])
        if not self._waiting:
            # Nothing is left that would be tried again, and tell that there is room.
            self._tell(None)
        self._changed.notify_all()

    async def until_writable(self, *, unless: Callable[[], bool]) -> None:
        """Wait until answers can be stored and few wait for it, or until `unless` is true."""
        await self._changed.wait_for(
            lambda: (self.error is None and len(self._waiting) <= _MAX_WAITING) or unless()
        )

    def look_again(self) -> None:
        """Have those that wait look whether they still have to."""
        self._changed.notify_all()

    async def flush(self) -> None:
        """Return once all that came before is stored, or cannot be."""
        if self.error is not None:
            self._retry.set()
        # Not until none waits: while a run goes on, there may always be a next one.
        due = self._given
        await self._changed.wait_for(lambda: self._stored >= due or self.error is not None)

    async def until_stored(self, *, unless: Callable[[], bool]) -> bool:
        """Wait until all that came is stored, or until `unless` is true; tell whether it is."""
        await self._changed.wait_for(lambda: not self._waiting or unless())
        return not self._waiting

    async def close(self) -> None:
        """Store the rest; what cannot be stored is logged as lost, and asked again some day."""
        self._is_closed = True
        self._retry.set()
        self._changed.notify_all()
        await self._task
        if self._waiting:
            logger.error("%d answers of runs could not be stored", len(self._waiting))

    async def _write(self) -> None:
        while True:
            await self._changed.wait_for(lambda: bool(self._waiting) or self._is_closed)
            several = list(self._waiting)
            failure: StorageFailed | None
            try:
                await self._answers.add(several)
            except StorageFailed as error:
                failure = error
            except Exception:
                # Whoever waits for it is told, as of a full disk.
                logger.exception("answers of runs are not stored")
                failure = StorageFailed("internal error")
            else:
                failure = None
            if failure is not None:
                if self._is_closed:
                    return
                await self._fail(failure)
                continue
            self._drop(several)
            self._tell(None)
            if self._is_closed and not self._waiting:
                return

    def _drop(self, several: Sequence[tuple[int, RunAnswer]]) -> None:
        """Have these wait no longer; some may not any more."""
        dropped = set(map(id, several))
        left = [one for one in self._waiting if id(one) not in dropped]
        self._stored += len(self._waiting) - len(left)
        self._waiting = left

    async def _fail(self, error: StorageFailed) -> None:
        self._retry.clear()
        self._tell(ErrorInfo.of(error))
        try:
            async with asyncio.timeout(RETRY_SECONDS):
                await self._retry.wait()
        except TimeoutError:
            logger.debug("answers of runs are tried to be stored again")

    def _tell(self, error: ErrorInfo | None) -> None:
        had, self.error = self.error, error
        if had != error:
            if error is not None:
                logger.error("answers of runs are not stored: %s", error.message)
            self._on_change()
        self._changed.notify_all()
