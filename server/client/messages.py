"""What comes out of the wire, as values; the text that binds is docs/PROTOCOL.md.

A field that is not named here is ignored, one that is missing has its default: servers may be
newer or older than this client.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal, Self

PROTOCOL_VERSION: Final = 1

ModelState = Literal["stopped", "pulling", "starting", "loading", "ready", "stopping", "failed"]
GenerationState = Literal["queued", "starting", "running"]
FinishReason = Literal["stop", "length", "cancelled", "failed", "interrupted"]
Messages = Sequence[Mapping[str, str]]

# What a client finds out by itself, beside the codes that the server sends: it was closed or
# could not connect; the server no longer knows the session that the answer belonged to.
CONNECTION_CLOSED: Final = "connection_closed"
SESSION_LOST: Final = "session_lost"


class SidestreamError(Exception):
    """An error with the code that the server, or this client, gave it."""

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


class _Message:
    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Self:
        """Take the fields that this version knows."""
        names = [known.name for known in fields(cls)]  # type: ignore[arg-type]
        return cls(**{name: wire[name] for name in names if name in wire})

    @classmethod
    def from_optional(cls, wire: Mapping[str, Any] | None) -> Self | None:
        """Do the same, None where there is nothing."""
        return None if wire is None else cls.from_wire(wire)


@dataclass(frozen=True)
class Progress(_Message):
    """How far a start has come; `fraction` is 0 to 1, None where it cannot be known."""

    phase: str
    fraction: float | None = None
    text: str = ""
    eta_seconds: float | None = None


@dataclass(frozen=True)
class ModelServer(_Message):
    """The server of somebody else that a model is on.

    `name` is what `use` takes, `model` the server's own name of the model, `loaded` whether it is
    in memory there, `seen` when the server last answered, in seconds since 1970.
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
class Model(_Message):
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

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Self:
        """Read a model with its progress, its error and its server."""
        error = wire.get("error")
        return super().from_wire(
            {
                **wire,
                "progress": Progress.from_optional(wire.get("progress")),
                "error": None if error is None else SidestreamError.from_wire(error),
                "server": ModelServer.from_optional(wire.get("server")),
            }
        )


@dataclass(frozen=True)
class Target(_Message):
    """A model that is to answer, with parameters and a system prompt of its own.

    `extra` goes to the model server as it is; a `lenient` target is answered without what its
    server refuses, with a notice. Of an answer that is kept, `column` is where it stands,
    `continues` the answer it goes on from, `repeats` the one of another conversation that is asked
    again by it.
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
        """Write it as `generate` takes it."""
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
class Usage(_Message):
    """Tokens in and out; None where the model server did not say.

    `estimated` is true where the pieces of the answer were counted in place of its tokens.
    """

    prompt_tokens: int | None = None
    completion_tokens: int = 0
    estimated: bool = False


@dataclass(frozen=True)
class Notice(_Message):
    """A remark about an answer: a code to act on, words to read."""

    code: str = ""
    message: str = ""
    details: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Cost(_Message):
    """What an answer cost in US dollars; `estimated` where it was computed from set prices."""

    amount: float = 0.0
    estimated: bool = False


@dataclass(frozen=True)
class Timings(_Message):
    """Milliseconds from the command's arrival on the server's clock; None where it never came."""

    queued_ms: float | None = None
    ttft_ms: float | None = None
    total_ms: float = 0.0
    tokens_per_second: float | None = None
    load_ms: float | None = None


@dataclass(frozen=True)
class Token(_Message):
    """One token, with what the model thought of it; comes when `details` was asked."""

    id: int
    text: str = ""
    logprob: float | None = None
    special: bool = False
    top: list[dict[str, Any]] | None = None


@dataclass(frozen=True)
class LogLine(_Message):
    """One line of a model server's log; `time` is in seconds since 1970."""

    time: float
    stream: str = ""
    text: str = ""


@dataclass(frozen=True)
class Result:
    """A whole answer: what was written, why it ended, what it took, what is to be remarked.

    `details` is what the protocol has no word for, `answered_by` who answered behind a router;
    `cost` is None where it is not known.
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


def generate_fields(
    targets: str | Target | Iterable[str | Target],
    question: str | Messages | None,
    prompt: str | None,
    parameters: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Write what a `generate` command asks; a question that is text is what a user says."""
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
