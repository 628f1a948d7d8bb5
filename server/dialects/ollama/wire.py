"""Ollama's JSON: lines of an answer, lists of models, and what a line is when it is damaged.

Rules:

1. A line is decoded once, typed, whichever route it comes from: `/api/chat` puts the text into
   `message`, `/api/generate` into `response`, and both end with `done: true`.
2. A line that is not quite as it should be still gives what is well formed in it. Only what is no
   JSON at all is unreadable.
"""

import json
import math
from typing import Any

import msgspec


class OtherToken(msgspec.Struct):
    """A token that was weighed."""

    token: str
    logprob: float | None = None


class WeighedToken(msgspec.Struct):
    """A token with its probability and its alternatives."""

    token: str
    logprob: float | None = None
    top_logprobs: list[OtherToken] | None = None


class Piece(msgspec.Struct):
    """What `/api/chat` adds to its message."""

    content: str | None = None
    thinking: str | None = None
    tool_calls: list[Any] | None = None


class Line(msgspec.Struct):
    """One line of an answer; durations are in nanoseconds."""

    message: Piece | None = None
    response: str | None = None
    thinking: str | None = None
    tool_calls: list[Any] | None = None
    logprobs: list[WeighedToken] | None = None
    done: bool = False
    done_reason: str | None = None
    error: Any = None
    remote_model: str | None = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None
    total_duration: int | None = None
    load_duration: int | None = None
    prompt_eval_duration: int | None = None
    eval_duration: int | None = None


class Details(msgspec.Struct):
    """What tells one build of a model from another."""

    family: str | None = None
    parameter_size: str | None = None
    quantization_level: str | None = None
    context_length: int | None = None


class ListedModel(msgspec.Struct):
    """One entry of `/api/tags`."""

    name: str
    details: Details | None = None
    capabilities: list[str] | None = None
    remote_host: str | None = None


class Tags(msgspec.Struct):
    """What `/api/tags` says."""

    models: list[ListedModel]


class LoadedModel(msgspec.Struct):
    """One entry of `/api/ps`; `context_length` is the context in force."""

    name: str
    context_length: int | None = None


class Loaded(msgspec.Struct):
    """What `/api/ps` says."""

    models: list[LoadedModel]


class Shown(msgspec.Struct):
    """What `/api/show` says; `parameters` are lines of the model's own options."""

    details: Details | None = None
    model_info: dict[str, Any] | None = None
    capabilities: list[str] | None = None
    parameters: str | None = None
    template: str | None = None
    renderer: str | None = None
    remote_host: str | None = None


class Version(msgspec.Struct):
    """What `/api/version` says."""

    version: str


_line = msgspec.json.Decoder(Line)


def read_line(line: bytes) -> Line | None:
    """Return what a line says, None for JSON that is no object.

    Raises `ValueError` for what is no JSON.
    """
    try:
        return _line.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _read_damaged(line)


def _read_damaged(line: bytes) -> Line | None:
    """Read a line that has NaN for a number, bad UTF-8, or a field of another type."""
    # Python's own reader takes NaN, Infinity and lone surrogates.
    try:
        value = _mended(json.loads(line.decode(errors="replace")))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(value, dict):
        return None
    known = {name: value[name] for name in Line.__struct_fields__ if name in value}
    while known:
        try:
            return msgspec.convert(known, Line)
        except msgspec.ValidationError:
            known = {name: part for name, part in known.items() if _is_readable(name, part)}
    return Line()


def _is_readable(name: str, part: Any) -> bool:
    try:
        msgspec.convert({name: part}, Line)
    except msgspec.ValidationError:
        return False
    return True


def _mended(value: Any) -> Any:
    """Return the same without numbers and characters that no message of ours can carry."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_mended(item) for item in value]
    if isinstance(value, dict):
        return {name: _mended(item) for name, item in value.items()}
    return value
