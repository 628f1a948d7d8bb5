"""Carry one answer from a model server into a generation's log.

Rules:

1. A task per generation is the only writer of its log, and whatever happens to the task,
   the log ends exactly once: finished, cancelled, failed or interrupted.
2. Cancelling the task closes the connection to the model server, which frees the server's slot.
   Some servers go on computing all the same: then the answer's end says so.
3. When a connection breaks, or is silent for too long, the error names the cause that the lifecycle
   of the model server knows.
4. A request that an overloaded server refused is sent again after growing pauses, for as long as
   an answer may wait in the queue. A server that limits our rate puts the whole queue on hold.
5. A replica that loses, refuses or fails an answer before its first token has another one asked,
   each at most once. Why the first one was lost is looked at meanwhile.
6. No request is sent again once a token has come.
7. One that its server finds too long is sent again with less, where `Fitting` has less to send.
"""

import asyncio
import logging
import math
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from server.chat.admission import QueueSlot
from server.chat.answer_cache import AnswerCache, CachedAnswer
from server.chat.costs import cost_of
from server.chat.fitting import Fitting
from server.chat.reasoning import ReasoningReader, budget_spent
from server.chat.request import GenerationRequest, prefix_of
from server.chat.token_runs import runs_of
from server.core.content import pictures_in
from server.core.errors import (
    CannotSee,
    EngineError,
    EngineLimited,
    EngineLost,
    EngineOverloaded,
    EngineTimeout,
    PromptTooLong,
    SidestreamError,
    UnknownModel,
)
from server.core.generation import Generation
from server.core.protocol import ErrorInfo, FinishReason, Notice, TokenInfo
from server.core.retries import Retries
from server.dialects.base import Ask, Finish
from server.models.catalogue.catalog import ModelSpec
from server.models.fleet import Fleet
from server.models.lifecycle.ready_server import Lease

logger = logging.getLogger(__name__)

_LOADS: Final = Notice("server_loads", "the server loads the model")
_COMPUTES_ON: Final = Notice(
    "computes_on", "the server computes on although the answer was cancelled"
)


class _TryAnother(Exception):
    """A replica has not begun to answer, and another one can."""

    def __init__(self, lease: Lease, why: SidestreamError) -> None:
        super().__init__(why)
        self.lease = lease
        self.why = why


class _BudgetSpent(Exception):
    """The model has thought for as long as it may: the connection is closed."""


@dataclass(frozen=True)
class GenerationTask:
    """A generation and the task that writes it, done for one that was read from the archive."""

    generation: Generation
    task: asyncio.Future[None]

    def cancel(self, reason: FinishReason = "cancelled") -> None:
        """Have the generation end for `reason`; one that has ended is no error."""
        if not self.task.done():
            self.generation.reason_if_cancelled = reason
            self.task.cancel()


