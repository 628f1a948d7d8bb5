"""A session: the generations of one client, which outlive its sockets.

Rules:

1. Generations belong to the session. A socket that goes takes nothing with it; one that
   comes attaches an outbox and gets what it has not had.
2. Everything that may be refused is checked before anything has started.
3. A session that nobody is attached to expires; what it was still writing is cancelled.
"""

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from server.chat.relay import Request, build_request, now_ms, relay
from server.core.errors import InvalidCommand, SessionLimit, ShuttingDown
from server.core.generation import Generation
from server.core.outbox import Outbox
from server.core.protocol import FinishReason, Generate, GenerationInfo
from server.models.fleet import Fleet

# Finished generations that a session keeps for those who come back. A comparison of eight
# models leaves eight a prompt; what a client has shown it need not ask for again.
KEPT_GENERATIONS: Final = 256


class Session:
    """Hold one client's generations and the outboxes of its sockets."""

    def __init__(
        self,
        session_id: str,
        principal: str,
        fleet: Fleet,
        *,
        max_live_generations: int,
        clock_ms: Callable[[], float],
    ) -> None:
        self.id = session_id
        self.principal = principal
        self.idle_since_ms: float | None = clock_ms()
        self._clock_ms = clock_ms
        self._fleet = fleet
        self._max_live_generations = max_live_generations
        self._generations: dict[str, Generation] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._requests: dict[str, list[str]] = {}
        self._outboxes: set[Outbox] = set()
        self._count = 0

    # --- sockets ----------------------------------------------------------------------------

    def attach(self, outbox: Outbox, cursors: Mapping[str, int] | None = None) -> None:
        """Send every generation to `outbox`, each from its cursor, from 0 where it has none.

        Raises `InvalidCommand` for a cursor beyond what has been produced.
        """
        cursors = cursors or {}
        for generation_id, seq in cursors.items():
            generation = self._generations.get(generation_id)
            if generation is not None and seq > generation.seq:
                raise InvalidCommand(
                    f"cursor {seq} of {generation_id} is beyond its {generation.seq} deltas"
                )
        self._outboxes.add(outbox)
        self.idle_since_ms = None
        for generation in self._generations.values():
            outbox.attach(generation, seq=cursors.get(generation.id, 0))

    def detach(self, outbox: Outbox) -> None:
        """Forget a socket's outbox; the generations go on."""
        self._outboxes.discard(outbox)
        outbox.close()
        if not self._outboxes:
            self.idle_since_ms = self._clock_ms()

    def infos(self) -> list[GenerationInfo]:
        """List the generations, oldest first."""
        return [generation.info() for generation in self._generations.values()]

    # --- commands ---------------------------------------------------------------------------

    def generate(self, command: Generate) -> list[str]:
        """Start one generation per target and return their ids, in the order of the targets.

        A `request_id` that was seen returns what it returned then. Raises `UnknownModel`,
        `InvalidParameters` or `SessionLimit`, and then nothing has started.
        """
        if command.request_id is not None and command.request_id in self._requests:
            return self._requests[command.request_id]
        content = command.prompt if command.messages is None else command.messages
        if not content:
            raise InvalidCommand("there is nothing to answer: the prompt is empty")
        requests = [
            build_request(
                self._fleet.spec(target.model),
                content,
                parameters=[command.parameters, target.parameters],
                system=target.system,
            )
            for target in command.targets
        ]
        if len(self._tasks) + len(requests) > self._max_live_generations:
            raise SessionLimit(
                f"a session may have {self._max_live_generations} answers under way at once"
            )
        ids = [self._start(request, has_details=command.details) for request in requests]
        if command.request_id is not None:
            self._requests[command.request_id] = ids
        self._forget_oldest()
        return ids

    def cancel(self, generation_ids: Sequence[str] | None) -> list[str]:
        """Stop generations, all live ones if None; return those that were live."""
        chosen = list(self._tasks) if generation_ids is None else generation_ids
        live = [generation_id for generation_id in chosen if generation_id in self._tasks]
        for generation_id in live:
            self._tasks[generation_id].cancel()
        return live

    async def close(self, reason: FinishReason) -> None:
        """End every live generation for that reason."""
        tasks = list(self._tasks.values())
        for generation_id, task in self._tasks.items():
            self._generations[generation_id].reason_if_cancelled = reason
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def drain(self) -> None:
        """Return when no generation is live."""
        while self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    # --- inside -----------------------------------------------------------------------------

    def _start(self, request: Request, *, has_details: bool) -> str:
        self._count += 1
        generation = Generation(
            f"g{self._count}",
            request.model.id,
            now_ms=self._clock_ms(),
            keeps_tokens=has_details,
        )
        self._generations[generation.id] = generation
        for outbox in self._outboxes:
            outbox.attach(generation)
        task = asyncio.create_task(
            relay(self._fleet, request, generation), name=f"{self.id} {generation.id}"
        )
        self._tasks[generation.id] = task
        task.add_done_callback(lambda _: self._on_done(generation))
        return generation.id

    def _on_done(self, generation: Generation) -> None:
        del self._tasks[generation.id]
        if not generation.has_ended:
            # Cancelled before its first step, a task never enters its own clean-up.
            generation.end(generation.reason_if_cancelled, now_ms=self._clock_ms())

    def _forget_oldest(self) -> None:
        ended = [g.id for g in self._generations.values() if g.has_ended]
        for generation_id in ended[: max(len(self._generations) - KEPT_GENERATIONS, 0)]:
            del self._generations[generation_id]
        while len(self._requests) > KEPT_GENERATIONS:
            del self._requests[next(iter(self._requests))]


