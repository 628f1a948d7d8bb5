"""Where answers are asked for: one place for every transport to check, queue and relay.

A party is whoever shares a fair portion of a queue: a session, or a caller over HTTP.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from server.access.principal import Caller, Principal
from server.access.quota import Quota
from server.chat.admission import Admission
from server.chat.answer_cache import AnswerCache
from server.chat.figures import Figures
from server.chat.relay import Relay, now_ms
from server.chat.request import Request, build_request
from server.core.errors import PromptTooLong, SessionLimit, ShuttingDown
from server.core.generation import Generation
from server.core.protocol import End, FinishReason, Message
from server.models.fleet import Fleet

logger = logging.getLogger(__name__)

# Enough of a session's id to find it by: who knows it whole may read its answers.
_SHOWN_PARTY_CHARS: Final = 10


@dataclass(frozen=True)
class Answer:
    """An answer that is being written: its log, and the task that writes it."""

    generation: Generation
    task: asyncio.Task[None]

    def cancel(self, reason: FinishReason = "cancelled") -> None:
        """Have the answer end; one that has ended is no error."""
        if not self.task.done():
            self.generation.reason_if_cancelled = reason
            self.task.cancel()


class Desk:
    """Take requests and have them answered."""

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
        self.figures = Figures()
        self._admission = admission
        self._relay = Relay(
            fleet,
            cache,
            queue_timeout_seconds=queue_timeout_seconds,
            generation_timeout_seconds=generation_timeout_seconds,
        )
        self._quota = quota
        self._max_prompt_chars = max_prompt_chars
        self._max_live_per_owner = max_live_per_owner
        self._live: dict[asyncio.Task[None], tuple[Answer, str]] = {}
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
        parameters: Sequence[dict[str, Any]] = (),
        system: str | None = None,
        extra: Mapping[str, Any] | None = None,
        is_lenient: bool = False,
        principal: Principal,
    ) -> Request:
        """Check a question and combine it with the model's settings; nothing starts.

        Raises `UnknownModel`, also for one that is not there for `principal`,
        `InvalidParameters`, `PromptTooLong`, or `InvalidCommand` for an empty prompt.
        """
        principal.check_model(model_id)
        chars = len(content) if isinstance(content, str) else sum(len(m.content) for m in content)
        if chars > self._max_prompt_chars:
            raise PromptTooLong(
                f"the prompt has {chars} characters; {self._max_prompt_chars} are taken"
            )
        spec = self.fleet.spec(model_id)
        request = build_request(
            spec,
            content,
            parameters=parameters,
            system=system,
            extra=extra or {},
            is_lenient=is_lenient,
        )
        request.check_taken(self.fleet.info(model_id))
        return request

    def check_room(self, requests: Sequence[Request], *, caller: Caller) -> None:
        """Raise `QueueFull`, `SessionLimit`, `RateLimited` or `ShuttingDown` for want of room."""
        if self._is_closed:
            raise ShuttingDown("the server is about to stop")
        self._quota.check_tokens(caller)
        owner = caller.principal.id
        live = sum(owner == other for _, other in self._live.values())
        if live + len(requests) > self._max_live_per_owner:
            raise SessionLimit(
                f"one owner may have {self._max_live_per_owner} answers under way at once"
            )
        self._admission.check(Counter(request.model.root for request in requests))

    def ask(
        self,
        request: Request,
        generation_id: str,
        *,
        party: str,
        caller: Caller,
        keeps_tokens: bool,
    ) -> Answer:
        """Have a request answered; raises what `check_room` does.

        `party` shares a fair portion of the queue, `caller` is answerable for it.
        """
        self.check_room([request], caller=caller)
        place = self._admission.take(request.model.root, party)
        generation = Generation(
            generation_id, request.model.id, now_ms=now_ms(), keeps_tokens=keeps_tokens
        )
        task = asyncio.create_task(
            self._relay.run(request, generation, place), name=f"{party} {generation_id}"
        )
        answer = Answer(generation, task)
        self._live[task] = (answer, caller.principal.id)

        settle = self._quota.begin(caller, generation)

        def on_done(task: asyncio.Task[None]) -> None:
            del self._live[task]
            place.leave()
            settle()
            if not generation.has_ended:
                # Cancelled before its first step, a task never enters its own clean-up.
                generation.end(generation.reason_if_cancelled, now_ms=now_ms())
            if generation.end_event is not None:
                self.figures.add(generation.model, generation.end_event)
                _write_line(generation.model, party, generation.end_event)

        task.add_done_callback(on_done)
        return answer

    def refuse(self) -> None:
        """Take no new requests."""
        self._is_closed = True

    async def close(self, *, grace_seconds: float) -> None:
        """Take no new requests, let the answers under way end for a while, interrupt the rest."""
        self.refuse()
        if self._live:
            await asyncio.wait(list(self._live), timeout=grace_seconds)
        for answer, _ in self._live.values():
            answer.cancel("interrupted")
        if self._live:
            await asyncio.wait(list(self._live))


def _write_line(model: str, party: str, end: End) -> None:
    """Log an answer that has ended: what became of it and what it took, never what was said."""
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
                "queued_ms": timings.queued_ms,
                "first_token_ms": timings.ttft_ms,
                "total_ms": timings.total_ms,
                "is_cached": end.cached or None,
            }
        },
    )