@dataclass
class _Answering:
    """One answer on its way: the request, the log it is written into, its slot in the queue."""

    request: GenerationRequest
    generation: Generation
    slot: QueueSlot
    notices: list[Notice] = field(default_factory=list)
    """Notices for the answer's end, however it ends."""
    recorded: list[TokenInfo] | None = None
    """The tokens so far, where the answer may be cached."""
    tried: set[int] = field(default_factory=set)
    """The replicas that were asked."""
    replica: int | None = None
    """The one that was asked last, where there are several."""
    moves: list[Notice] = field(default_factory=list)
    """Why another replica was asked."""
    computes_on: bool = False
    """Whether the server would go on computing if the connection were closed now."""


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

    def start(
        self,
        request: GenerationRequest,
        generation_id: str,
        slot: QueueSlot,
        *,
        keeps_tokens: bool,
        name: str,
        told: Callable[[ErrorInfo], ErrorInfo] = lambda error: error,
    ) -> GenerationTask:
        """Start a task that writes the model's answer into a new log; `name` is the task's.

        `told` returns an error as the one who asks may read it.

        Cancelled, the task ends the log as `reason_if_cancelled` of the generation says.
        """
        generation = Generation(
            generation_id, request.model.id, now_ms=_now_ms(), keeps_tokens=keeps_tokens
        )
        task = asyncio.create_task(self._run(request, generation, slot, told), name=name)

        def end_log(_: asyncio.Task[None]) -> None:
            # A task that is cancelled before its first step never enters its own clean-up.
            if not generation.has_ended:
                generation.end(generation.reason_if_cancelled, now_ms=_now_ms())

        task.add_done_callback(end_log)
        return GenerationTask(generation, task)

    async def _run(
        self,
        request: GenerationRequest,
        generation: Generation,
        slot: QueueSlot,
        told: Callable[[ErrorInfo], ErrorInfo],
    ) -> None:
        answering = _Answering(request, generation, slot)
        finish = Finish("failed", None, None)
        error: ErrorInfo | None = None
        try:
            if not self._fleet.is_ready(request.model.id):
                generation.move_to("starting", now_ms=_now_ms())
            async with self._fleet.lease(request.model.id) as lease:
                await self._turn(lease, answering, timeout_seconds=self._queue_timeout_seconds)
                finish = await self._answer(lease, answering)
        except asyncio.CancelledError:
            finish = Finish(generation.reason_if_cancelled, None, None)
            if answering.computes_on:
                answering.notices.append(_COMPUTES_ON)
        except SidestreamError as problem:
            error = told(ErrorInfo.of(problem))
        except Exception:
            logger.exception("generation %s of %s broke", generation.id, generation.model)
            error = ErrorInfo.of(SidestreamError("internal error"))
        is_by_one = answering.replica is not None and not finish.is_cached
        generation.end(
            finish.reason,
            now_ms=_now_ms(),
            prompt_tokens=finish.prompt_tokens,
            completion_tokens=finish.completion_tokens,
            error=error,
            is_cached=finish.is_cached,
            notices=(*request.notices, *answering.moves, *answering.notices, *finish.notices),
            details={**finish.details, "replica": answering.replica}
            if is_by_one
            else finish.details,
            answered_by=finish.answered_by,
            cost=cost_of(request.model, generation, finish),
            unseen_tokens=finish.unseen_tokens,
            reasoning_tokens=finish.details.get("reasoning_tokens"),
        )

    async def _turn(self, lease: Lease, answering: _Answering, *, timeout_seconds: float) -> None:
        def show(position: int, notice: Notice | None) -> None:
            answering.generation.move_to(
                "queued", now_ms=_now_ms(), position=position, notice=notice
            )

        model, generation = answering.request.model, answering.generation
        generation.max_concurrent = _capacity(lease, model)
        generation.queue_timeout = self._queue_timeout_seconds
        with lease.waits():
            await answering.slot.turn(
                capacity=generation.max_concurrent,
                timeout_seconds=timeout_seconds,
                on_position=show,
                model=model if lease.info.holds_one_model else None,
            )

    async def _answer(self, lease: Lease, answering: _Answering) -> Finish:
        """Have one replica answer, or another one if that does not begin."""
        request, replicas = answering.request, lease.replicas
        prefix = prefix_of(request) if request.model.settings.affinity else ""
        while True:
            try:
                async with replicas.choose(lease, tried=answering.tried, prefix=prefix) as chosen:
                    answering.tried.add(chosen.replica)
                    answering.replica = None if replicas.is_single else chosen.replica
                    return await self._answer_from(chosen, answering)
            except _TryAnother as move:
                replicas.doubt(move.lease)
                logger.info("%s: replica %d: %s", request.model.id, move.lease.replica, move.why)
                answering.moves.append(
                    Notice(
                        "asked_another",
                        f"replica {move.lease.replica} did not begin to answer: {move.why.message}",
                        {"replica": move.lease.replica},
                    )
                )

    async def _answer_from(self, lease: Lease, answering: _Answering) -> Finish:
        """Answer, without pictures where the model takes none and the request is lenient."""
        request = answering.request
        request.check_taken(lease.info)
        sees = request.model.can_see(lease.info) is not False
        try:
            return await self._ask(lease, answering, with_pictures=sees)
        except CannotSee:
            # The server's own word, where nobody knew.
            has_pictures = sees and bool(pictures_in(request.content))
            if answering.generation.seq or not (has_pictures and request.is_lenient):
                raise
        return await self._ask(lease, answering, with_pictures=False)

    async def _ask(self, lease: Lease, answering: _Answering, *, with_pictures: bool) -> Finish:
        request, generation = answering.request, answering.generation
        content, notices = await request.as_asked(with_pictures=with_pictures)
        fitting = Fitting(replace(request, content=content), lease.info)
        try:
            while True:
                ask = await _fitted(lease, answering, fitting, notices)
                try:
                    finish = await self._answer_to(ask, lease, answering, fitting)
                except PromptTooLong as refusal:
                    takes_less = fitting.take_refusal(refusal)
                    _note_lengths(generation, fitting)
                    if generation.seq or not takes_less:
                        raise fitting.explained(refusal) from None
                else:
                    fitting.take_context(self._context_tokens(request.model.id))
                    generation.context_tokens = fitting.limits.context_tokens
                    return fitting.ending(finish, generation)
        except EngineLost as lost:
            _try_another(lease, answering, lost)
            raise await lease.cause_of_loss() or lost from None
        except EngineTimeout:
            raise
        except EngineError as broken:
            # One that fails fast is the least busy, and would be asked ever again.
            _try_another(lease, answering, broken)
            raise

    async def _answer_to(
        self, ask: Ask, lease: Lease, answering: _Answering, fitting: Fitting
    ) -> Finish:
        """Give an answer that is cached, or have the server write one."""
        request, generation = answering.request, answering.generation
        key = self._cache.key(request.model.root, lease.info, ask)
        cached = None if key is None or request.is_fresh else self._cache.get(key)
        if cached is not None:
            generation.move_to("running", now_ms=_now_ms())
            _append(answering, cached.tokens)
            return cached.finish.as_cached()
        answering.recorded = None if key is None else []
        async with _counting(lease, ask, generation, is_done=fitting.was_measured):
            finish = await self._generate(lease, ask, answering)
        if key is not None and answering.recorded is not None:
            self._cache.put(key, CachedAnswer(answering.recorded, replace(finish, cost=None)))
        return finish

    def _context_tokens(self, model_id: str) -> int | None:
        """Return a model's context by what its server said last."""
        try:
            return self._fleet.spec(model_id).context_tokens(self._fleet.info(model_id))
        except UnknownModel:
            return None

    async def _generate(self, lease: Lease, ask: Ask, answering: _Answering) -> Finish:
        """Stream the answer; send the request again while the server is overloaded."""
        generation, slot = answering.generation, answering.slot
        retries = Retries(now=time.monotonic(), timeout_seconds=self._queue_timeout_seconds)
        notice = _LOADS if _has_to_load(lease, answering) else None
        generation.move_to("running", now_ms=_now_ms(), notice=notice)
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
                _try_another(lease, answering, error)
                refusal = error
            # Jitter, so that those refused together do not come back together.
            now = time.monotonic()
            seconds = retries.after(refusal, now=now, chance=random.random())
            if isinstance(refusal, EngineLimited):
                slot.hold(seconds, refusal.message)
                await self._turn(lease, answering, timeout_seconds=retries.left(now))
                generation.move_to("running", now_ms=_now_ms())
            else:
                # No position: how many others the server has, it does not say.
                notice = Notice("server_busy", refusal.message, {"seconds": math.ceil(seconds)})
                generation.move_to("queued", now_ms=_now_ms(), notice=notice)
                await asyncio.sleep(seconds)


