"""All sessions: created, found again by their owners, and expired."""

import asyncio
import secrets
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from server.access.principal import Principal
from server.chat.generation_service import GenerationService
from server.chat.session import Session, SessionLimits
from server.core.errors import ServerFull, ShuttingDown


@dataclass(frozen=True)
class StoreLimits:
    """How many sessions there may be, and how long one is retained without a socket."""

    sessions: int
    ttl_seconds: float
    session: SessionLimits


class SessionStore:
    """Hold all sessions; create, find and expire them."""

    def __init__(
        self,
        service: GenerationService,
        limits: StoreLimits,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._service = service
        self._limits = limits
        self._clock = clock
        self._sessions: dict[str, Session] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def principals(self) -> set[str]:
        """Return the ids of the principals that have sessions."""
        return {session.principal.id for session in self._sessions.values()}

    def create(self, principal: Principal) -> Session:
        """Create a session; raises `ServerFull` when there are too many, or `ShuttingDown`."""
        if self._service.is_closed:
            raise ShuttingDown("the server is about to stop")
        if len(self._sessions) >= self._limits.sessions:
            raise ServerFull(f"the server holds {self._limits.sessions} sessions, and no more")
        session = Session(
            f"s_{secrets.token_urlsafe(16)}",
            principal,
            self._service,
            self._limits.session,
            clock=self._clock,
        )
        self._sessions[session.id] = session
        return session

    def find(self, session_id: str, principal: Principal) -> Session | None:
        """Return the principal's session of that id; a foreign one is like none at all."""
        session = self._sessions.get(session_id)
        if session is None or session.principal.id != principal.id or self._has_expired(session):
            return None
        return session

    def discard_if_empty(self, session: Session) -> None:
        """Forget a session without generations that has no socket."""
        if session.idle_since is not None and session.is_empty:
            self._sessions.pop(session.id, None)

    async def expire(self) -> None:
        """Forget the sessions whose time is over, cancelling their live generations."""
        expired = [session for session in self._sessions.values() if self._has_expired(session)]
        for session in expired:
            del self._sessions[session.id]
        await asyncio.gather(*(session.close("cancelled") for session in expired))

    async def revoke(self, principals: Collection[str]) -> None:
        """Forget all sessions of these principals, cancelling their live generations."""
        revoked = [s for s in self._sessions.values() if s.principal.id in principals]
        for session in revoked:
            del self._sessions[session.id]
        await asyncio.gather(*(session.close("cancelled") for session in revoked))

    def _has_expired(self, session: Session) -> bool:
        idle_since = session.idle_since
        return idle_since is not None and self._clock() - idle_since >= self._limits.ttl_seconds
