"""What a prompt and its answer have to fit into, and the words for a prompt that does not."""

from dataclasses import dataclass
from typing import Any, Final

from server.chat.request import GenerationRequest
from server.core.errors import PromptTooLong
from server.core.trimming import Turns
from server.dialects.base import EngineInfo
from server.settings.runners import CONTAINER_RUNNERS

# The key with which a model's context grows, by its runner.
_CONTEXT_KEYS: Final = {"process": "context_tokens"} | dict.fromkeys(
    CONTAINER_RUNNERS, "max_total_tokens"
)


@dataclass(frozen=True)
class ContextLimits:
    """The limits of one model, in tokens; None where one is unknown.

    `context_tokens` holds prompt and answer together, `max_input_tokens` the prompt alone.
    """

    context_tokens: int | None
    max_input_tokens: int | None

    def most_prompt_tokens(self, room: int) -> int | None:
        """Return how long a prompt may be beside an answer of `room` tokens; None if unknown."""
        beside = None if self.context_tokens is None else self.context_tokens - room
        known = [most for most in (beside, self.max_input_tokens) if most is not None]
        return min(known, default=None)

    def has_room(self, prompt_tokens: int | None, room: int) -> bool:
        """Tell whether prompt and answer fit, as far as is known."""
        most = self.most_prompt_tokens(room)
        return most is None or prompt_tokens is None or prompt_tokens <= most

    def room_beside(self, prompt_tokens: int | None) -> int | None:
        """Return what a prompt leaves of the context, None if unknown."""
        if self.context_tokens is None or prompt_tokens is None:
            return None
        return self.context_tokens - prompt_tokens

    def lengths(self, prompt_tokens: int | None, room: int) -> dict[str, int]:
        """Return an error's details: what is known, and by how many tokens there are too many."""
        lengths = {
            "prompt_tokens": prompt_tokens,
            "max_total_tokens": self.context_tokens,
            "max_input_tokens": self.max_input_tokens,
        }
        known = {name: tokens for name, tokens in lengths.items() if tokens is not None}
        most = self.most_prompt_tokens(room)
        if most is not None and prompt_tokens is not None and prompt_tokens > most:
            known["over_by"] = prompt_tokens - most
        return known


def too_long(
    request: GenerationRequest,
    info: EngineInfo,
    limits: ContextLimits,
    *,
    prompt_tokens: int,
    room: int,
    turns_left_out: int,
) -> PromptTooLong:
    """Return the error for a prompt that leaves no `room` for an answer."""
    details = limits.lengths(prompt_tokens, room)
    over_by = details.get("over_by", 0)
    whose = "even without its oldest turns the prompt" if turns_left_out else "the prompt"
    if limits.max_input_tokens is not None and prompt_tokens - limits.max_input_tokens == over_by:
        why = f"the server takes {limits.max_input_tokens:,}"
    else:
        why = f"with an answer it has to fit into a context of {limits.context_tokens:,}"
    return PromptTooLong(
        f"{whose} has {prompt_tokens:,} tokens, {over_by:,} too many: {why}",
        hint=_what_helps(request, info, limits),
        details=details,
    )


def refused(
    refusal: PromptTooLong,
    request: GenerationRequest,
    info: EngineInfo,
    limits: ContextLimits,
    *,
    prompt_tokens: int | None,
    room: int,
    is_length: bool,
) -> PromptTooLong:
    """Return a server's refusal with what is known besides, and what helps.

    `room` is what the answer has to have; `is_length` tells that it is a length that was chosen,
    and that a shorter answer would have room.
    """
    details: dict[str, Any] = {**(refusal.details or {}), **limits.lengths(prompt_tokens, room)}
    hint = refusal.hint or _what_helps(request, info, limits, is_length=is_length)
    return PromptTooLong(refusal.message, hint=hint, details=details or None)


def _what_helps(
    request: GenerationRequest,
    info: EngineInfo,
    limits: ContextLimits,
    *,
    is_length: bool = False,
) -> str:
    helps = ["shorten it"]
    content = request.content
    if not request.trims and not isinstance(content, str) and Turns.of(content).most:
        helps = ["have the oldest turns left out with `trim`"]
    if is_length:
        helps.append("ask for a shorter answer")
    helps.append(_larger_context(request, info, limits))
    return f"{', '.join(helps[:-1])}, or {helps[-1]}"


def _larger_context(request: GenerationRequest, info: EngineInfo, limits: ContextLimits) -> str:
    most, context, runner = info.model_context_tokens, limits.context_tokens, request.model.runner
    if most is not None and context is not None and context >= most:
        return "take a model with a longer context"
    key = _CONTEXT_KEYS.get(runner)
    if key is None and info.dialect == "ollama":
        key = "num_ctx"
    if key is None:
        return "have its server give the model a longer context"
    return f"raise `{key}` in the model's section"
