"""A session: the generations of one client, which outlive its sockets.

Rules:

1. Generations belong to the session. A socket that goes takes nothing with it; one that
   comes attaches an outbox and gets what it has not had.
2. Everything that may be refused is checked before anything has started.
3. What a session keeps of ended generations is bounded, oldest forgotten first.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from server.access.principal import Caller, Principal
from server.chat.desk import Answer, Desk
from server.chat.request import Request
from server.core.errors import InvalidCommand, SessionLimit, UnknownGeneration
from server.core.generation import Generation
from server.core.outbox import Outbox
from server.core.protocol import FinishReason, Generate, GenerationInfo

# Told of answers that have begun, it returns the ids under which they are kept.
Keeper = Callable[[Sequence[tuple[Request, Generation]]], list[str]]


@dataclass(frozen=True)
class SessionLimits:
    """What one session may hold."""

    live_generations: int
    kept_generations: int
    kept_chars: int


class Session:
    """Hold one client's generations and the outboxes of its sockets."""

    def __init__(
        self,
        session_id: str,
        principal: Principal,
        desk: Desk,
        limits: SessionLimits,
        *,
        clock_ms: Callable[[], float],
    ) -> None:
        self.id = session_id
        self.principal = principal
        self.idle_since_ms: float | None = clock_ms()
        self._clock_ms = clock_ms
        self._desk = desk
        self._limits = limits
        self._answers: dict[str, Answer] = {}
        self._requests: dict[str, list[str]] = {}
        self._kept: dict[str, str] = {}
        self._outboxes: set[Outbox] = set()
        self._count = 0

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing was ever asked here."""
        return self._count == 0

    @property
    def live(self) -> int:
        """Return how many answers are under way."""
        return sum(not answer.generation.has_ended for answer in self._answers.values())

    # --- sockets ----------------------------------------------------------------------------

    def attach(self, outbox: Outbox, cursors: Mapping[str, int] | None = None) -> None:
        """Send every generation to `outbox`, each from its cursor, from 0 where it has none.

        Raises `InvalidCommand` for a cursor beyond what has been produced.
        """
        cursors = cursors or {}
        for generation_id, seq in cursors.items():
            answer = self._answers.get(generation_id)
            if answer is not None and seq > answer.generation.seq:
                raise InvalidCommand(
                    f"cursor {seq} of {generation_id} is beyond its {answer.generation.seq} deltas"
                )
        self._outboxes.add(outbox)
        self.idle_since_ms = None
        for generation_id, answer in self._answers.items():
            outbox.attach(answer.generation, seq=cursors.get(generation_id, 0))

    def detach(self, outbox: Outbox) -> None:
        """Forget a socket's outbox; the generations go on."""
        self._outboxes.discard(outbox)
        outbox.close()
        if not self._outboxes:
            self.idle_since_ms = self._clock_ms()

    def infos(self) -> list[GenerationInfo]:
        """List the generations, oldest first."""
        return [
            msgspec.structs.replace(answer.generation.info(), answer=self._kept.get(name))
            for name, answer in self._answers.items()
        ]

    def kept_as(self, generation_ids: Sequence[str]) -> list[str] | None:
        """Return the ids under which answers are kept in their conversation, if they are."""
        kept = [self._kept[name] for name in generation_ids if name in self._kept]
        return kept or None

    # --- commands ---------------------------------------------------------------------------

    def generate(
        self, command: Generate, keep: Keeper | None = None, *, address: str = ""
    ) -> list[str]:
        """Start one generation per target and return their ids, in the order of the targets.

        `address` is where the command came from. With `keep`, it is told of the answers, and each
        can be asked again with the same outcome.

        A `request_id` that was seen returns what it returned then, or raises
        `UnknownGeneration` when that is no longer kept. Raises `UnknownModel`,
        `InvalidParameters`, `SessionLimit`, `QueueFull` or `ShuttingDown`, and then nothing
        has started.
        """
        if command.request_id is not None and command.request_id in self._requests:
            return self._repeated(self._requests[command.request_id])
        content = command.prompt if command.messages is None else command.messages
        requests = [
            self._desk.prepare(
                target.model,
                content or "",
                parameters=[command.parameters, target.parameters],
                system=target.system,
                extra=target.extra,
                is_lenient=target.lenient,
                principal=self.principal,
            )
            for target in command.targets
        ]
        if command.fresh:
            requests = [replace(request, is_fresh=True) for request in requests]
        if keep is not None:
            requests = [request.with_seed() for request in requests]
        if self.live + len(requests) > self._limits.live_generations:
            raise SessionLimit(
                f"a session may have {self._limits.live_generations} answers under way at once"
            )
        caller = Caller(self.principal, address)
        self._desk.check_room(requests, caller=caller)
        self._forget_oldest()
        ids = [self._start(request, caller, has_details=command.details) for request in requests]
        if keep is not None:
            logs = [self._answers[generation_id].generation for generation_id in ids]
            self._kept.update(zip(ids, keep(list(zip(requests, logs, strict=True))), strict=True))
        if command.request_id is not None:
            self._requests[command.request_id] = ids
        return ids

    def cancel(self, generation_ids: Sequence[str] | None) -> list[str]:
        """Stop generations, all live ones if None; return those that were live."""
        # Named twice, an answer is still cancelled once.
        chosen = self._answers if generation_ids is None else dict.fromkeys(generation_ids)
        live = [
            generation_id
            for generation_id in chosen
            if generation_id in self._answers
            and not self._answers[generation_id].generation.has_ended
        ]
        for generation_id in live:
            self._answers[generation_id].cancel()
        return live

    async def close(self, reason: FinishReason) -> None:
        """End every live generation for that reason."""
        tasks = [answer.task for answer in self._answers.values() if not answer.task.done()]
        for answer in self._answers.values():
            answer.cancel(reason)
        if tasks:
            await asyncio.wait(tasks)

    # --- inside -----------------------------------------------------------------------------

    def _start(self, request: Request, caller: Caller, *, has_details: bool) -> str:
        self._count += 1
        answer = self._desk.ask(
            request,
            f"g{self._count}",
            party=self.id,
            caller=caller,
            keeps_tokens=has_details,
        )
        self._answers[answer.generation.id] = answer
        for outbox in self._outboxes:
            outbox.attach(answer.generation)
        return answer.generation.id

    def _forget_oldest(self) -> None:
        """Forget ended generations beyond the limits, and request ids beyond theirs."""
        ended = [a.generation for a in self._answers.values() if a.generation.has_ended]
        chars = sum(generation.kept_chars for generation in ended)
        while ended and (
            len(ended) > self._limits.kept_generations or chars > self._limits.kept_chars
        ):
            oldest = ended.pop(0)
            chars -= oldest.kept_chars
            del self._answers[oldest.id]
            self._kept.pop(oldest.id, None)
        if len(self._requests) <= self._limits.kept_generations:
            return
        # One whose answers are kept must stay known, or repeating it would start them anew.
        past = [
            name
            for name, ids in self._requests.items()
            if not any(generation_id in self._answers for generation_id in ids)
        ]
        for request_id in past[: len(past) - self._limits.kept_generations]:
            del self._requests[request_id]

    def _repeated(self, generation_ids: list[str]) -> list[str]:
        if not all(generation_id in self._answers for generation_id in generation_ids):
            raise UnknownGeneration("the answers to this request are no longer kept")
        return generation_ids
