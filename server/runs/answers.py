"""Answers of a run as they are kept, made from generations that have ended."""

import time
from collections.abc import Sequence
from typing import Any

import msgspec

from server.chat.reading import whole
from server.chat.request import GenerationRequest
from server.core.generation import Generation
from server.core.protocol import End, ErrorInfo, Timings, Usage
from server.runs.shapes import CellKey, CheckOutcome, RunAnswer


def complete(
    cell: CellKey, generation: Generation, end: End, request: GenerationRequest
) -> RunAnswer:
    """Return the answer of a generation that has ended, without checks."""
    texts: dict[str, list[str]] = {"answer": [], "reasoning": []}
    for part in whole(generation, kinds=("reasoning", "tool_call")):
        if not part.label.is_mark:
            texts.setdefault(part.label.kind, []).append(part.text)
    prompt, target, repeat = cell
    return RunAnswer(
        prompt=prompt,
        target=target,
        repeat=repeat,
        ended=time.time(),
        text="".join(texts["answer"]),
        reasoning="".join(texts["reasoning"]),
        finish_reason=end.finish_reason,
        usage=end.usage,
        timings=end.timings,
        parameters=_parameters(request),
        was_cold=end.timings.starting_ms is not None or end.timings.load_ms is not None,
        error=end.error,
        notices=end.notices,
        details=end.details,
        answered_by=end.answered_by,
        cost=end.cost,
    )


def refused(cell: CellKey, error: ErrorInfo) -> RunAnswer:
    """Return the answer to a prompt that cannot be asked of its target."""
    prompt, target, repeat = cell
    return RunAnswer(
        prompt=prompt,
        target=target,
        repeat=repeat,
        ended=time.time(),
        text="",
        finish_reason="failed",
        usage=Usage(None, 0),
        timings=Timings(None, None, 0.0, None),
        error=error,
    )


def checked(answer: RunAnswer, checks: Sequence[CheckOutcome]) -> RunAnswer:
    """Return an answer with its checks; it has passed if it has passed them all.

    Whether it has is unknown without checks, and where one cannot be told and no other failed.
    """
    results = [check.passed for check in checks]
    passed = False if False in results else None if None in results or not results else True
    return msgspec.structs.replace(answer, checks=list(checks), passed=passed)


def first_token_ms(timings: Timings) -> float | None:
    """Return the milliseconds from an answer's turn to its first token; None without one."""
    if timings.ttft_ms is None or timings.queued_ms is None:
        return None
    return timings.ttft_ms - timings.queued_ms


def written_ms(timings: Timings) -> float:
    """Return the milliseconds from an answer's turn to its end, 0 if it had none."""
    return 0.0 if timings.queued_ms is None else timings.total_ms - timings.queued_ms


def _parameters(request: GenerationRequest) -> dict[str, Any]:
    """Return the parameters that were asked with; a length that nobody chose is left out."""
    parameters = dict(request.parameters)
    if not request.has_chosen_length:
        parameters.pop("max_new_tokens", None)
    return parameters
