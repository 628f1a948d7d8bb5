"""The objects of the wire protocol as values; docs/PROTOCOL.md is normative.

Unknown fields are ignored and missing ones get their default: servers may be newer or older than
this client.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal, Self

PROTOCOL_VERSION: Final = 1

ModelState = Literal["stopped", "pulling", "starting", "loading", "ready", "stopping", "failed"]
GenerationState = Literal["queued", "starting", "running"]
FinishReason = Literal["stop", "length", "cancelled", "failed", "interrupted"]
Kind = Literal["answer", "reasoning", "tool_call"]
KINDS: Final[tuple[Kind, ...]] = ("reasoning", "tool_call")
"""What this client tells apart from the answer."""
Messages = Sequence[Mapping[str, Any]]

# Codes of the client itself: it is closed or cannot connect; the server no longer has the session
# of the answer.
CONNECTION_CLOSED: Final = "connection_closed"
INVALID_COMMAND: Final = "invalid_command"
SESSION_LOST: Final = "session_lost"


class SidestreamError(Exception):
    """An error with a code of the server or of this client."""

    def __init__(
        self,
        code: str,
        message: str,
        hint: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.details = details

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Self:
        """Read an error as it stands in an event."""
        return cls(
            wire.get("code", "internal"),
            wire.get("message", ""),
            wire.get("hint"),
            wire.get("details"),
        )


class WireValue:
    """A value of the protocol."""

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Self:
        """Take the fields that this version knows."""
        names = [known.name for known in fields(cls)]  # type: ignore[arg-type]
        return cls(**{name: wire[name] for name in names if name in wire})

    @classmethod
    def from_optional(cls, wire: Mapping[str, Any] | None) -> Self | None:
        """Return None for None, else what `from_wire` returns."""
        return None if wire is None else cls.from_wire(wire)


@dataclass(frozen=True)
class Progress(WireValue):
    """The progress of a start; `fraction` is 0 to 1, None if unknown."""

    phase: str
    fraction: float | None = None
    text: str = ""
    eta_seconds: float | None = None


@dataclass(frozen=True)
class ModelServer(WireValue):
    """The remote server of a model.

    `name` is what `use` takes, `model` the server's name of the model, `loaded` whether the server
    has loaded it, `seen` when the server last answered, in seconds since 1970.
    """

    address: str = ""
    name: str = ""
    model: str = ""
    dialect: str = ""
    flavour: str = ""
    loaded: bool | None = None
    seen: float | None = None
    found: bool = False


@dataclass(frozen=True)
class ModelConfig(WireValue):
    """What the server's settings say of a model.

    `system` is the prompt put before every conversation; `chosen` names those of `parameters` that
    the model's own settings set, `weights` says where its weights are from. Prices are US dollars
    for a million tokens, `memory` is in bytes.
    """

    system: str = ""
    chosen: Sequence[str] = ()
    weights: str = ""
    price_in: float | None = None
    price_out: float | None = None
    memory: int | None = None


@dataclass(frozen=True)
class Model(WireValue):
    """A model as the server sees it."""

    id: str
    name: str = ""
    description: str = ""
    runner: str = ""
    engine: str = ""
    state: ModelState = "stopped"
    progress: Progress | None = None
    error: SidestreamError | None = None
    running: int = 0
    waiting: int = 0
    limits: Mapping[str, int | None] = field(default_factory=dict)
    capabilities: Mapping[str, bool] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    outdated: bool = False
    defaults: Mapping[str, Any] = field(default_factory=dict)
    server: ModelServer | None = None
    details: Mapping[str, str] = field(default_factory=dict)
    config: ModelConfig | None = None

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Self:
        """Read a model with its progress, its error, its server and its settings."""
        error = wire.get("error")
        return super().from_wire(
            {
                **wire,
                "progress": Progress.from_optional(wire.get("progress")),
                "error": None if error is None else SidestreamError.from_wire(error),
                "server": ModelServer.from_optional(wire.get("server")),
                "config": ModelConfig.from_optional(wire.get("config")),
            }
        )


@dataclass(frozen=True)
class Target(WireValue):
    """A model to ask, with its own parameters and system prompt.

    `extra` is passed to the model server unchanged; a `lenient` target is answered without
    parameters that its server refuses, with a notice. Of a stored answer, `column` is its column,
    `continues` the answer that it continues, `repeats` the answer of another conversation that it
    repeats.
    """

    model: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    system: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    lenient: bool = False
    column: str | None = None
    continues: str | None = None
    repeats: str | None = None

    def to_wire(self) -> dict[str, Any]:
        """Return the target of a `generate` command."""
        wire: dict[str, Any] = {"model": self.model}
        if self.parameters:
            wire["parameters"] = dict(self.parameters)
        if self.extra:
            wire["extra"] = dict(self.extra)
        if self.lenient:
            wire["lenient"] = True
        for name in ("system", "column", "continues", "repeats"):
            if (value := getattr(self, name)) is not None:
                wire[name] = value
        return wire


@dataclass(frozen=True)
class Usage(WireValue):
    """Tokens in and out; None if the model server did not report them.

    `estimated` is true if deltas were counted instead of tokens. `reasoning_tokens` are those of
    the completion that were thinking, None if there was none; `context_tokens` is the context that
    both had to fit into, None if it is unknown.
    """

    prompt_tokens: int | None = None
    completion_tokens: int = 0
    estimated: bool = False
    reasoning_tokens: int | None = None
    context_tokens: int | None = None


@dataclass(frozen=True)
class Notice(WireValue):
    """A remark about an answer: a code for programs, a message for people."""

    code: str = ""
    message: str = ""
    details: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Cost(WireValue):
    """The cost of an answer in US dollars; `estimated` if computed from configured prices."""

    amount: float = 0.0
    estimated: bool = False


@dataclass(frozen=True)
class Timings(WireValue):
    """Milliseconds since the command's arrival; None for a phase that was not reached.

    `load_ms` and `starting_ms` are the time that the model, and its server, took to start. Where
    the first token is not one of the answer, `reasoning_ms` is when thinking began, `answer_ms`
    when the answer did.
    """

    queued_ms: float | None = None
    ttft_ms: float | None = None
    total_ms: float = 0.0
    tokens_per_second: float | None = None
    load_ms: float | None = None
    starting_ms: float | None = None
    reasoning_ms: float | None = None
    answer_ms: float | None = None


@dataclass(frozen=True)
class Token(WireValue):
    """One token with its probability; sent if `details` was requested.

    A `mark` begins or ends the thinking or a tool call, and is no part of either.
    """

    id: int
    text: str = ""
    logprob: float | None = None
    special: bool = False
    top: list[dict[str, Any]] | None = None
    kind: Kind = "answer"
    mark: bool = False


@dataclass(frozen=True)
class ToolCall:
    """A call of a tool: its place among the answer's calls, and its arguments as JSON text."""

    index: int
    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Piece:
    """Text of one kind, as it arrived; `call` is the index of the tool call that it belongs to."""

    text: str
    kind: Kind = "answer"
    call: int | None = None


