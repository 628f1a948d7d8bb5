"""The types that commands, results and events share."""

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

import msgspec

from server.core.errors import SidestreamError
from server.core.tool_rules import ToolName

PROTOCOL_VERSION: Final = 1

ModelState = Literal["stopped", "pulling", "starting", "loading", "ready", "stopping", "failed"]
GenerationState = Literal["queued", "starting", "running"]
FinishReason = Literal["stop", "length", "cancelled", "failed", "interrupted"]
Kind = Literal["answer", "reasoning", "tool_call"]
"""What a piece of a generation's text is."""

# What may be left out of a conversation that is too long.
Trim = Literal["oldest_turns"]

# An id that a client makes; `$` alone would let a line's end follow.
Key = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,64}(?!\n)$")]


# An attachment's id: the SHA-256 of its bytes.
Digest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}(?!\n)$")]
MAX_NAME_CHARS: Final = 200
"""How long the name of an attachment may be."""


class TextPart(msgspec.Struct, frozen=True, tag_field="type", tag="text"):
    """A part of a message that is text."""

    text: str


class ImagePart(msgspec.Struct, frozen=True, tag_field="type", tag="image"):
    """A part of a user's message that is a picture, put as an attachment before."""

    attachment: Digest


class FilePart(msgspec.Struct, frozen=True, tag_field="type", tag="file", omit_defaults=True):
    """A part of a user's message that is a text file, put as an attachment before.

    The model reads its text, and `name`; null takes the attachment's own name.
    """

    attachment: Digest
    name: Annotated[str, msgspec.Meta(max_length=MAX_NAME_CHARS)] | None = None


ContentPart = TextPart | ImagePart | FilePart
Content = str | Annotated[list[ContentPart], msgspec.Meta(min_length=1, max_length=1000)]


if TYPE_CHECKING:
    _Content = Content
else:
    # Null is read as no text, so that nobody has to tell the two apart.
    _Content = Content | None


class PastCall(msgspec.Struct, frozen=True):
    """A call of a tool in a conversation; `arguments` is JSON's text."""

    id: Annotated[str, msgspec.Meta(min_length=1)]
    name: ToolName
    arguments: str


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """One turn of a conversation.

    Parts other than text belong to a user's. A tool's answers the call that `tool_call_id` names.
    Beside `tool_calls`, which only an assistant's has, `content` may be null.
    """

    role: Literal["system", "user", "assistant", "tool"]
    content: _Content
    tool_calls: list[PastCall] = []
    tool_call_id: str = ""

    def __post_init__(self) -> None:
        """Raise `ValueError` for fields that do not go with the role."""
        if self.tool_calls and self.role != "assistant":
            raise ValueError("`tool_calls` stand in messages of the role assistant only")
        if (self.role == "tool") != bool(self.tool_call_id):
            raise ValueError("`tool_call_id` goes with the role tool, which needs it")
        content: object = self.content
        if content is None:
            if not self.tool_calls:
                raise ValueError("`content` may be null beside `tool_calls` only")
            msgspec.structs.force_setattr(self, "content", "")


class Target(msgspec.Struct, frozen=True):
    """A model that is to answer, with its own parameters and system prompt.

    `extra` goes to the model server unchanged, where the model's settings allow the names. A
    `lenient` target is answered without the parameters that its server refuses, with a notice. For
    an answer that is stored, `column` is its column in the conversation, `continues` the answer it
    goes on from, `repeats` the answer of another conversation that it repeats.
    """

    model: str
    parameters: dict[str, Any] = {}
    system: str | None = None
    extra: dict[str, Any] = {}
    lenient: bool = False
    column: Key | None = None
    continues: Key | None = None
    repeats: Key | None = None


class Record(msgspec.Struct, frozen=True):
    """Where to store answers: a conversation, and a turn in it, created if it is new."""

    conversation: Key
    turn: Key
    parent: Key | None = None
    history: Key | None = None


class Progress(msgspec.Struct, frozen=True):
    """The progress of a start: `fraction` is 0 to 1, null where it cannot be known."""

    phase: str
    fraction: float | None = None
    text: str = ""
    eta_seconds: float | None = None


class ErrorInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error on the wire: `code` for a program, `message` and `hint` for people."""

    code: str
    message: str
    hint: str | None = None
    details: dict[str, Any] | None = None

    @classmethod
    def of(cls, error: SidestreamError) -> Self:
        """Write an error of our tree."""
        return cls(error.code, error.message, error.hint, error.details)


class Notice(msgspec.Struct, frozen=True, omit_defaults=True):
    """A remark about an answer: `code` for a program, `message` for people."""

    code: str
    message: str
    details: dict[str, Any] | None = None


class Cost(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an answer cost in US dollars; `estimated` where it follows from set prices."""

    amount: float
    estimated: bool = False


class StorageStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whether conversations are stored, and if that fails, why."""

    state: Literal["on", "off", "failing"]
    error: ErrorInfo | None = None


class ModelError(msgspec.Struct, frozen=True):
    """Why a model is not serving, and what can be done about it."""

    code: str
    message: str
    hint: str | None = None


class ModelServer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The server of a model that the gateway did not start.

    `name` is that of its section in the settings, empty for a model with a server of its own;
    `address` is its address, `model` the server's own name of the model, `loaded` whether the model
    is in memory there, `seen` when the server last answered, in seconds since the epoch. `found` is
    true for a server that was found on this machine and is not in use yet, `left_out` the number of
    its models that do not generate text.
    """

    address: str
    name: str = ""
    model: str = ""
    dialect: str = ""
    flavour: str = ""
    loaded: bool | None = None
    seen: float | None = None
    found: bool = False
    left_out: int = 0


class ModelConfig(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the settings say of a model, beside its name and its parameters.

    `system` is the prompt put before every conversation; `chosen` names those of `parameters` that
    the model's section sets, while the others are the gateway's. `weights` says where its weights
    are from, without folders of this machine. Prices are US dollars for a million tokens; `memory`
    is what its server may take, in bytes.
    """

    system: str = ""
    chosen: list[str] = []
    weights: str = ""
    price_in: float | None = None
    price_out: float | None = None
    memory: int | None = None


class ModelReplica(msgspec.Struct, frozen=True, omit_defaults=True):
    """One of several servers of a model, or the only one where it runs on one of many machines.

    `address` is where it answers, empty before it was started; `place` the machine's name.
    `answers` is how many it is writing, `max_concurrent` how many it writes at once, null if that
    is not known.
    """

    number: int
    state: ModelState
    address: str = ""
    place: str = ""
    progress: Progress | None = None
    error: ModelError | None = None
    answers: int = 0
    max_concurrent: int | None = None
    outdated: bool = False


class Model(msgspec.Struct, frozen=True):
    """A model as clients see it.

    `limits` has the context in force as `max_total_tokens`, and the longest that the model could
    have as `model_context`. `defaults` are the server's own values of parameters that are not set,
    `config` is what the settings say beside `parameters`, null where that is nothing. `replicas`
    are its servers where there are several, else null; it is ready if one of them is.
    """

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
    defaults: dict[str, Any] = {}
    server: ModelServer | None = None
    details: dict[str, str] = {}
    config: ModelConfig | None = None
    replicas: list[ModelReplica] | None = None


class GenerationInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """A generation as `hello` lists it; `answer` is its name in the conversation it belongs to.

    `timings` are those so far of one that goes on.
    """

    id: str
    model: str
    state: Literal["queued", "starting", "running", "ended"]
    seq: int
    finish_reason: FinishReason | None
    answer: str | None = None
    timings: "Timings | None" = None


class Alternative(msgspec.Struct, frozen=True):
    """A token that the model considered at the same position."""

    id: int
    text: str
    logprob: float | None
    special: bool = False


class ToolCall(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which call of a tool a delta belongs to: its place among the answer's calls, from 0."""

    index: int
    name: str
    id: str = ""


class TokenInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """One token of a delta, sent if `details` was set.

    `mark` is true for what marks the beginning or the end of a kind, such as `<think>`.
    """

    id: int
    text: str
    logprob: float | None
    special: bool
    top: list[Alternative] | None = None
    kind: Kind = "answer"
    mark: bool = False
    call: ToolCall | None = None


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Prompt and completion tokens, as the model server counted them; null where it did not say.

    `estimated` is true where the server counted none and the deltas were counted instead. Of the
    completion tokens, `reasoning_tokens` are thinking: as counted by the server, or by the share
    of the deltas; null where there was none. `context_tokens` is the context that both had to fit
    into, null where it is unknown.
    """

    prompt_tokens: int | None
    completion_tokens: int
    estimated: bool = False
    reasoning_tokens: int | None = None
    context_tokens: int | None = None


class Timings(msgspec.Struct, frozen=True, omit_defaults=True):
    """Milliseconds from the command's arrival on the server's clock; null for what did not happen.

    `load_ms` is how long the model server took to load the model, `starting_ms` how long the answer
    waited for the server itself to start; `ttft_ms` includes both. Where the first token is not the
    first of the answer, `answer_ms` tells when that came, and `reasoning_ms` when thinking began.
    """

    queued_ms: float | None
    ttft_ms: float | None
    total_ms: float
    tokens_per_second: float | None
    load_ms: float | None = None
    starting_ms: float | None = None
    reasoning_ms: float | None = None
    answer_ms: float | None = None


class LogRecord(msgspec.Struct, frozen=True):
    """One line of a model server's log; `time` is in seconds since the epoch."""

    time: float
    stream: str
    text: str
