"""What is going on for whom just now, so that it can be ended when a key is revoked.

A request that is answered is ended by cancelling its handler: before its answer has begun it is
told why (401), after that its connection is cut. A socket is closed with 4401.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager

from aiohttp import web

from server.core.errors import Unauthorized

logger = logging.getLogger(__name__)


class Visit:
    """One request or socket of somebody; `end` is how it ends before its time."""

    def __init__(self, principal_id: str, end: Callable[[], Awaitable[object]]) -> None:
        self.principal_id = principal_id
        self.end = end
        self.is_revoked = False


VISIT = web.RequestKey("visit", Visit)


class Visits:
    """Know all visits."""

    def __init__(self) -> None:
        self._visits: set[Visit] = set()

    def __len__(self) -> int:
        return len(self._visits)

    @property
    def principals(self) -> set[str]:
        """Return the ids of those who are here."""
        return {visit.principal_id for visit in self._visits}

    @contextmanager
    def visit(self, request: web.Request, principal_id: str) -> Iterator[None]:
        """Count as a visit while the context lasts, which is cut short by revoking it.

        Then raises `Unauthorized`, unless the answer has begun.
        """
        task = asyncio.current_task()

        async def cancel() -> None:
            if task is not None:
                task.cancel()

        visit = request[VISIT] = Visit(principal_id, cancel)
        self._visits.add(visit)
        try:
            yield
        except asyncio.CancelledError:
            if task is None or not visit.is_revoked or task.uncancel() > 0:
                raise
            if request.get(HAS_BEGUN, False):
                if request.transport is not None:
                    request.transport.abort()
                raise
            raise Unauthorized("the key was revoked, or has expired") from None
        finally:
            self._visits.discard(visit)

    async def revoke(self, principals: Collection[str]) -> None:
        """End the visits of these."""
        over = [v for v in self._visits if not v.is_revoked and v.principal_id in principals]
        for visit in over:
            visit.is_revoked = True
        if over:
            logger.info("ending %d visits: their keys are not valid any more", len(over))
        # Together: a socket whose peer takes no good-bye holds up nobody's end.
        await asyncio.gather(*(visit.end() for visit in over))


HAS_BEGUN = web.RequestKey("has_begun", bool)
"""Whether something of the answer has been sent."""