@dataclass(frozen=True)
class LogLine(WireValue):
    """One line of a model server's log; `time` is in seconds since 1970."""

    time: float
    stream: str = ""
    text: str = ""


@dataclass(frozen=True)
class Result:
    """A whole answer.

    `text` is the answer alone, without what the model thought (`reasoning`) and its tool calls.
    `details` is anything beyond the protocol, `answered_by` the model or provider behind a router;
    `cost` is None if unknown.
    """

    text: str
    finish_reason: FinishReason
    usage: Usage
    timings: Timings
    tokens: list[Token]
    cached: bool
    notices: list[Notice] = field(default_factory=list)
    details: Mapping[str, Any] = field(default_factory=dict)
    answered_by: str = ""
    cost: Cost | None = None
    reasoning: str = ""
    tool_calls: list[ToolCall] = field(default_factory=list)


def generate_fields(
    targets: str | Target | Iterable[str | Target],
    question: str | Messages | None,
    prompt: str | None,
    parameters: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return the fields of a `generate` command; a `question` that is text is a user's message."""
    chosen = [targets] if isinstance(targets, str | Target) else targets
    fields: dict[str, Any] = {
        "targets": [(Target(one) if isinstance(one, str) else one).to_wire() for one in chosen]
    }
    if isinstance(question, str):
        fields["messages"] = [{"role": "user", "content": question}]
    elif question is not None:
        fields["messages"] = [dict(message) for message in question]
    if prompt is not None:
        fields["prompt"] = prompt
    if parameters:
        fields["parameters"] = dict(parameters)
    return fields
