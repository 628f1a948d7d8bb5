"""A conversation as clients see it, as it is exported, and as it is taken back.

The structs are the definition: what is said over HTTP is encoded from them, what is imported is
checked by them, and the reference shows them.
"""

from typing import Annotated, Any, Final, Literal

import msgspec

from server.core.protocol import (
    Cost,
    ErrorInfo,
    FinishReason,
    Key,
    Notice,
    Timings,
    TokenInfo,
    Usage,
)

FORMAT: Final = "sidestream-conversation"
FORMAT_VERSION: Final = 1

# A page shows eight columns at most; a tool may compare more.
MAX_COLUMNS: Final = 64

Title = Annotated[str, msgspec.Meta(max_length=300)]
# Seconds since 1970, up to the last that a calendar knows.
Time = Annotated[float, msgspec.Meta(ge=0, le=253_402_300_799)]
AnswerState = Literal["queued", "starting", "running", "ended"]
Verdict = Literal["better", "tie", "bad"]


class Column(msgspec.Struct, frozen=True):
    """Who answers in one column: a model, and what its parameters differ in."""

    id: Key
    model: Annotated[str, msgspec.Meta(max_length=300)]
    parameters: dict[str, Any] = {}
    system: str | None = None
    hidden_name: Annotated[str, msgspec.Meta(max_length=300)] | None = None


# More than anybody asks in one conversation, few enough that nobody waits while it is taken in.
_MOST_PARTS: Final = msgspec.Meta(max_length=20_000)

Columns = Annotated[list[Column], msgspec.Meta(max_length=MAX_COLUMNS)]


class VoteGiven(msgspec.Struct, frozen=True):
    """Which of the answers in `among` are better than the others, or that none is."""

    verdict: Verdict
    winners: Annotated[list[Key], msgspec.Meta(max_length=MAX_COLUMNS)] = []
    among: Annotated[list[Key], msgspec.Meta(max_length=MAX_COLUMNS)] = []
    blind: bool = False


class Vote(VoteGiven, frozen=True, kw_only=True):
    """A vote that was given at that time, in seconds since 1970."""

    created: Time


class Turn(msgspec.Struct, frozen=True):
    """One prompt; those with one parent are branches."""

    id: Key
    parent: Key | None
    text: str
    created: Time
    history: Key | None = None
    vote: Vote | None = None


class Engine(msgspec.Struct, frozen=True):
    """What wrote an answer, as far as it says: enough to find the same again."""

    engine: str = ""
    runner: str = ""
    model_id: str = ""
    version: str = ""
    revision: str = ""
    image: str = ""
    weights: str = ""


class Answer(msgspec.Struct, frozen=True):
    """What one model answered to one turn, so far."""

    id: Key
    turn: Key
    column: Key | None
    model: Annotated[str, msgspec.Meta(max_length=300)]
    created: Time
    state: AnswerState
    text: str
    parameters: dict[str, Any] = {}
    continues: Key | None = None
    repeats: Key | None = None
    finish_reason: FinishReason | None = None
    error: ErrorInfo | None = None
    usage: Usage | None = None
    timings: Timings | None = None
    cached: bool = False
    notices: list[Notice] = []
    details: dict[str, Any] = {}
    answered_by: str = ""
    cost: Cost | None = None
    engine: Engine | None = None
    asked: list[Annotated[int, msgspec.Meta(ge=0)]] = []
    has_tokens: bool = False
    tokens: list[TokenInfo] = []


class Tokens(msgspec.Struct, frozen=True):
    """What an answer was written in, if that was asked for when it was."""

    tokens: list[TokenInfo]


class Asked(msgspec.Struct, frozen=True):
    """A message that models were given; `prompt` is text given as it is."""

    role: Literal["system", "user", "assistant", "prompt"]
    content: str


class Conversation(msgspec.Struct, frozen=True):
    """A tree of turns with everything that was answered."""

    id: Key
    title: Title
    created: Time
    updated: Time
    deleted: Time | None = None
    columns: Columns = []
    view: dict[str, Any] = {}
    turns: Annotated[list[Turn], _MOST_PARTS] = []
    answers: Annotated[list[Answer], _MOST_PARTS] = []
    messages: Annotated[list[Asked], _MOST_PARTS] = []


class Piece(msgspec.Struct, frozen=True):
    """A piece of text, and whether it is what was searched for."""

    text: str
    hit: bool


class Summary(msgspec.Struct, frozen=True):
    """A conversation as a list shows it."""

    id: str
    title: str
    created: Time
    updated: Time
    deleted: Time | None
    turns: int
    models: list[str]
    found: list[Piece] = []


class Listing(msgspec.Struct, frozen=True):
    """Conversations, last changed first, and what `before` is given for those that follow."""

    conversations: list[Summary]
    next: str | None


class Outline(msgspec.Struct, frozen=True):
    """What a conversation is begun with."""

    title: Title = ""
    columns: Columns = []
    view: dict[str, Any] = {}


class Change(msgspec.Struct, frozen=True):
    """What of a conversation is to be another; what is not said stays."""

    title: Title | None = None
    columns: Columns | None = None
    view: dict[str, Any] | None = None


class Export(msgspec.Struct, frozen=True):
    """A whole conversation in a file."""

    format: Literal["sidestream-conversation"]
    version: Literal[1]
    exported: Time
    server: str
    conversation: Conversation
