"""Carry one answer from a model server into a generation's log.

Rules:

1. A task per generation is the only writer of its log, and whatever happens to the task,
   the log ends exactly once: finished, cancelled, failed or interrupted.
2. Cancelling the task closes the connection to the model server, which frees its slot.
3. When a connection breaks, the lifecycle is asked why before the user is told.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from server.core.errors import EngineLost, SidestreamError
from server.core.generation import Generation
from server.core.parameters import merge, normalise
from server.core.protocol import ErrorInfo, Message, TokenInfo
from server.models.catalog import ModelSpec
from server.models.fleet import Fleet, Lease
from server.models.upstreams.base import Batch, Finish, Prompt

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What one model is asked: a conversation, or a prompt as it is."""

    model: ModelSpec
    content: Sequence[Message] | str
    parameters: dict[str, Any]
    has_chosen_length: bool


def build_request(
    spec: ModelSpec,
    content: Sequence[Message] | str,
    *,
    parameters: Sequence[dict[str, Any]],
    system: str | None,
) -> Request:
    """Combine what the model's settings, the command and the target say, the later winning.

    Raises `InvalidParameters` before anything has started.
    """
    asked = merge(*parameters)
    chosen = normalise(merge(spec.parameters, asked))
    if not isinstance(content, str):
        content = _with_system(content, spec.system if system is None else system)
    return Request(spec, content, chosen, "max_new_tokens" in asked)


async def relay(fleet: Fleet, request: Request, generation: Generation) -> None:
    """Write the model's answer into `generation` until it has ended.

    Cancelled, it ends the generation as `generation.reason_if_cancelled` says, and returns.
    """
    finish = Finish("failed", None, None)
    error: ErrorInfo | None = None
    try:
        generation.move_to("starting", now_ms=now_ms())
        async with fleet.lease(request.model.id) as lease:
            finish = await _answer(lease, request, generation)
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
    )


async def _answer(lease: Lease, request: Request, generation: Generation) -> Finish:
    try:
        prompt = await _prompt(lease, request)
        parameters = _within_context(lease, request, prompt)
        generation.move_to("running", now_ms=now_ms())
        async with aclosing(lease.upstream.generate(prompt.text, parameters)) as batches:
            async for batch in batches:
                _append(generation, batch)
                if batch.finish is not None:
                    return batch.finish
    except EngineLost as lost:
        raise await lease.cause_of_loss() or lost from None
    raise EngineLost("the model server ended its answer without saying why")


async def _prompt(lease: Lease, request: Request) -> Prompt:
    if isinstance(request.content, str):
        return Prompt(request.content)
    return await lease.upstream.prompt(request.content)


def _within_context(lease: Lease, request: Request, prompt: Prompt) -> dict[str, Any]:
    """Shorten a length that nobody asked for to what the context has left."""
    parameters = request.parameters
    total = lease.info.max_total_tokens
    if request.has_chosen_length or total is None or prompt.tokens is None:
        return parameters
    # At least one token, so that a prompt that is too long is refused for what it is.
    room = max(total - prompt.tokens, 1)
    return {**parameters, "max_new_tokens": min(parameters["max_new_tokens"], room)}


def _append(generation: Generation, batch: Batch) -> None:
    """Add what is to be shown: special tokens have no text, and unless asked no place."""
    if generation.keeps_tokens:
        texts = ["" if token.special else token.text for token in batch.tokens]
        tokens: list[TokenInfo] = batch.tokens
    else:
        texts = [token.text for token in batch.tokens if token.text and not token.special]
        tokens = []
    if texts:
        generation.append(texts, tokens, now_ms=now_ms())


def _with_system(messages: Sequence[Message], system: str) -> Sequence[Message]:
    """Put the system prompt first, unless the conversation brings its own."""
    if not system or (messages and messages[0].role == "system"):
        return messages
    return [Message("system", system), *messages]


def error_info(error: SidestreamError) -> ErrorInfo:
    """Write an error as it stands in an event."""
    return ErrorInfo(error.code, error.message, error.hint, error.details)


def now_ms() -> float:
    """Return milliseconds on the monotonic clock."""
    return time.monotonic() * 1000
