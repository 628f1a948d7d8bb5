"""A conversation as HTTP, exports and imports represent it.

The structs are the definition: HTTP answers and exports are encoded from them, imports are checked
by them, and the API reference is generated from them.
"""

from typing import Annotated, Any, Final, Literal

import msgspec

from server.core.attachments import Attachment
from server.core.content import text_of
from server.core.protocol import (
    Content,
    Cost,
    ErrorInfo,
    FilePart,
    FinishReason,
    ImagePart,
    Key,
    Notice,
    Timings,
    TokenInfo,
    Usage,
)

FORMAT: Final = "sidestream-conversation"
FORMAT_VERSION: Final = 2

# A page shows eight columns at most; a tool may compare more.
MAX_COLUMNS: Final = 64
# Of a system prompt, with each vote: enough to tell apart those that were compared.
MAX_VOTE_SYSTEM: Final = 2_000

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


# More than a model calls tools in one answer.
_MOST_CALLS: Final = msgspec.Meta(max_length=1_000)
# More than anybody asks in one conversation, few enough that nobody waits while it is taken in.
_MOST_PARTS: Final = msgspec.Meta(max_length=20_000)

Columns = Annotated[list[Column], msgspec.Meta(max_length=MAX_COLUMNS)]


AttachedParts = Annotated[list[ImagePart | FilePart], msgspec.Meta(max_length=1_000)]


class VoteGiven(msgspec.Struct, frozen=True):
    """Which of the answers in `among` are better than the others, or that none is."""

    verdict: Verdict
    winners: Annotated[list[Key], msgspec.Meta(max_length=MAX_COLUMNS)] = []
    among: Annotated[list[Key], msgspec.Meta(max_length=MAX_COLUMNS)] = []
    blind: bool = False


class Vote(VoteGiven, frozen=True, kw_only=True):
    """A vote that was given at that time, in seconds since 1970."""

    created: Time


class VoteCandidate(msgspec.Struct, frozen=True):
    """What was compared with others, as it was then: a model's answer, and whether it won.

    `parameters` and `system` are what its column differed in; of `system` the first 2,000
    characters.
    """

    model: Annotated[str, msgspec.Meta(max_length=300)]
    answer: Key | None = None
    column: Key | None = None
    parameters: dict[str, Any] = {}
    system: Annotated[str, msgspec.Meta(max_length=MAX_VOTE_SYSTEM)] | None = None
    won: bool = False


VoteCandidates = Annotated[list[VoteCandidate], msgspec.Meta(max_length=MAX_COLUMNS)]


class StoredVote(Vote, frozen=True, kw_only=True):
    """A vote with what was compared, by whom and where.

    `voter` is the id of a key, or `local` where there are no keys. A vote that was taken over from
    a browser has no `conversation` and no `turn`.
    """

    id: Key
    voter: str
    conversation: Key | None = None
    turn: Key | None = None
    candidates: VoteCandidates = []


class VoteReceipt(Vote, frozen=True, kw_only=True):
    """A vote that was given, and the one of the same voter on the same turn that it replaces."""

    replaced: Vote | None = None


class VoteListing(msgspec.Struct, frozen=True):
    """Votes, the latest first, and what `before` is given for those that follow."""

    votes: list[StoredVote]
    next: str | None


class Score(msgspec.Struct, frozen=True):
    """How often a model, with parameters of its own, was compared, won, tied or was called bad."""

    model: str
    parameters: dict[str, Any]
    system: str | None
    rounds: int
    wins: int
    ties: int
    bad: int


class Tally(msgspec.Struct, frozen=True):
    """All votes added up, the best first."""

    votes: int
    scores: list[Score]


class VoteCount(msgspec.Struct, frozen=True):
    """How many votes were deleted, restored or taken over."""

    votes: int


class EarlierVote(msgspec.Struct, frozen=True):
    """A vote that a browser kept; `id` is made by the client, so that none is taken over twice."""

    id: Key
    verdict: Verdict
    candidates: VoteCandidates
    blind: bool = True


class EarlierVotes(msgspec.Struct, frozen=True):
    """Votes that a browser kept."""

    votes: Annotated[list[EarlierVote], msgspec.Meta(max_length=1_000)]


class Turn(msgspec.Struct, frozen=True):
    """One prompt; those with one parent are branches. Its pictures and files are `attachments`."""

    id: Key
    parent: Key | None
    text: str
    created: Time
    history: Key | None = None
    vote: Vote | None = None
    attachments: AttachedParts = []


class StoredEngine(msgspec.Struct, frozen=True):
    """What wrote an answer, as far as it says: enough to find the same again."""

    engine: str = ""
    runner: str = ""
    model_id: str = ""
    version: str = ""
    revision: str = ""
    image: str = ""
    weights: str = ""


class StoredCall(msgspec.Struct, frozen=True):
    """A call of a tool in an answer: its place among them, and its arguments as JSON text."""

    index: int
    id: str
    name: str
    arguments: str


