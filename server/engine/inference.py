"""One request from its arrival to its last token.

    permit ──▶ validate ──▶ wait for a slot ──▶ generate ──▶ done
      │ none left   │ refused                      │ error
      ▼             ▼                              ▼
    Overloaded   ValidationFailed        GenerationFailed, IncompleteGeneration

Rules:

1. At most `max_concurrent_requests` are anywhere on this line; the next is told so at once.
2. At most as many requests are with llama.cpp as it has slots. The others wait here, first
   come first served, where leaving costs nothing and the length of the queue is known.
3. Whoever stops iterating, or is cancelled, in whichever place, leaves nothing: permit and
   place go back, and llama.cpp's slot is free at its next step.
4. `max_new_tokens` is counted here. llama.cpp is asked for a few tokens more, because it
   keeps a token to itself while its character is incomplete and would stop on it in silence.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec

from server.core.errors import InvalidParameters
from server.core.parameter_rules import GenerationParameters, ParameterLimits, check
from server.engine import grammar as grammars
from server.engine import sampling
from server.engine.decoder import UNSEEN_TOKENS_MOST, Decoder, StreamDetails, StreamEvent
from server.engine.errors import (
    GenerationFailed,
    IncompleteGeneration,
    InferError,
    Overloaded,
    ValidationFailed,
)
from server.engine.gguf import ModelFile
from server.engine.llama import LlamaClient, LlamaRefused
from server.engine.metrics import Metrics

# TGI computes longer answers in pieces of this size, and checks only the first one against
# the context (router/src/validation.rs).
_CHECKED_NEW_TOKENS = 1024


class Limits(msgspec.Struct, frozen=True):
    """Bound what one request may ask for, and how many may ask."""

    max_total_tokens: int
    max_concurrent_requests: int
    slots: int

    @property
    def max_input_tokens(self) -> int:
        """Return the longest prompt: it leaves room for one token."""
        return self.max_total_tokens - 1

    @property
    def of_parameters(self) -> ParameterLimits:
        """Return the limits of single parameters (TGI's launcher's defaults)."""
        return ParameterLimits(max_input_tokens=self.max_input_tokens)


@dataclass
class Timings:
    """When a request passed its stations, on the monotonic clock, in seconds."""

    arrived: float = field(default_factory=time.monotonic)
    queued: float = 0.0
    started: float = 0.0
    ended: float = 0.0


@dataclass(frozen=True)
class _Prepared:
    prompt_ids: list[int]
    max_new_tokens: int
    seed: int | None
    grammar: str | None


class Inference:
    """Run requests on one model."""

    def __init__(
        self, llama: LlamaClient, model: ModelFile, limits: Limits, metrics: Metrics
    ) -> None:
        self.limits = limits
        self._llama = llama
        self._model = model
        self._metrics = metrics
        self._permits = limits.max_concurrent_requests
        self._slots = asyncio.Semaphore(limits.slots)

    async def generate(
        self,
        inputs: str,
        parameters: GenerationParameters,
        *,
        streaming: bool,
        timings: Timings | None = None,
    ) -> AsyncGenerator[list[StreamEvent], None]:
        """Yield the answer's events as they come; the last one holds text and details.

        Raises `InferError`. Closing the generator frees the slot.
        """
        timings = timings or Timings()
        with self._counted(timings), self._permit():
            prepared = await self._prepare(inputs, parameters, streaming=streaming)
            timings.queued = time.monotonic()
            decoder = Decoder(
                self._model,
                max_new_tokens=prepared.max_new_tokens,
                stop=parameters.stop,
                top_n_tokens=parameters.top_n_tokens or 0,
                seed=prepared.seed,
                input_length=len(prepared.prompt_ids),
            )
            await self._wait_for_slot()
            try:
                timings.started = time.monotonic()
                async with aclosing(self._decode(decoder, prepared, parameters)) as batches:
                    async for events in batches:
                        if decoder.details is not None:
                            timings.ended = time.monotonic()
                            self._record(timings, decoder.details, prepared)
                        yield events
            finally:
                self._slots.release()

    async def warm_up(self) -> None:
        """Compute one token, so that the first request finds everything in memory.

        Raises `GenerationFailed` or `LlamaRefused` when llama.cpp does not answer as expected.
        """
        body = {"prompt": "a", "n_predict": 1}
        async with self._llama.complete(body) as steps:
            async for _ in steps:
                pass

    async def _decode(
        self, decoder: Decoder, prepared: _Prepared, parameters: GenerationParameters
    ) -> AsyncGenerator[list[StreamEvent], None]:
        body: dict[str, Any] = {
            "prompt": prepared.prompt_ids,
            "n_predict": prepared.max_new_tokens + UNSEEN_TOKENS_MOST,
            "return_tokens": True,
            "cache_prompt": True,
            # Without a word before the first token, llama.cpp would not look whether anybody
            # is still there, and compute a long prompt to its end for nobody.
            "return_progress": True,
            **sampling.sampling_options(
                parameters, prepared.seed, context_tokens=self.limits.max_total_tokens
            ),
        }
        if prepared.grammar is not None:
            body["grammar"] = grammars.as_grammar(prepared.grammar)
        try:
            async with self._llama.complete(body) as steps:
                async for step in steps:
                    events = decoder.feed(step)
                    if events:
                        yield events
                    if decoder.is_finished():
                        return
        except LlamaRefused as error:
            raise GenerationFailed(str(error)) from error
        raise IncompleteGeneration

    async def _prepare(
        self, inputs: str, parameters: GenerationParameters, *, streaming: bool
    ) -> _Prepared:
        if not inputs:
            raise ValidationFailed("`inputs` cannot be empty")
        try:
            check(parameters, self.limits.of_parameters, streaming=streaming)
        except InvalidParameters as error:
            raise ValidationFailed(str(error)) from None
        sampling.refuse_unsupported(parameters)
        grammar = grammars.grammar_rule(parameters.grammar) if parameters.grammar else None
        try:
            prompt_ids = await self._llama.tokenize(inputs)
        except LlamaRefused as error:
            raise GenerationFailed(str(error)) from error
        if parameters.truncate is not None:
            prompt_ids = prompt_ids[-parameters.truncate :]
        max_new_tokens = self._check_length(len(prompt_ids), parameters.max_new_tokens)
        if grammar is not None:
            await self._check_grammar(grammar)
        return _Prepared(prompt_ids, max_new_tokens, sampling.choose_seed(parameters), grammar)

    def _check_length(self, input_length: int, max_new_tokens: int | None) -> int:
        total = self.limits.max_total_tokens
        left = max(total - input_length, 0)
        asked = left if max_new_tokens is None else max_new_tokens
        checked = min(asked, _CHECKED_NEW_TOKENS)
        if input_length + checked > total:
            raise ValidationFailed(
                f"`inputs` tokens + `max_new_tokens` must be <= {total}. "
                f"Given: {input_length} `inputs` tokens and {checked} `max_new_tokens`"
            )
        if input_length > self.limits.max_input_tokens:
            raise ValidationFailed(
                f"`inputs` must have less than {self.limits.max_input_tokens} tokens. "
                f"Given: {input_length}"
            )
        return min(asked, left)

    async def _check_grammar(self, rule: str) -> None:
        marked = grammars.as_marked_grammar(rule)
        body = {"prompt": "a", "n_predict": 1, "temperature": 0, "grammar": marked}
        await self._wait_for_slot()
        try:
            async with self._llama.complete(body) as steps:
                written = "".join([step.content async for step in steps])
        except LlamaRefused as error:
            raise ValidationFailed(f"grammar is not valid: {error}") from error
        finally:
            self._slots.release()
        if not written or not grammars.MARK.startswith(written):
            raise ValidationFailed("grammar is not valid: llama.cpp does not take it")

    async def _wait_for_slot(self) -> None:
        self._metrics.waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._metrics.waiting -= 1

    @contextmanager
    def _permit(self) -> Iterator[None]:
        if not self._permits:
            raise Overloaded
        self._permits -= 1
        try:
            yield
        finally:
            self._permits += 1

    @contextmanager
    def _counted(self, timings: Timings) -> Iterator[None]:
        try:
            yield
        except InferError as error:
            self._metrics.failures[error.metric] += 1
            raise
        except (asyncio.CancelledError, GeneratorExit):
            if not timings.ended:
                self._metrics.failures["dropped"] += 1
            raise

    def _record(self, timings: Timings, details: StreamDetails, prepared: _Prepared) -> None:
        inference_seconds = timings.ended - timings.started
        metrics = self._metrics
        metrics.successes += 1
        metrics.request_seconds.observe(timings.ended - timings.arrived)
        metrics.validation_seconds.observe(timings.queued - timings.arrived)
        metrics.queue_seconds.observe(timings.started - timings.queued)
        metrics.inference_seconds.observe(inference_seconds)
        metrics.seconds_per_token.observe(inference_seconds / details.generated_tokens)
        metrics.input_tokens.observe(details.input_length)
        metrics.generated_tokens.observe(details.generated_tokens)
        metrics.max_new_tokens.observe(prepared.max_new_tokens)
