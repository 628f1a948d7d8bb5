"""What the server says: a JSON array of events a frame."""

from typing import Any, Final, Literal

import msgspec

from server.core.protocol.shared import (
    Cost,
    ErrorInfo,
    FinishReason,
    GenerationState,
    LogRecord,
    Model,
    Notice,
    Timings,
    TokenInfo,
    Usage,
)


class Event(msgspec.Struct, frozen=True, tag_field="type"):
    """Something the server tells a client."""


class Result(Event, frozen=True, tag="result"):
    """Answer a command that was carried out."""

    id: int
    result: Any


class Error(Event, frozen=True, tag="error", omit_defaults=True):
    """Answer a command that failed, or report what belongs to no command."""

    error: ErrorInfo
    id: int | None = None


class State(Event, frozen=True, tag="state", omit_defaults=True):
    """Say where a generation is before its first token, and why if there is more to say."""

    generation: str
    state: GenerationState
    position: int | None = None
    notice: Notice | None = None


class Delta(Event, frozen=True, tag="delta", omit_defaults=True):
    """Carry all text after the client's cursor, up to and including delta number `seq`."""

    generation: str
    seq: int
    text: str
    tokens: list[TokenInfo] | None = None


class End(Event, frozen=True, tag="end", omit_defaults=True):
    """Close a generation; nothing of it follows."""

    generation: str
    seq: int
    finish_reason: FinishReason
    usage: Usage
    timings: Timings
    error: ErrorInfo | None = None
    cached: bool = False
    notices: list[Notice] = []
    details: dict[str, Any] = {}
    answered_by: str = ""
    cost: Cost | None = None


class ModelChanged(Event, frozen=True, tag="model"):
    """Replace what the client knows of a model."""

    model: Model


class ModelsChanged(Event, frozen=True, tag="models"):
    """Replace what the client knows of all models: some are new, or there no more."""

    models: list[Model]


class Log(Event, frozen=True, tag="log", omit_defaults=True):
    """Carry new lines of a log that was subscribed to; after one that says `ended` none follow."""

    subscription: str
    lines: list[LogRecord]
    ended: bool = False


class KeepingChanged(Event, frozen=True, tag="conversations", omit_defaults=True):
    """Say that conversations cannot be kept for the time being, or are again."""

    state: Literal["on", "failing"]
    error: ErrorInfo | None = None


EVENTS: Final[tuple[type[Event], ...]] = (
    Result,
    Error,
    State,
    Delta,
    End,
    ModelChanged,
    ModelsChanged,
    Log,
    KeepingChanged,
)

_encoder = msgspec.json.Encoder()


def encode(events: list[Event]) -> bytes:
    """Write one frame: a JSON array of events."""
    return _encoder.encode(events)