class StoredAnswer(msgspec.Struct, frozen=True):
    """What one model answered to one turn, so far.

    `text` is the answer alone; what was stored before thinking was told apart has it in `text`.
    `chosen` names the parameters that the client set; null where that is not known.
    """

    id: Key
    turn: Key
    column: Key | None
    model: Annotated[str, msgspec.Meta(max_length=300)]
    created: Time
    state: AnswerState
    text: str
    parameters: dict[str, Any] = {}
    chosen: list[str] | None = None
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
    engine: StoredEngine | None = None
    asked: list[Annotated[int, msgspec.Meta(ge=0)]] = []
    has_tokens: bool = False
    tokens: list[TokenInfo] = []
    reasoning: str = ""
    tool_calls: Annotated[list[StoredCall], _MOST_CALLS] = []


class Tokens(msgspec.Struct, frozen=True):
    """What an answer was written in, if that was asked for when it was."""

    tokens: list[TokenInfo]


class AskedCall(msgspec.Struct, frozen=True):
    """A call of a tool in a message that models were given; `arguments` is JSON's text."""

    id: str
    name: str
    arguments: str


class Asked(msgspec.Struct, frozen=True, omit_defaults=True):
    """A message that models were given; `prompt` is text given as it is.

    An assistant's may have `tool_calls`; a tool's answers the call that `tool_call_id` names.
    """

    role: Literal["system", "user", "assistant", "tool", "prompt"]
    content: Content
    tool_calls: Annotated[list[AskedCall], _MOST_CALLS] = []
    tool_call_id: str = ""

    @property
    def size(self) -> int:
        """Return how many characters it has."""
        calls = sum(len(call.name) + len(call.arguments) for call in self.tool_calls)
        return len(text_of(self.content)) + calls


class StoredAttachment(Attachment, frozen=True, omit_defaults=True):
    """A picture or text file of a conversation; `data`, its bytes as base64, is in exports only."""

    data: str = ""


# A word or a few that a chat is filed under; a list of them is written with commas.
Tag = Annotated[
    str,
    msgspec.Meta(
        max_length=50, pattern=r"^[^\s,\x00-\x1f](?:[^,\x00-\x1f]*[^\s,\x00-\x1f])?(?!\n)$"
    ),
]
MAX_TAGS: Final = 20
Tags = Annotated[list[Tag], msgspec.Meta(max_length=MAX_TAGS)]


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
    answers: Annotated[list[StoredAnswer], _MOST_PARTS] = []
    messages: Annotated[list[Asked], _MOST_PARTS] = []
    attachments: Annotated[list[StoredAttachment], _MOST_PARTS] = []
    votes: Annotated[list[StoredVote], _MOST_PARTS] = []
    pinned: bool = False
    tags: Tags = []


class Piece(msgspec.Struct, frozen=True):
    """A piece of text, and whether it is what was searched for."""

    text: str
    hit: bool


class Place(msgspec.Struct, frozen=True):
    """The text that was found: a title, or a turn's prompt, or an answer or its thinking."""

    part: Literal["title", "prompt", "answer", "thinking"]
    turn: str | None = None
    answer: str | None = None


class Summary(msgspec.Struct, frozen=True):
    """A conversation as a list shows it; `answering` counts the answers that are under way.

    After a search, `found` is the line that was found, `found_in` where it stands, and
    `found_title` the title, if words of it were looked for.
    """

    id: str
    title: str
    created: Time
    updated: Time
    deleted: Time | None
    turns: int
    models: list[str]
    found: list[Piece] = []
    pinned: bool = False
    tags: list[str] = []
    answering: int = 0
    found_in: Place | None = None
    found_title: list[Piece] = []


ImportSource = Literal["sidestream", "chatgpt", "open_webui"]


class LeftOut(msgspec.Struct, frozen=True):
    """What of an imported file was not taken over: how many of which kind; the same in words."""

    kind: str
    count: int
    words: str


class ImportResult(Summary, frozen=True, kw_only=True):
    """The conversation that was imported; the last changed one, if there are `imported` others.

    `ids` names all of them, the last changed first.
    """

    source: ImportSource
    imported: int
    ids: list[str]
    left_out: list[LeftOut] = []


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
    pinned: bool | None = None
    tags: Tags | None = None


# As many as a list has that somebody goes through.
ConversationIds = Annotated[list[Key], msgspec.Meta(min_length=1, max_length=1_000)]


class Changes(msgspec.Struct, frozen=True):
    """What several conversations are to be; what is not said stays."""

    ids: ConversationIds
    deleted: bool | None = None
    pinned: bool | None = None
    add_tags: Tags = []
    remove_tags: Tags = []


class Changed(msgspec.Struct, frozen=True):
    """Conversations that were changed, in the order in which they were named."""

    conversations: list[Summary]


Form = Literal["json", "markdown", "html"]


class ExportRequest(msgspec.Struct, frozen=True):
    """Which conversations are to be exported, and as what."""

    ids: ConversationIds
    form: Form = "json"


class TagCount(msgspec.Struct, frozen=True):
    """A tag, and how many conversations have it."""

    name: str
    conversations: int


class TagList(msgspec.Struct, frozen=True):
    """The tags that conversations have, by name."""

    tags: list[TagCount]


class Export(msgspec.Struct, frozen=True):
    """A whole conversation in a file."""

    format: Literal["sidestream-conversation"]
    version: Literal[1, 2]
    exported: Time
    server: str
    conversation: Conversation
