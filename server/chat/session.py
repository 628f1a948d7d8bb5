"""A session: the generations of one client, which outlive its sockets.

Rules:

1. Generations belong to the session and go on when a socket closes. A new socket attaches an
   outbox and gets what its client has not received.
2. Everything that may refuse a command is checked before anything starts.
3. What a session retains of ended generations is bounded, oldest forgotten first.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from server.access.principal import Caller, Principal
from server.archive.shapes import StoredAnswer
from server.chat.generation_service import GenerationService
from server.chat.prompt_attachments import PromptAttachments
from server.chat.relay import GenerationTask
from server.chat.repeating import repeated
from server.chat.storing import Destination
from server.core.errors import InvalidCommand, SessionLimit, UnknownGeneration
from server.core.outbox import Outbox
from server.core.parameters import placed
from server.core.protocol import FinishReason, FollowRuns, Generate, GenerationInfo
from server.core.tool_rules import fields_as_parameters


@dataclass(frozen=True)
class SessionLimits:
    """How many generations one session may have, live and ended."""

    live_generations: int
    retained_generations: int
    retained_chars: int


class Session:
    """Hold one client's generations and the outboxes of its sockets."""

    def __init__(
        self,
        session_id: str,
        principal: Principal,
        service: GenerationService,
        limits: SessionLimits,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.id = session_id
        self.principal = principal
        self.idle_since: float | None = clock()
        """When the last socket left, in seconds of the clock; None while there is one."""
        self.follows: FollowRuns | None = None
        """The command that says which runs are followed."""
        self._clock = clock
        self._service = service
        self._limits = limits
        self._generations: dict[str, GenerationTask] = {}
        self._by_request_id: dict[str, list[str]] = {}
        self._stored_ids: dict[str, str] = {}
        self._outboxes: set[Outbox] = set()
        self._count = 0

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing was ever generated here, and no runs are followed."""
        return self._count == 0 and self.follows is None

    @property
    def live(self) -> int:
        """Return how many generations are under way."""
        return sum(not one.generation.has_ended for one in self._generations.values())

    # --- sockets ----------------------------------------------------------------------------

    def add_outbox(self, outbox: Outbox, cursors: Mapping[str, int] | None = None) -> None:
        """Send every generation to `outbox`, each from its cursor, from 0 where it has none.

        Raises `InvalidCommand` for a cursor beyond what has been produced.
        """
        cursors = cursors or {}
        for generation_id, seq in cursors.items():
            known = self._generations.get(generation_id)
            if known is not None and seq > known.generation.seq:
                raise InvalidCommand(
                    f"cursor {seq} of {generation_id} is beyond its {known.generation.seq} deltas"
                )
        self._outboxes.add(outbox)
        self.idle_since = None
        for generation_id, known in self._generations.items():
            outbox.add_generation(known.generation, seq=cursors.get(generation_id, 0))

    def remove_outbox(self, outbox: Outbox) -> None:
        """Remove a socket's outbox; the generations go on."""
        self._outboxes.discard(outbox)
        outbox.close()
        if not self._outboxes:
            self.idle_since = self._clock()

    def infos(self) -> list[GenerationInfo]:
        """List the generations, oldest first."""
        return [
            msgspec.structs.replace(
                one.generation.info(now_ms=self._clock() * 1000), answer=self._stored_ids.get(name)
            )
            for name, one in self._generations.items()
        ]

    def stored_as(self, generation_ids: Sequence[str]) -> list[str] | None:
        """Return the ids of answers in their conversation, None if they are not stored."""
        return [self._stored_ids[n] for n in generation_ids if n in self._stored_ids] or None

    # --- commands ---------------------------------------------------------------------------

    def knows(self, request_id: str | None) -> bool:
        """Tell whether a command of that id was given in this session."""
        return request_id in self._by_request_id

    def check_length(self, command: Generate) -> None:
        """Raise `PromptTooLong` for more text than a prompt may have."""
        content = command.prompt if command.messages is None else command.messages
        self._service.prompt_limit.check_text(content or "")

    def generate(
        self,
        command: Generate,
        destination: Destination | None = None,
        *,
        address: str = "",
        attachments: PromptAttachments | None = None,
    ) -> list[str]:
        """Start one generation per target and return their ids, in the order of the targets.

        `address` is where the command came from, `attachments` what its messages name. With a
        `destination` the answers are stored there, and each has a seed, so that it can be repeated.

        A `request_id` that was seen returns what it returned then, or raises
        `UnknownGeneration` when that is no longer retained. Raises `UnknownModel`,
        `InvalidParameters`, `CannotSee`, `SessionLimit`, `QueueFull` or `ShuttingDown`, and then
        nothing has started.
        """
        if command.request_id is not None and command.request_id in self._by_request_id:
            return self._repeated(self._by_request_id[command.request_id])
        content = command.prompt if command.messages is None else command.messages
        beside = fields_as_parameters(command.tools, command.tool_choice, command.response_format)
        requests = []
        for number, target in enumerate(command.targets):
            layers = {
                "parameters": command.parameters,
                f"targets[{number}].parameters": target.parameters,
            }
            with placed(layers):
                request = self._service.prepare(
                    target.model,
                    content or "",
                    parameters=[beside, *layers.values()],
                    system=target.system,
                    extra=target.extra,
                    is_lenient=target.lenient,
                    trims=command.trim is not None,
                    attachments=attachments,
                    principal=self.principal,
                )
            requests.append(request)
        if command.fresh:
            requests = [replace(request, is_fresh=True) for request in requests]
        if destination is not None:
            requests = [request.with_seed() for request in requests]
        if self.live + len(requests) > self._limits.live_generations:
            raise SessionLimit(
                f"a session may have {self._limits.live_generations} answers under way at once"
            )
        ids = [f"g{self._count + number}" for number in range(1, len(requests) + 1)]
        started = self._service.start(
            list(zip(ids, requests, strict=True)),
            party=self.id,
            caller=Caller(self.principal, address),
            keeps_tokens=command.details,
        )
        self._count += len(ids)
        self._forget_oldest()
        self._generations.update(zip(ids, started, strict=True))
        if destination is not None:
            stored = destination.store(requests, started)
            self._stored_ids.update(zip(ids, stored, strict=True))
        for outbox in self._outboxes:
            for one in started:
                outbox.add_generation(one.generation)
        if command.request_id is not None:
            self._by_request_id[command.request_id] = ids
        return ids

    def repeat(self, request_id: str, answers: Sequence[StoredAnswer]) -> list[str]:
        """Have stored answers as generations that have ended, and return their ids."""
        ids = [f"g{self._count + number}" for number in range(1, len(answers) + 1)]
        self._count += len(ids)
        self._forget_oldest()
        for generation_id, answer in zip(ids, answers, strict=True):
            one = repeated(generation_id, answer, now_ms=self._clock() * 1000)
            self._generations[generation_id] = one
            self._stored_ids[generation_id] = answer.id
            for outbox in self._outboxes:
                outbox.add_generation(one.generation)
        self._by_request_id[request_id] = ids
        return ids

    def follow(self, command: FollowRuns) -> None:
        """Remember which runs are followed, for the next socket."""
        self.follows = None if command.runs == [] else command

    def cancel(self, generation_ids: Sequence[str] | None) -> list[str]:
        """Stop generations, all live ones if None; return those that were live."""
        # Named twice, a generation is still cancelled once.
        chosen = self._generations if generation_ids is None else dict.fromkeys(generation_ids)
        live = [
            generation_id
            for generation_id in chosen
            if generation_id in self._generations
            and not self._generations[generation_id].generation.has_ended
        ]
        for generation_id in live:
            self._generations[generation_id].cancel()
        return live

    async def close(self, reason: FinishReason) -> None:
        """End every live generation for that reason."""
        tasks = [one.task for one in self._generations.values() if not one.task.done()]
        for one in self._generations.values():
            one.cancel(reason)
        if tasks:
            await asyncio.wait(tasks)

    # --- inside -----------------------------------------------------------------------------

    def _forget_oldest(self) -> None:
        """Forget ended generations beyond the limits, and request ids beyond theirs."""
        limits = self._limits
        ended = [one.generation for one in self._generations.values() if one.generation.has_ended]
        chars = sum(generation.retained_chars for generation in ended)
        while ended and (len(ended) > limits.retained_generations or chars > limits.retained_chars):
            oldest = ended.pop(0)
            chars -= oldest.retained_chars
            del self._generations[oldest.id]
            self._stored_ids.pop(oldest.id, None)
        if len(self._by_request_id) <= limits.retained_generations:
            return
        # While its generations are retained a request id must stay known: repeating it would start
        # them anew.
        past = [
            name
            for name, ids in self._by_request_id.items()
            if not any(generation_id in self._generations for generation_id in ids)
        ]
        for request_id in past[: len(past) - limits.retained_generations]:
            del self._by_request_id[request_id]

    def _repeated(self, generation_ids: list[str]) -> list[str]:
        if not all(generation_id in self._generations for generation_id in generation_ids):
            raise UnknownGeneration("the answers to this request are no longer kept")
        return generation_ids
