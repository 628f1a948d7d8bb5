"""Carry one answer from a model server into a generation's log.

Rules:

1. A task per generation is the only writer of its log, and whatever happens to the task,
   the log ends exactly once: finished, cancelled, failed or interrupted.
2. Cancelling the task closes the connection to the model server, which frees its slot.
3. When a connection breaks, the lifecycle is asked why before the user is told.
4. An engine that says it is overloaded is asked again, ever later, for as long as a turn in
   the queue may be waited for.
"""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Final

from server.chat.admission import Place
from server.chat.answer_cache import AnswerCache, CachedAnswer
from server.chat.request import Request
from server.core.errors import EngineLost, EngineOverloaded, EngineTimeout, SidestreamError
from server.core.generation import Generation
from server.core.protocol import ErrorInfo, Notice, TokenInfo
from server.dialects.base import Ask, Finish
from server.models.fleet import Fleet, Lease

logger = logging.getLogger(__name__)

_FIRST_RETRY_SECONDS: Final = 0.25
_LAST_RETRY_SECONDS: Final = 5.0


class Relay:
    """Write answers into their logs."""

    def __init__(
        self,
        fleet: Fleet,
        cache: AnswerCache,
        *,
        queue_timeout_seconds: float,
        generation_timeout_seconds: float,
    ) -> None:
        self._fleet = fleet
        self._cache = cache
        self._queue_timeout_seconds = queue_timeout_seconds
        self._generation_timeout_seconds = generation_timeout_seconds

    async def run(self, request: Request, generation: Generation, place: Place) -> None:
        """Write the model's answer into `generation` until it has ended.

        Cancelled, it ends the generation as `generation.reason_if_cancelled` says, and returns.
        """
        finish = Finish("failed", None, None)
        error: ErrorInfo | None = None
        try:
            if not self._fleet.is_ready(request.model.id):
                generation.move_to("starting", now_ms=now_ms())
            async with self._fleet.lease(request.model.id) as lease:
                await self._turn(lease, request, generation, place)
                finish = await self._answer(lease, request, generation)
        except asyncio.CancelledError:
            finish = Finish(generation.reason_if_cancelled, None, None)
        except SidestreamError as problem:
            error = error_info(problem)
        except Exception:
            logger.exception("generation %s of %s broke", generation.id, generation.model)
            error = error_info(SidestreamError("internal error"))
        generation.end(
            finish.reason,
            now_ms=now_ms(),
            prompt_tokens=finish.prompt_tokens,
            completion_tokens=finish.completion_tokens,
            error=error,
            is_cached=finish.is_cached,
            notices=finish.notices,
            details=finish.details,
            answered_by=finish.answered_by,
            cost=finish.cost,
            unseen_tokens=finish.unseen_tokens,
        )

    async def _turn(
        self, lease: Lease, request: Request, generation: Generation, place: Place
    ) -> None:
        def show(position: int) -> None:
            generation.move_to("queued", now_ms=now_ms(), position=position)

        with lease.waits():
            await place.turn(
                capacity=request.model.max_concurrent or lease.info.max_concurrent_requests,
                timeout_seconds=self._queue_timeout_seconds,
                on_position=show,
            )

    async def _answer(self, lease: Lease, request: Request, generation: Generation) -> Finish:
        try:
            request.check_taken(lease.info)
            must_fit = not request.has_chosen_length
            prompt = await lease.upstream.prompt(
                request.content, model=request.model.served_as, needs_count=must_fit
            )
            generation.prompt_tokens = prompt.tokens
            ask = request.ask(lease.info, prompt, wants_tokens=generation.keeps_tokens)
            generation.max_new_tokens = ask.parameters.get("max_new_tokens")
            key = self._cache.key(request.model.root, lease.info, ask)
            kept = None if key is None or request.is_fresh else self._cache.get(key)
            if kept is not None:
                generation.move_to("running", now_ms=now_ms())
                _append(generation, kept.tokens)
                return kept.finish.as_cached()
            recorded: list[TokenInfo] | None = None if key is None else []
            async with _counting(lease, ask, generation, is_done=must_fit):
                finish = await self._generate(lease, ask, generation, recorded)
            if prompt.notices:
                finish = replace(finish, notices=(*prompt.notices, *finish.notices))
        except EngineLost as lost:
            raise await lease.cause_of_loss() or lost from None
        if key is not None and recorded is not None:
            self._cache.put(key, CachedAnswer(recorded, finish))
        return finish

    async def _generate(
        self,
        lease: Lease,
        ask: Ask,
        generation: Generation,
        recorded: list[TokenInfo] | None,
    ) -> Finish:
        """Stream the answer; begin anew while the engine is overloaded and nothing has come."""
        deadline = time.monotonic() + self._queue_timeout_seconds
        pause = _FIRST_RETRY_SECONDS
        generation.move_to("running", now_ms=now_ms())
        while True:
            try:
                async with asyncio.timeout(self._generation_timeout_seconds):
                    return await _stream(lease, ask, generation, recorded)
            except TimeoutError:
                raise EngineTimeout(
                    f"the answer was not complete after {self._generation_timeout_seconds:g} s",
                    hint="ask for fewer tokens, or raise `generation_timeout` in [answers]",
                ) from None
            except EngineOverloaded:
                if generation.seq or time.monotonic() + pause > deadline:
                    raise
            # Until the engine begins to answer; how many others it has, it does not say.
            generation.move_to("queued", now_ms=now_ms())
            # Jitter, so that those refused together do not come back together.
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, _LAST_RETRY_SECONDS)


