"""Whole answers: `/generate`, its details, and the choice among several (`best_of`)."""

import asyncio
from contextlib import aclosing
from dataclasses import dataclass

import msgspec

from server.core.parameter_rules import GenerationParameters
from server.engine.decoder import FinishReason, StreamDetails, Token
from server.engine.errors import IncompleteGeneration
from server.engine.inference import Inference, Timings

# TGI names the accelerator here; this engine computes on what llama.cpp finds.
_COMPUTE_TYPE = "llama.cpp"


class BestOfSequence(msgspec.Struct, frozen=True):
    """One of the answers that were not the best."""

    generated_text: str
    finish_reason: FinishReason
    generated_tokens: int
    seed: int | None
    prefill: list[Token]
    tokens: list[Token]
    top_tokens: list[list[Token]] | msgspec.UnsetType = msgspec.UNSET


class Details(msgspec.Struct, frozen=True):
    """How an answer came about, token by token."""

    finish_reason: FinishReason
    generated_tokens: int
    seed: int | None
    prefill: list[Token]
    tokens: list[Token]
    best_of_sequences: list[BestOfSequence] | msgspec.UnsetType = msgspec.UNSET
    top_tokens: list[list[Token]] | msgspec.UnsetType = msgspec.UNSET


class Answer(msgspec.Struct, frozen=True):
    """The body of `/generate`'s answer."""

    generated_text: str
    details: Details | msgspec.UnsetType = msgspec.UNSET


@dataclass(frozen=True)
class _Sequence:
    text: str
    details: StreamDetails
    tokens: list[Token]
    top_tokens: list[list[Token]]

    @property
    def mean_logprob(self) -> float:
        return sum(token.logprob or 0.0 for token in self.tokens) / max(len(self.tokens), 1)


async def generate_best_of(
    inference: Inference, inputs: str, parameters: GenerationParameters, timings: Timings
) -> tuple[Answer, StreamDetails]:
    """Return the answer, or the likeliest of `best_of`, and how it ended.

    Raises `InferError`; the others are stopped when one fails.
    """
    # A number out of range is refused by the first, in the usual words.
    best_of = parameters.best_of or 1
    count = best_of if best_of <= inference.limits.of_parameters.max_best_of else 1
    tasks = [
        asyncio.ensure_future(
            _collect(inference, inputs, parameters, timings if index == 0 else Timings())
        )
        for index in range(count)
    ]
    try:
        sequences = await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    best, *others = sorted(sequences, key=lambda sequence: -sequence.mean_logprob)
    prefix = inputs if parameters.return_full_text else ""
    if not parameters.details:
        return Answer(prefix + best.text), best.details
    details = Details(
        finish_reason=best.details.finish_reason,
        generated_tokens=best.details.generated_tokens,
        seed=best.details.seed,
        prefill=[],
        tokens=best.tokens,
        best_of_sequences=[_best_of_sequence(other, prefix) for other in others] or msgspec.UNSET,
        top_tokens=best.top_tokens or msgspec.UNSET,
    )
    return Answer(prefix + best.text, details), best.details


def stream_headers(inputs: str) -> dict[str, str]:
    """Return the headers of a stream, as TGI sends them."""
    return {
        "Content-Type": "text/event-stream",
        "Cache-Control": "no-cache",
        "X-Accel-Buffering": "no",
        "x-compute-type": _COMPUTE_TYPE,
        "x-compute-characters": str(len(inputs)),
    }


def answer_headers(inputs: str, timings: Timings, details: StreamDetails) -> dict[str, str]:
    """Return the headers in which TGI tells an answer's times (milliseconds)."""
    inference_seconds = timings.ended - timings.started
    total_seconds = timings.ended - timings.arrived
    return {
        "x-compute-type": _COMPUTE_TYPE,
        "x-compute-time": str(total_seconds),
        "x-compute-characters": str(len(inputs)),
        "x-total-time": _milliseconds(total_seconds),
        "x-validation-time": _milliseconds(timings.queued - timings.arrived),
        "x-queue-time": _milliseconds(timings.started - timings.queued),
        "x-inference-time": _milliseconds(inference_seconds),
        "x-time-per-token": _milliseconds(inference_seconds / details.generated_tokens),
        "x-prompt-tokens": str(details.input_length),
        "x-generated-tokens": str(details.generated_tokens),
    }


async def _collect(
    inference: Inference, inputs: str, parameters: GenerationParameters, timings: Timings
) -> _Sequence:
    tokens: list[Token] = []
    top_tokens: list[list[Token]] = []
    source = inference.generate(inputs, parameters, streaming=False, timings=timings)
    text, details = "", None
    async with aclosing(source):
        async for events in source:
            for event in events:
                tokens.append(event.token)
                if parameters.top_n_tokens:
                    top = event.top_tokens
                    top_tokens.append([] if isinstance(top, msgspec.UnsetType) else top)
                text, details = event.generated_text or text, event.details or details
    if details is None:
        raise IncompleteGeneration
    return _Sequence(text, details, tokens, top_tokens)


def _best_of_sequence(sequence: _Sequence, prefix: str) -> BestOfSequence:
    return BestOfSequence(
        generated_text=prefix + sequence.text,
        finish_reason=sequence.details.finish_reason,
        generated_tokens=sequence.details.generated_tokens,
        seed=sequence.details.seed,
        prefill=[],
        tokens=sequence.tokens,
        top_tokens=sequence.top_tokens or msgspec.UNSET,
    )


def _milliseconds(seconds: float) -> str:
    return str(int(seconds * 1000))
