"""What both sides of the wire speak of."""

from typing import Annotated, Any, Final, Literal

import msgspec

PROTOCOL_VERSION: Final = 1

ModelState = Literal["stopped", "pulling", "starting", "loading", "ready", "stopping", "failed"]
GenerationState = Literal["queued", "starting", "running"]
FinishReason = Literal["stop", "length", "cancelled", "failed", "interrupted"]

# An id that a client makes; `$` alone would let a line's end follow.
Key = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,64}(?!\n)$")]


class Message(msgspec.Struct, frozen=True):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class Target(msgspec.Struct, frozen=True):
    """A model that is to answer, with its own parameters and system prompt.

    `extra` goes to the model server as it is, where the model's settings allow the names. A
    `lenient` target is answered without what its server refuses, with a notice. Of an answer that
    is kept, `column` is where it stands, `continues` what it goes on from, `repeats` which one of
    another conversation is asked again by it.
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
    """Where answers belong that are kept: a conversation, and a turn, made if it is new."""

    conversation: Key
    turn: Key
    parent: Key | None = None
    history: Key | None = None


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


class Notice(msgspec.Struct, frozen=True, omit_defaults=True):
    """A remark about an answer: a code to act on, words to read."""

    code: str
    message: str
    details: dict[str, Any] | None = None


class Cost(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an answer cost in US dollars; `estimated` where we computed it from set prices."""

    amount: float
    estimated: bool = False


class Keeping(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whether conversations are kept, and if that fails, why."""

    state: Literal["on", "off", "failing"]
    error: ErrorInfo | None = None


class ModelError(msgspec.Struct, frozen=True):
    """Why a model is not serving, and what can be done about it."""

    code: str
    message: str
    hint: str | None = None


class ModelServer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The server of somebody else that a model is on.

    `name` is that of its section in the settings, empty for a model with a server of its own;
    `address` where it is, `model` the server's own name of the model, `loaded` whether it is in
    memory there, `seen` when the server last answered, in seconds since the epoch. `found` is true
    where the server was found on this machine and nobody has said yet to use it, `left_out` how
    many models it has that do not answer with text.
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


class Model(msgspec.Struct, frozen=True):
    """A model as clients see it.

    `limits` has the context in force as `max_total_tokens`, and as `model_context` the longest
    that the model could have. `defaults` are the server's own, for parameters that nobody sets.
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


class GenerationInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """A generation as `hello` lists it; `answer` is its name in the conversation it belongs to."""

    id: str
    model: str
    state: Literal["queued", "starting", "running", "ended"]
    seq: int
    finish_reason: FinishReason | None
    answer: str | None = None


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


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Tokens in and out, as the model server counted them; null where it did not say.

    `estimated` is true where the server counted no answer and its pieces were counted instead.
    """

    prompt_tokens: int | None
    completion_tokens: int
    estimated: bool = False


class Timings(msgspec.Struct, frozen=True, omit_defaults=True):
    """Milliseconds from the command's arrival on the server's clock; null where it never came.

    `load_ms` is how long the model server was seen to load the model, which `ttft_ms` includes.
    """

    queued_ms: float | None
    ttft_ms: float | None
    total_ms: float
    tokens_per_second: float | None
    load_ms: float | None = None


class LogRecord(msgspec.Struct, frozen=True):
    """One line of a model server's log; `time` is in seconds since the epoch."""

    time: float
    stream: str
    text: str
