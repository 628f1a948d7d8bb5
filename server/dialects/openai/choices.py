"""One choice of a chunk, read whatever the server's habit: one place per habit.

`delta` may be null or empty, `content` null, absent or a list of parts; the finish reason null, ""
or absent; reasoning has three names and three forms. A whole answer where a stream was asked for
has `message` in place of `delta`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

# The same words may stand in two of them: the first that has any is taken.
_REASONING_FIELDS: Final = ("reasoning_content", "reasoning", "reasoning_details", "thinking")
_REASONING_PARTS: Final = frozenset({"thinking", "reasoning"})
_WORDS_FIELDS: Final = ("text", "content", "thinking", "summary")


class Choice(NamedTuple):
    """What a chunk brings of one answer."""

    text: str
    reasoning: str
    reason: str
    tool_calls: Sequence[object]
    logprobs: object
    token_ids: object
    stopped_by: object


def first_choices(chunk: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return what a chunk brings of the first answer; one alone is asked for."""
    choices = chunk.get("choices")
    if not isinstance(choices, list):
        return []
    return [choice for choice in choices if isinstance(choice, dict) and not choice.get("index", 0)]


def read_choice(choice: Mapping[str, Any]) -> Choice:
    """Read a choice of a chat or of a completion."""
    delta = choice.get("delta") or choice.get("message")
    if not isinstance(delta, dict):
        delta = {}
    content = delta.get("content")
    reasoning = ""
    if has_more := len(delta) > ("content" in delta) + ("role" in delta):
        told = (_words(delta.get(name)) for name in _REASONING_FIELDS)
        reasoning = next(filter(None, told), "")
    if isinstance(content, list):
        thought = [part for part in content if _is_reasoning(part)]
        reasoning = reasoning or _words(thought)
        content = [part for part in content if not _is_reasoning(part)]
    text = content if isinstance(content, str) else _words(content)
    text = text or _words(delta.get("refusal")) or _words(choice.get("text"))
    reason = choice.get("finish_reason")
    stopped_by = choice.get("stop_reason")
    return Choice(
        text,
        reasoning,
        "" if reason is None else str(reason),
        _tool_calls(delta) if has_more else (),
        choice.get("logprobs"),
        choice.get("token_ids"),
        choice.get("matched_stop") if stopped_by is None else stopped_by,
    )


def _words(value: object) -> str:
    """Return the text of a text, of an object that has one, or of a list of these."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(map(_words, value))
    if isinstance(value, dict):
        return next((words for name in _WORDS_FIELDS if (words := _words(value.get(name)))), "")
    return ""


def _is_reasoning(part: object) -> bool:
    return isinstance(part, dict) and part.get("type") in _REASONING_PARTS


def _tool_calls(delta: Mapping[str, Any]) -> Sequence[object]:
    calls = delta.get("tool_calls")
    if isinstance(calls, list):
        return calls
    # TGI 2 and before send one call and no list; `function_call` is OpenAI's first form.
    if isinstance(calls, dict):
        return [calls]
    call = delta.get("function_call")
    return [{"function": call}] if isinstance(call, dict) else []
