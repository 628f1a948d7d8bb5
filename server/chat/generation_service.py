"""Start generations, for every transport: check a request, reserve its capacity, relay the answer.

A party is a session, or a caller over HTTP: the unit between which queues are fair.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from server.access.principal import Caller, Principal
from server.access.quota import Quota
from server.chat.admission import Admission, QueueSlot
from server.chat.answer_cache import AnswerCache
from server.chat.metrics import ModelMetrics
from server.chat.prompt_attachments import PromptAttachments
from server.chat.prompt_limit import PromptLimit
from server.chat.relay import GenerationTask, Relay
from server.chat.request import GenerationRequest, build_request
from server.core.errors import SessionLimit, ShuttingDown
from server.core.protocol import End, Message
from server.models.fleet import Fleet

logger = logging.getLogger(__name__)

# Enough of a session's id to find it by; the whole id would let a reader of the log resume it.
_SHOWN_PARTY_CHARS: Final = 10


class GenerationService:
    """Check requests and have them answered."""

    def __init__(
        self,
        fleet: Fleet,
        admission: Admission,
        cache: AnswerCache,
        *,
        queue_timeout_seconds: float,
        max_live_per_owner: int,
        max_prompt_chars: int,
        generation_timeout_seconds: float,
        quota: Quota,
    ) -> None:
        self.fleet = fleet
        self.metrics: defaultdict[str, ModelMetrics] = defaultdict(ModelMetrics)
        """By model id."""
        self.prompt_limit = PromptLimit(max_prompt_chars)
        self._admission = admission
        fleet.subscribe_to_capacity(admission.resize)
        self._relay = Relay(
            fleet,
            cache,
            queue_timeout_seconds=queue_timeout_seconds,
            generation_timeout_seconds=generation_timeout_seconds,
        )
        self._quota = quota
        self._max_live_per_owner = max_live_per_owner
        self._live: dict[GenerationTask, str] = {}
        self._is_closed = False

    @property
    def is_closed(self) -> bool:
        """Tell whether no new requests are taken."""
        return self._is_closed

    def prepare(
        self,
        model_id: str,
        content: Sequence[Message] | str,
        *,
        parameters: Sequence[Mapping[str, Any]] = (),
        system: str | None = None,
        extra: Mapping[str, Any] | None = None,
        is_lenient: bool = False,
        trims: bool = False,
        optional: frozenset[str] = frozenset(),
        attachments: PromptAttachments | None = None,
        default_length: int | None = None,
        principal: Principal,
    ) -> GenerationRequest:
        """Check a prompt and combine it with the model's settings; nothing starts.

        `attachments` has what the messages name; parameters that are `optional` are left out where
        the model server does not take them. `default_length` bounds an answer whose length nobody
        chose, in tokens. Raises `UnknownModel`, also for a model that
        `principal` may not see, `InvalidParameters`, `CannotSee`, `PromptTooLong`, or
        `InvalidCommand` for an empty prompt or one that cannot be trimmed.
        """
        attachments = attachments or PromptAttachments()
        principal.check_model(model_id)
        spec = self.fleet.spec(model_id)
        self.prompt_limit.check(content, attachments)
        request = build_request(
            spec,
            content,
            parameters=parameters,
            system=system,
            extra=extra or {},
            is_lenient=is_lenient,
            trims=trims,
            optional=optional,
            attachments=attachments,
            default_length=default_length,
        )
        if tools := request.parameters.get("tools"):
            self.prompt_limit.check(content, attachments, tools)
        request.check_taken(self.fleet.info(model_id))
        return request

    def start(
        self,
        requests: Sequence[tuple[str, GenerationRequest]],
        *,
        party: str,
        caller: Caller,
        keeps_tokens: bool,
        is_background: bool = False,
    ) -> list[GenerationTask]:
        """Start a generation for each (id, request), in that order, or none at all.

        `party` shares a fair portion of the queue; `caller` is answerable for the generations.
        Those in the background wait until no other waits, and are bounded by who starts them.
        Raises `ShuttingDown`, `RateLimited`, `SessionLimit` or `QueueFull`, and then nothing has
        started and nothing is reserved.
        """
        if self._is_closed:
            raise ShuttingDown("the server is about to stop")
        self._quota.check_tokens(caller)
        owner = caller.principal.id
        live = sum(owner == other for other in self._live.values())
        if live + len(requests) > self._max_live_per_owner and not is_background:
            raise SessionLimit(
                f"one owner may have {self._max_live_per_owner} answers under way at once"
            )
        slots = self._admission.reserve(
            [request.model.root for _, request in requests], party, is_background=is_background
        )
        return [
            self._start(request, name, slot, party=party, caller=caller, keeps_tokens=keeps_tokens)
            for (name, request), slot in zip(requests, slots, strict=True)
        ]

    def _start(
        self,
        request: GenerationRequest,
        generation_id: str,
        slot: QueueSlot,
        *,
        party: str,
        caller: Caller,
        keeps_tokens: bool,
    ) -> GenerationTask:
        started = self._relay.start(
            request,
            generation_id,
            slot,
            keeps_tokens=keeps_tokens,
            name=f"{party} {generation_id}",
            told=caller.principal.told,
        )
        generation = started.generation
        self._live[started] = "" if slot.is_background else caller.principal.id
        settle_quota = self._quota.begin(caller, generation)

        def on_done(_: asyncio.Future[None]) -> None:
            del self._live[started]
            slot.release()
            settle_quota()
            if generation.end_event is not None:
                self.metrics[generation.model].add(generation.end_event)
                _log_end(generation.model, party, generation.end_event)

        started.task.add_done_callback(on_done)
        return started

    def refuse(self) -> None:
        """Take no new requests."""
        self._is_closed = True

    async def close(self, *, grace_seconds: float) -> None:
        """Take no new requests, let the answers under way end for a while, interrupt the rest."""
        self.refuse()
        if self._live:
            await asyncio.wait([live.task for live in self._live], timeout=grace_seconds)
        for live in self._live:
            live.cancel("interrupted")
        if self._live:
            await asyncio.wait([live.task for live in self._live])


def _log_end(model: str, party: str, end: End) -> None:
    """Log how an answer ended and what it took, never its text."""
    timings = end.timings
    logger.info(
        "answer %s of %s: %s",
        end.generation,
        model,
        end.finish_reason,
        extra={
            "fields": {
                "generation": end.generation,
                "model": model,
                "session": party[:_SHOWN_PARTY_CHARS] if party.startswith("s_") else None,
                "outcome": end.finish_reason,
                "code": end.error.code if end.error else None,
                "prompt_tokens": end.usage.prompt_tokens,
                "completion_tokens": end.usage.completion_tokens,
                "reasoning_tokens": end.usage.reasoning_tokens,
                "queued_ms": timings.queued_ms,
                "starting_ms": timings.starting_ms,
                "first_token_ms": timings.ttft_ms,
                "first_answer_ms": timings.answer_ms,
                "total_ms": timings.total_ms,
                "is_cached": end.cached or None,
            }
        },
    )
