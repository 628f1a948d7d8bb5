"""The events of the server: a frame is a JSON array of events."""

from typing import Any, Final, Literal

import msgspec

from server.core.protocol.shared import (
    Cost,
    ErrorInfo,
    FinishReason,
    GenerationState,
    Kind,
    LogRecord,
    Model,
    Notice,
    Timings,
    TokenInfo,
    ToolCall,
    Usage,
)


class Event(msgspec.Struct, frozen=True, tag_field="type"):
    """Something the server tells a client."""


class Result(Event, frozen=True, tag="result"):
    """Answer a command that was carried out."""

    id: int
    result: Any


class Error(Event, frozen=True, tag="error", omit_defaults=True):
    """Answer a command that failed, or report an error that belongs to no command."""

    error: ErrorInfo
    id: int | None = None


class State(Event, frozen=True, tag="state", omit_defaults=True):
    """Tell the state of a generation before its first token, and a notice if there is one.

    `prompt_tokens` is the prompt's length, `context_tokens` what prompt and answer have to fit
    into, as soon as they are known. Of a queue, `max_concurrent` is how many answers the model's
    server writes at once, `queue_timeout` after how many seconds one that waits is given up.
    """

    generation: str
    state: GenerationState
    position: int | None = None
    notice: Notice | None = None
    prompt_tokens: int | None = None
    context_tokens: int | None = None
    max_concurrent: int | None = None
    queue_timeout: float | None = None


class Delta(Event, frozen=True, tag="delta", omit_defaults=True):
    """Carry the text after the client's cursor, up to and including delta number `seq`.

    `kind` says what the text is, to clients that know kinds; `call` which tool call it belongs to.
    """

    generation: str
    seq: int
    text: str
    tokens: list[TokenInfo] | None = None
    kind: Kind = "answer"
    call: ToolCall | None = None


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
    """Replace what the client knows of all models: some were added or removed."""

    models: list[Model]


class Log(Event, frozen=True, tag="log", omit_defaults=True):
    """Carry new lines of a subscribed log; with `ended` they are the last."""

    subscription: str
    lines: list[LogRecord]
    ended: bool = False


class StorageChanged(Event, frozen=True, tag="conversations", omit_defaults=True):
    """Say that conversations cannot be stored for the time being, or can be again."""

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
    StorageChanged,
)

_encoder = msgspec.json.Encoder()


def encode(events: list[Event]) -> bytes:
    """Write one frame: a JSON array of events."""
    return _encoder.encode(events)
