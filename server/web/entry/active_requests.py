"""The requests and sockets that are open, by principal, so that revoking a key ends them.

A request is ended by cancelling its handler: it is answered with 401 if its answer has not begun,
else its connection is cut. A socket is closed with 4401.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager

from aiohttp import web

from server.core.errors import Unauthorized

logger = logging.getLogger(__name__)


class ActiveRequest:
    """One request or socket of a principal; `end` ends it when the key is revoked."""

    def __init__(self, principal_id: str, end: Callable[[], Awaitable[object]]) -> None:
        self.principal_id = principal_id
        self.end = end
        self.is_revoked = False


ACTIVE_REQUEST = web.RequestKey("active_request", ActiveRequest)


class ActiveRequests:
    """Hold the requests and sockets that are open."""

    def __init__(self) -> None:
        self._active: set[ActiveRequest] = set()

    def __len__(self) -> int:
        return len(self._active)

    @property
    def principals(self) -> set[str]:
        """Return the ids of the principals that have active requests."""
        return {one.principal_id for one in self._active}

    @contextmanager
    def track(self, request: web.Request, principal_id: str) -> Iterator[None]:
        """Count a request as active while the context lasts; revoking cancels the running task.

        Then raises `Unauthorized`, unless the answer has begun.
        """
        task = asyncio.current_task()

        async def cancel() -> None:
            if task is not None:
                task.cancel()

        active = request[ACTIVE_REQUEST] = ActiveRequest(principal_id, cancel)
        self._active.add(active)
        try:
            yield
        except asyncio.CancelledError:
            if task is None or not active.is_revoked or task.uncancel() > 0:
                raise
            if request.get(HAS_BEGUN, False):
                if request.transport is not None:
                    request.transport.abort()
                raise
            raise Unauthorized("the key was revoked, or has expired") from None
        finally:
            self._active.discard(active)

    async def revoke(self, principals: Collection[str]) -> None:
        """End the requests and sockets of these principals."""
        over = [a for a in self._active if not a.is_revoked and a.principal_id in principals]
        for active in over:
            active.is_revoked = True
        if over:
            logger.info("ending %d requests: their keys are not valid any more", len(over))
        # Concurrently: a socket whose peer does not read must not delay the others.
        await asyncio.gather(*(active.end() for active in over))


HAS_BEGUN = web.RequestKey("has_begun", bool)
"""Whether the head of the answer has been sent."""