@asynccontextmanager
async def _counting(
    lease: Lease, ask: Ask, generation: Generation, *, is_done: bool
) -> AsyncIterator[None]:
    """Count the prompt beside the answer, which need not wait for it when its length was chosen."""

    async def count() -> None:
        try:
            generation.prompt_tokens = await lease.upstream.count(ask.prompt, model=ask.model)
        except SidestreamError as error:
            # What is wrong with the engine, the answer itself tells; its end has the count too.
            logger.debug("the prompt of %s is not counted: %s", generation.id, error)

    if is_done or ask.prompt.tokens is not None:
        yield
        return
    counting = asyncio.create_task(count(), name="prompt count")
    try:
        yield
    finally:
        # Not waited for: an answer's end belongs into the step of the loop that its last token has.
        counting.cancel()


async def _stream(
    lease: Lease, ask: Ask, generation: Generation, recorded: list[TokenInfo] | None
) -> Finish:
    on_tokens = partial(_append, generation)
    if recorded is not None:
        on_tokens = partial(_record, generation, recorded)
    return await lease.upstream.generate(ask, on_tokens, partial(_wait, generation))


def _record(generation: Generation, recorded: list[TokenInfo], arrived: list[TokenInfo]) -> None:
    _append(generation, arrived)
    recorded += arrived


def _wait(generation: Generation, notice: Notice | None) -> None:
    """Show why the server sends no token yet."""
    if not generation.seq:
        generation.move_to("running", now_ms=now_ms(), notice=notice)


def _append(generation: Generation, arrived: list[TokenInfo]) -> None:
    """Add what is to be shown: special tokens have no text, and unless asked no place."""
    texts: list[str] = []
    for token in arrived:
        text = "" if token.special else token.text
        if text or generation.keeps_tokens:
            texts.append(text)
    if texts:
        if generation.state != "running":
            generation.move_to("running", now_ms=now_ms())
        generation.append(texts, arrived, now_ms=time.monotonic() * 1000)


def error_info(error: SidestreamError) -> ErrorInfo:
    """Write an error as it stands in an event."""
    return ErrorInfo(error.code, error.message, error.hint, error.details)


def now_ms() -> float:
    """Return milliseconds on the monotonic clock."""
    return time.monotonic() * 1000
