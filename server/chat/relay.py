"""Carry one answer from a model server into a generation's log.

Rules:

1. A task per generation is the only writer of its log, and whatever happens to the task,
   the log ends exactly once: finished, cancelled, failed or interrupted.
2. Cancelling the task closes the connection to the model server, which frees its slot, unless
   the server is one that computes on: then the answer's end says so.
3. When a connection breaks, or falls silent, the lifecycle is asked why before the user is told.
4. A server that has no place is asked again, ever later, for as long as a turn in the queue may be
   waited for. One that limits us is left alone by the whole queue until then.
5. Nothing is asked again once a token has come.
"""

import asyncio
import logging
import math
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from server.chat.admission import Place
from server.chat.answer_cache import AnswerCache, CachedAnswer
from server.chat.costs import estimated_cost
from server.chat.request import Request
from server.core.errors import (
    EngineLimited,
    EngineLost,
    EngineOverloaded,
    EngineTimeout,
    SidestreamError,
)
from server.core.generation import Generation
from server.core.protocol import Cost, ErrorInfo, Notice, TokenInfo
from server.core.retries import Retries
from server.dialects.base import Ask, Finish
from server.models.fleet import Fleet
from server.models.lease import Lease

logger = logging.getLogger(__name__)

_LOADS: Final = Notice("server_loads", "the server loads the model")
_COMPUTES_ON: Final = Notice(
    "computes_on", "the server computes on although the answer was cancelled"
)


@dataclass
class _Answering:
    """One answer on its way: what is asked, where it is written, its place in the queue."""

    request: Request
    generation: Generation
    place: Place
    notices: list[Notice] = field(default_factory=list)
    """What there is to say however the answer ends."""
    recorded: list[TokenInfo] | None = None
    """The tokens so far, where the answer may be given again."""
    computes_on: bool = False
    """Whether the server would go on although nobody listened any more."""


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
        answering = _Answering(request, generation, place)
        finish = Finish("failed", None, None)
        error: ErrorInfo | None = None
        try:
            if not self._fleet.is_ready(request.model.id):
                generation.move_to("starting", now_ms=now_ms())
            async with self._fleet.lease(request.model.id) as lease:
                await self._turn(lease, answering, timeout_seconds=self._queue_timeout_seconds)
                finish = await self._answer(lease, answering)
        except asyncio.CancelledError:
            finish = Finish(generation.reason_if_cancelled, None, None)
            if answering.computes_on:
                answering.notices.append(_COMPUTES_ON)
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
            notices=(*answering.notices, *finish.notices),
            details=finish.details,
            answered_by=finish.answered_by,
            cost=_cost(request, generation, finish),
            unseen_tokens=finish.unseen_tokens,
        )

    async def _turn(self, lease: Lease, answering: _Answering, *, timeout_seconds: float) -> None:
        def show(position: int, notice: Notice | None) -> None:
            answering.generation.move_to(
                "queued", now_ms=now_ms(), position=position, notice=notice
            )

        model = answering.request.model
        with lease.waits():
            await answering.place.turn(
                capacity=model.max_concurrent or lease.info.max_concurrent_requests,
                timeout_seconds=timeout_seconds,
                on_position=show,
                model=model if lease.info.holds_one_model else None,
            )

    async def _answer(self, lease: Lease, answering: _Answering) -> Finish:
        request, generation = answering.request, answering.generation
        try:
            request.check_taken(lease.info)
            must_fit = not request.has_chosen_length
            prompt = await lease.upstream.prompt(
                request.content, model=request.model.served_as, needs_count=must_fit
            )
            generation.prompt_tokens = prompt.tokens
            ask = request.ask(lease.info, prompt, wants_tokens=generation.keeps_tokens)
            answering.notices += prompt.notices
            generation.max_new_tokens = ask.parameters.get("max_new_tokens")
            key = self._cache.key(request.model.root, lease.info, ask)
            kept = None if key is None or request.is_fresh else self._cache.get(key)
            if kept is not None:
                generation.move_to("running", now_ms=now_ms())
                _append(answering, kept.tokens)
                return kept.finish.as_cached()
            answering.recorded = None if key is None else []
            async with _counting(lease, ask, generation, is_done=must_fit):
                finish = await self._generate(lease, ask, answering)
        except EngineLost as lost:
            raise await lease.cause_of_loss() or lost from None
        if key is not None and answering.recorded is not None:
            self._cache.put(key, CachedAnswer(answering.recorded, replace(finish, cost=None)))
        return finish

    async def _generate(self, lease: Lease, ask: Ask, answering: _Answering) -> Finish:
        """Stream the answer; begin anew while the server has no place and nothing has come."""
        generation, place = answering.generation, answering.place
        retries = Retries(now=time.monotonic(), timeout_seconds=self._queue_timeout_seconds)
        notice = _LOADS if _has_to_load(lease, answering) else None
        generation.move_to("running", now_ms=now_ms(), notice=notice)
        while True:
            try:
                async with asyncio.timeout(self._generation_timeout_seconds):
                    return await _stream(lease, ask, answering)
            except TimeoutError:
                raise EngineTimeout(
                    f"the answer was not complete after {self._generation_timeout_seconds:g} s",
                    hint="ask for fewer tokens, or raise `generation_timeout` in [answers]",
                ) from None
            except EngineOverloaded as error:
                if generation.seq:
                    raise
                refusal = error
            # Jitter, so that those refused together do not come back together.
            now = time.monotonic()
            seconds = retries.after(refusal, now=now, chance=random.random())
            if isinstance(refusal, EngineLimited):
                place.hold(seconds, refusal.message)
                await self._turn(lease, answering, timeout_seconds=retries.left(now))
                generation.move_to("running", now_ms=now_ms())
            else:
                # Until the server begins to answer; how many others it has, it does not say.
                notice = Notice("server_busy", refusal.message, {"seconds": math.ceil(seconds)})
                generation.move_to("queued", now_ms=now_ms(), notice=notice)
                await asyncio.sleep(seconds)


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