class SessionStore:
    """Hold all sessions; find, make and expire them."""

    def __init__(
        self,
        fleet: Fleet,
        *,
        session_ttl_seconds: float,
        max_sessions: int,
        max_live_generations: int,
        clock_ms: Callable[[], float] = now_ms,
    ) -> None:
        self._fleet = fleet
        self._ttl_ms = session_ttl_seconds * 1000
        self._max_sessions = max_sessions
        self._max_live_generations = max_live_generations
        self._clock_ms = clock_ms
        self._sessions: dict[str, Session] = {}
        self._is_closing = False

    def __len__(self) -> int:
        return len(self._sessions)

    def create(self, principal: str) -> Session:
        """Make a session; raises `SessionLimit` when there are too many, `ShuttingDown`."""
        if self._is_closing:
            raise ShuttingDown("the server is about to stop")
        if len(self._sessions) >= self._max_sessions:
            raise SessionLimit(f"the server holds {self._max_sessions} sessions, and no more")
        session = Session(
            f"s_{secrets.token_urlsafe(16)}",
            principal,
            self._fleet,
            max_live_generations=self._max_live_generations,
            clock_ms=self._clock_ms,
        )
        self._sessions[session.id] = session
        return session

    def find(self, session_id: str, principal: str) -> Session | None:
        """Return the principal's session of that id; a foreign one is like none at all."""
        session = self._sessions.get(session_id)
        if session is None or session.principal != principal or self._has_expired(session):
            return None
        return session

    def discard_if_empty(self, session: Session) -> None:
        """Forget a session in which nothing was ever said and to which nobody is attached."""
        if session.idle_since_ms is not None and not session.infos():
            self._sessions.pop(session.id, None)

    async def expire(self) -> None:
        """Forget the sessions whose time is over, cancelling what they were writing."""
        for session in [s for s in self._sessions.values() if self._has_expired(s)]:
            del self._sessions[session.id]
            await session.close("cancelled")

    async def close(self, *, grace_seconds: float) -> None:
        """Take no new sessions, let live generations end for a while, then interrupt them."""
        self._is_closing = True
        sessions = list(self._sessions.values())
        try:
            async with asyncio.timeout(grace_seconds):
                await asyncio.gather(*(session.drain() for session in sessions))
        except TimeoutError:
            await asyncio.gather(*(session.close("interrupted") for session in sessions))

    def _has_expired(self, session: Session) -> bool:
        idle_since_ms = session.idle_since_ms
        return idle_since_ms is not None and self._clock_ms() - idle_since_ms >= self._ttl_ms