def _try_another(lease: Lease, answering: _Answering, why: SidestreamError) -> None:
    """Raise `_TryAnother` if nothing has come yet and another replica can be asked."""
    if not answering.generation.seq and lease.replicas.has_other(answering.tried):
        raise _TryAnother(lease, why) from None


def _capacity(lease: Lease, model: ModelSpec) -> int | None:
    """Return how many answers of a model are written at once, None for any number."""
    if lease.replicas.is_single:
        return model.max_concurrent or lease.info.max_concurrent_requests
    return lease.replicas.capacity(model)


async def _fitted(
    lease: Lease, answering: _Answering, fitting: Fitting, notices: list[Notice]
) -> Ask:
    """Return what is sent to the server; the log is told what is known of it."""
    generation = answering.generation
    try:
        prompt = await fitting.prompt(lease.upstream)
    finally:
        _note_lengths(generation, fitting)
    generation.turns_left_out = fitting.turns_left_out
    answering.notices = [*notices, *prompt.notices, *fitting.notices()]
    ask = fitting.ask(prompt, wants_tokens=generation.keeps_tokens)
    generation.max_new_tokens = ask.parameters.get("max_new_tokens")
    return ask


def _note_lengths(generation: Generation, fitting: Fitting) -> None:
    generation.prompt_tokens = fitting.prompt_tokens
    generation.context_tokens = fitting.limits.context_tokens