async def _stream(lease: Lease, ask: Ask, answering: _Answering) -> Finish:
    generation, recorded = answering.generation, answering.recorded
    on_tokens = partial(_append, answering)
    if recorded is not None:
        on_tokens = partial(_record, answering, recorded)
    answering.computes_on = not lease.info.can_cancel
    try:
        return await lease.upstream.generate(ask, on_tokens, partial(_wait, generation))
    except EngineTimeout as silence:
        raise await lease.cause_of_loss() or silence from None
    except SidestreamError:
        answering.computes_on = False
        raise


def _has_to_load(lease: Lease, answering: _Answering) -> bool:
    """Tell whether the server has to load the model: as it was used here, or as it says."""
    place, served = answering.place, answering.request.model.served
    if place.is_model_held is not None:
        return not place.is_model_held
    if served is not None and served.is_loaded is not None:
        return not served.is_loaded
    # Told when the server was asked about the model, which may be long ago for one with many.
    return place.model is not None and lease.info.is_loaded is False


def _record(answering: _Answering, recorded: list[TokenInfo], arrived: list[TokenInfo]) -> None:
    _append(answering, arrived)
    recorded += arrived


def _wait(generation: Generation, notice: Notice | None) -> None:
    """Show why the server sends no token yet."""
    if not generation.seq:
        generation.move_to("running", now_ms=now_ms(), notice=notice)


def _append(answering: _Answering, arrived: list[TokenInfo]) -> None:
    """Add what is to be shown: special tokens have no text, and unless asked no place."""
    generation = answering.generation
    texts: list[str] = []
    for token in arrived:
        text = "" if token.special else token.text
        if text or generation.keeps_tokens:
            texts.append(text)
    if texts:
        if generation.state != "running" or generation.notice is not None:
            generation.move_to("running", now_ms=now_ms())
            answering.place.note_held()
        generation.append(texts, arrived, now_ms=time.monotonic() * 1000)


def _cost(request: Request, generation: Generation, finish: Finish) -> Cost | None:
    """Return what an answer cost, as its server says or by the set prices; None if unknown.

    Of one that was cut short it is that of what came. Where nothing came, nobody knows how far
    the server got with the prompt.
    """
    was_answered = finish.reason in ("stop", "length")
    if finish.cost is not None or finish.is_cached or not (was_answered or generation.seq):
        return finish.cost
    prompt, completion = finish.prompt_tokens, finish.completion_tokens
    return estimated_cost(
        generation.prompt_tokens if prompt is None else prompt,
        generation.seq if completion is None else completion,
        price_in=request.model.settings.price_in,
        price_out=request.model.settings.price_out,
    )


def error_info(error: SidestreamError) -> ErrorInfo:
    """Write an error as it stands in an event."""
    return ErrorInfo(error.code, error.message, error.hint, error.details)


def now_ms() -> float:
    """Return milliseconds on the monotonic clock."""
    return time.monotonic() * 1000
