"""The wire protocol, version 1: what a client may say, what the server says, and how it is written.

A frame from a client is one JSON object; `parse_command` turns it into a typed command or
into the error that answers it. A frame from the server is an array of events; `encode`
writes it. The structs are the definition: they validate, they encode, and the
documentation is checked against them.
"""

from typing import Annotated, Any, Final, Literal

import msgspec

from server.core.errors import InvalidCommand, UnknownType

PROTOCOL_VERSION: Final = 1

ModelState = Literal["stopped", "pulling", "starting", "loading", "ready", "stopping", "failed"]
GenerationState = Literal["queued", "starting", "running"]
FinishReason = Literal["stop", "length", "cancelled", "failed", "interrupted"]


# --- what both sides speak of ---------------------------------------------------------------


class Message(msgspec.Struct, frozen=True):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class Target(msgspec.Struct, frozen=True):
    """A model that is to answer, with its own parameters and system prompt."""

    model: str
    parameters: dict[str, Any] = {}
    system: str | None = None


class Progress(msgspec.Struct, frozen=True):
    """Say how far a start has come: `fraction` is 0 to 1, null where it cannot be known."""

    phase: str
    fraction: float | None = None
    text: str = ""
    eta_seconds: float | None = None


class ErrorInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error as it stands in an event: a code to act on, words to read."""

    code: str
    message: str
    hint: str | None = None
    details: dict[str, Any] | None = None


class ModelError(msgspec.Struct, frozen=True):
    """Why a model is not serving, and what can be done about it."""

    code: str
    message: str
    hint: str | None = None


class Model(msgspec.Struct, frozen=True):
    """A model as clients see it."""

    id: str
    name: str
    description: str
    runner: str
    engine: str
    state: ModelState
    progress: Progress | None
    error: ModelError | None
    running: int
    waiting: int
    limits: dict[str, int | None]
    capabilities: dict[str, bool]
    parameters: dict[str, Any]
    outdated: bool = False


class GenerationInfo(msgspec.Struct, frozen=True):
    """A generation as `hello` lists it."""

    id: str
    model: str
    state: Literal["queued", "starting", "running", "ended"]
    seq: int
    finish_reason: FinishReason | None


class Alternative(msgspec.Struct, frozen=True):
    """A token the model weighed in the same place."""

    id: int
    text: str
    logprob: float | None
    special: bool = False


class TokenInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """One token of a delta, sent when `details` was asked."""

    id: int
    text: str
    logprob: float | None
    special: bool
    top: list[Alternative] | None = None


class Usage(msgspec.Struct, frozen=True):
    """Tokens in and out, as the model server counted them; null where it did not say."""

    prompt_tokens: int | None
    completion_tokens: int


class Timings(msgspec.Struct, frozen=True):
    """Milliseconds from the command's arrival on the server's clock; null where it never came."""

    queued_ms: float | None
    ttft_ms: float | None
    total_ms: float
    tokens_per_second: float | None


# --- commands -------------------------------------------------------------------------------

CommandId = Annotated[int, msgspec.Meta(ge=1)]
Cursor = Annotated[int, msgspec.Meta(ge=0)]


class Command(msgspec.Struct, frozen=True, tag_field="type"):
    """Have an id that the one answer to this command repeats."""

    id: CommandId


class Hello(Command, frozen=True, tag="hello"):
    """Open a session, or come back to one with what was received of each generation."""

    session: str | None = None
    cursors: dict[str, Cursor] = {}


class Generate(Command, frozen=True, tag="generate"):
    """Ask every target the same thing; exactly one of `messages` and `prompt`."""

    targets: Annotated[list[Target], msgspec.Meta(min_length=1, max_length=64)]
    messages: list[Message] | None = None
    prompt: str | None = None
    parameters: dict[str, Any] = {}
    details: bool = False
    request_id: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] | None = None


class Cancel(Command, frozen=True, tag="cancel"):
    """Stop generations; all live ones of the session when none is named."""

    generations: list[str] | None = None


class Start(Command, frozen=True, tag="start"):
    """Start a model."""

    model: str


class Stop(Command, frozen=True, tag="stop"):
    """Stop a model."""

    model: str


class Ping(Command, frozen=True, tag="ping"):
    """Ask for a sign of life."""


COMMANDS: Final[dict[str, type[Command]]] = {
    "hello": Hello,
    "generate": Generate,
    "cancel": Cancel,
    "start": Start,
    "stop": Stop,
    "ping": Ping,
}


class _Envelope(msgspec.Struct):
    type: str
    id: Any = None


class BadFrame(ValueError):
    """The frame is not a JSON object with a string `type`: the socket closes with 4400."""


class BadCommand(Exception):
    """A well-formed frame holds a command that cannot be carried out: answered, not closed."""

    def __init__(self, command_id: int | None, error: InvalidCommand) -> None:
        super().__init__(str(error))
        self.command_id = command_id
        self.error = error


_envelope = msgspec.json.Decoder(_Envelope)
_commands = {name: msgspec.json.Decoder(struct) for name, struct in COMMANDS.items()}


def parse_command(frame: str | bytes) -> Command:
    """Return the command that `frame` holds; unknown fields are ignored.

    Raises `BadFrame` when the frame is no command at all, and `BadCommand`, with the
    command's id where it has a usable one, when type or fields are wrong.
    """
    try:
        envelope = _envelope.decode(frame)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise BadFrame(str(error)) from None
    has_id = type(envelope.id) is int and envelope.id >= 1
    command_id = envelope.id if has_id else None
    decoder = _commands.get(envelope.type)
    if decoder is None:
        raise BadCommand(command_id, UnknownType(f"unknown command type {envelope.type[:80]!r}"))
    try:
        command = decoder.decode(frame)
    except msgspec.ValidationError as error:
        raise BadCommand(command_id, InvalidCommand(str(error))) from None
    if isinstance(command, Generate) and (command.messages is None) == (command.prompt is None):
        raise BadCommand(command_id, InvalidCommand("give exactly one of `messages` and `prompt`"))
    return command


# --- events ---------------------------------------------------------------------------------


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
    """Say where a generation is before its first token."""

    generation: str
    state: GenerationState
    position: int | None = None


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


class ModelChanged(Event, frozen=True, tag="model"):
    """Replace what the client knows of a model."""

    model: Model


EVENTS: Final[tuple[type[Event], ...]] = (Result, Error, State, Delta, End, ModelChanged)

_encoder = msgspec.json.Encoder()


def encode(events: list[Event]) -> bytes:
    """Write one frame: a JSON array of events."""
    return _encoder.encode(events)