@asynccontextmanager
async def _counting(
    lease: Lease, ask: Ask, generation: Generation, *, is_done: bool
) -> AsyncIterator[None]:
    """Count the prompt's tokens while it is answered, unless that is done; cancelled at the end."""

    async def count() -> None:
        try:
            tokens = await lease.upstream.count(ask.prompt, model=ask.model)
            if tokens is not None:
                generation.count_prompt(tokens)
        except SidestreamError as error:
            # The answer itself fails if the engine is broken; else its end has the count too.
            logger.debug("the prompt of %s is not counted: %s", generation.id, error)

    if is_done or ask.prompt.tokens is not None:
        yield
        return
    counting = asyncio.create_task(count(), name="prompt count")
    try:
        yield
    finally:
        # Not awaited: an answer's end comes in the same step of the loop as its last token.
        counting.cancel()


async def _stream(lease: Lease, ask: Ask, answering: _Answering) -> Finish:
    reader = ReasoningReader(ask, lease.info)
    answering.computes_on = not lease.info.can_cancel
    try:
        return await lease.upstream.generate(
            ask, partial(_arrive, answering, reader), partial(_wait, answering.generation)
        )
    except _BudgetSpent:
        if answering.computes_on:
            answering.notices.append(_COMPUTES_ON)
        return budget_spent(ask)
    except EngineTimeout as silence:
        _try_another(lease, answering, silence)
        raise await lease.cause_of_loss() or silence from None
    except SidestreamError:
        answering.computes_on = False
        raise
    finally:
        _append(answering, reader.finish())


def _has_to_load(lease: Lease, answering: _Answering) -> bool:
    """Tell whether the server has to load the model, by its last use here or by its own word."""
    slot, served = answering.slot, answering.request.model.served
    if slot.is_model_held is not None:
        return not slot.is_model_held
    if served is not None and served.is_loaded is not None:
        return not served.is_loaded
    # A server with many models said so when it was last described, which may be long ago.
    return slot.model is not None and lease.info.is_loaded is False


def _wait(generation: Generation, notice: Notice | None) -> None:
    """Show why the server sends no token yet."""
    if not generation.seq:
        generation.move_to("running", now_ms=_now_ms(), notice=notice)


def _arrive(answering: _Answering, reader: ReasoningReader, arrived: list[TokenInfo]) -> None:
    """Write what the server sends; raises `_BudgetSpent` when the model may think no more."""
    _append(answering, reader.feed(arrived, thoughts=answering.generation.reasoning_count))
    if reader.is_budget_spent:
        raise _BudgetSpent


def _append(answering: _Answering, arrived: list[TokenInfo]) -> None:
    """Append tokens to the log: special ones without text, and only where tokens are kept."""
    generation = answering.generation
    if answering.recorded is not None:
        answering.recorded += arrived
    for label, tokens in runs_of(arrived):
        texts: list[str] = []
        for token in tokens:
            text = "" if token.special else token.text
            if text or generation.keeps_tokens:
                texts.append(text)
        if texts:
            if generation.state != "running" or generation.notice is not None:
                generation.move_to("running", now_ms=_now_ms())
                answering.slot.note_held()
            generation.append(texts, tokens, now_ms=_now_ms(), label=label)


def _now_ms() -> float:
    return time.monotonic() * 1000
