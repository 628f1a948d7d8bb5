"""Strengths out of votes, estimated beside the loop, and kept while the votes are the same.

Votes in another order may be the same, and are estimated again.
"""

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import msgspec

from server.core.errors import SidestreamError
from server.evaluation.statistics import strengths_program
from server.evaluation.statistics.strengths import Strength, VoteData
from server.workers.process import WorkerProcess

logger = logging.getLogger(__name__)

_MODULE: Final = strengths_program.__name__
_MAX_ANSWER_BYTES: Final = 16 << 20
_MOST_KEPT: Final = 64

Rankings = list[list[Strength]]


class StrengthsWorker:
    """Estimates one request at a time, each in a process that ends with it."""

    def __init__(self, seconds: float = 60.0) -> None:
        self._seconds = seconds
        self._alone = asyncio.Lock()
        self._kept: OrderedDict[bytes, Rankings] = OrderedDict()

    async def estimate(self, rankings: Sequence[Sequence[VoteData]]) -> Rankings:
        """Return the strengths that each list of votes comes to, the strongest first.

        Cancelling kills the process. Raises `SidestreamError` where it takes too long.
        """
        if not any(rankings):
            return [[] for _ in rankings]
        request = await asyncio.to_thread(_encoded, rankings)
        digest = hashlib.sha256(request).digest()
        async with self._alone:
            if digest not in self._kept:
                self._kept[digest] = await self._ask(request)
                if len(self._kept) > _MOST_KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(digest)
            return self._kept[digest]

    async def _ask(self, request: bytes) -> Rankings:
        try:
            worker = await WorkerProcess.start(_MODULE, str(self._seconds))
        except OSError as error:
            raise SidestreamError(f"no process can be started: {error.strerror}") from None
        try:
            answer = await worker.ask(request, max_bytes=_MAX_ANSWER_BYTES)
        except asyncio.IncompleteReadError:
            logger.error("votes could not be added up: status %d", await worker.end())
            raise SidestreamError("the votes are too many to be added up") from None
        finally:
            await worker.end()
        return msgspec.json.decode(answer, type=Rankings)


def _encoded(rankings: Sequence[Sequence[VoteData]]) -> bytes:
    # Not sorted, although the order changes nothing: a long sort would hold up the loop.
    return msgspec.json.encode({"rankings": rankings})
