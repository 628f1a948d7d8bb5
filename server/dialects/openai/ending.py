"""How an answer ended, gathered from its chunks: reason, usage, and what else the server tells.

Rules:

1. Usage comes in an event of its own, beside the last text, with every event, as zeros, or never:
   the last that is not all zeros counts. Of an answer that we end ourselves it never comes; there
   llama.cpp's `timings` tell as much.
2. A reason that the protocol has no word for is a `stop`, and is kept in `details`.
3. A `stop` without a word, a tool call or usage is no answer.
4. A server may count tokens of thinking that it never sent; they are counted all the same.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from server.core.errors import EngineError
from server.core.protocol import Cost, FinishReason
from server.dialects.base import Finish
from server.dialects.openai.choices import Choice

_REASONS: Final[Mapping[str, FinishReason]] = {
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
}
_FAILED: Final = frozenset({"abort", "aborted", "error", "failed"})
# Reasons that the protocol's own words say whole.
_SAID: Final = frozenset({"stop", "length"})


class Ending:
    """Gather what a stream tells of its end."""

    __slots__ = (
        "_cost",
        "_engine",
        "_timings",
        "_usage",
        "answered_by",
        "details",
        "has_thinking",
        "reason",
        "tool_calls",
    )

    def __init__(self, engine: str) -> None:
        self._engine = engine
        self._usage: Mapping[str, Any] = {}
        self._timings: Mapping[str, Any] = {}
        self._cost: Cost | None = None
        self.tool_calls: Sequence[Mapping[str, Any]] = ()
        """The calls of tools, whole, in OpenAI's form."""
        self.reason = ""
        self.has_thinking = False
        self.answered_by = ""
        self.details: dict[str, Any] = {}

    @property
    def completion_tokens(self) -> int | None:
        """Return how many tokens the answer has, as far as the server has told."""
        return _count(self._usage, "completion_tokens")

    def take_chunk(self, chunk: Mapping[str, Any], choices: Sequence[Mapping[str, Any]]) -> None:
        """Take what a chunk tells of the whole answer."""
        # Groq and Moonshot have places of their own for it.
        for holder in (*choices, chunk.get("x_groq"), chunk):
            usage = holder.get("usage") if isinstance(holder, dict) else None
            if isinstance(usage, dict) and (
                _count(usage, "prompt_tokens") or _count(usage, "completion_tokens")
            ):
                self._usage = usage
                cost = usage.get("cost")
                if isinstance(cost, int | float):
                    self._cost = Cost(float(cost))
        timings = chunk.get("timings")
        if isinstance(timings, dict):
            self._timings = timings
        if isinstance(provider := chunk.get("provider"), str):
            self.answered_by = provider

    def take_choice(self, choice: Choice) -> None:
        """Take all of a choice except its text."""
        if choice.stopped_by is not None:
            self.details["stop_reason"] = choice.stopped_by
        if choice.reasoning:
            self.has_thinking = True
        if choice.reason:
            self.reason = choice.reason

    def finish(self, *, has_words: bool) -> Finish:
        """Return the end of an answer that has a reason; raises `EngineError` if that is a bad one.

        `has_words` tells whether anything of the answer came.
        """
        if self.reason in _FAILED:
            raise EngineError(f"{self._engine} gave the answer up: {self.reason}")
        if self.reason == "stop" and not (has_words or self.tool_calls or self._usage):
            raise EngineError(f"{self._engine} ended its answer without a word")
        if self.reason not in _SAID:
            self.details["finish_reason"] = self.reason
        return self.finish_as(_REASONS.get(self.reason, "stop"))

    def cut_at(self, stop: str) -> Finish:
        """Return the end of an answer that we cut at a stop text."""
        self.details["stop"] = stop
        self._usage = self._usage or _usage_of(self._timings)
        return self.finish_as("stop")

    def finish_as(self, reason: FinishReason) -> Finish:
        """Return the end for a reason of ours."""
        usage = self._usage_details()
        return Finish(
            reason,
            _count(self._usage, "prompt_tokens"),
            _count(self._usage, "completion_tokens"),
            details={**self.details, **usage, **self._called()},
            answered_by=self.answered_by,
            cost=self._cost,
            unseen_tokens=0 if self.has_thinking else usage.get("reasoning_tokens", 0),
        )

    def _usage_details(self) -> dict[str, int]:
        found = {}
        for place, name in (
            ("prompt_tokens_details", "cached_tokens"),
            ("completion_tokens_details", "reasoning_tokens"),
        ):
            told = self._usage.get(place)
            count = _count(told, name) if isinstance(told, dict) else None
            if count is not None:
                found[name] = count
        return found

    def _called(self) -> dict[str, Any]:
        return {"tool_calls": self.tool_calls} if self.tool_calls else {}


def _count(usage: Mapping[str, Any], name: str) -> int | None:
    value = usage.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _usage_of(timings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return as usage what llama.cpp tells of its work so far; nothing before the first token."""
    read, kept = _count(timings, "prompt_n"), _count(timings, "cache_n")
    written = _count(timings, "predicted_n")
    if not written or read is None or kept is None:
        return {}
    return {
        "prompt_tokens": read + kept,
        "completion_tokens": written,
        "prompt_tokens_details": {"cached_tokens": kept},
    }
