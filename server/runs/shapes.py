"""Prompt sets and runs as HTTP and the socket represent them.

The structs are the definition: answers are encoded from them, bodies are checked by them, and the
reference is generated from them. Times are seconds since 1970.
"""

from typing import Annotated, Any, Final, Literal

import msgspec

from server.archive.shapes import StoredEngine, Time
from server.core.protocol import Cost, ErrorInfo, FinishReason, Key, Notice, Timings, Usage

MAX_TARGETS: Final = 64
MAX_REPEATS: Final = 100
# Of a prompt or an answer, in lists: more than a line of a table shows.
PREVIEW_CHARS: Final = 200

CellKey = tuple[int, int, int]
"""Prompt, target and repeat, from 0."""

Name = Annotated[str, msgspec.Meta(max_length=300)]
Tags = Annotated[list[Annotated[str, msgspec.Meta(max_length=50)]], msgspec.Meta(max_length=20)]
RunState = Literal["running", "paused", "done", "incomplete", "cancelled"]
TargetState = Literal["waiting", "asking", "done", "failed"]
CellState = Literal["waiting", "asking", "done"]
JudgeMode = Literal["grades", "pairs"]


class SetSummary(msgspec.Struct, frozen=True):
    """A prompt set without its prompts; `version` is made from what it has in it.

    `versions` counts it and the earlier ones that are known.
    """

    id: Key
    name: Name
    tags: Tags
    created: Time
    updated: Time
    version: str
    prompts: int
    versions: int = 1


class SetListing(msgspec.Struct, frozen=True):
    """The caller's prompt sets, last changed first."""

    sets: list[SetSummary]


class SetVersion(msgspec.Struct, frozen=True):
    """What a set has, or had, in it; `created` is when it was given that."""

    version: str
    prompts: int
    created: Time


class SetVersions(msgspec.Struct, frozen=True):
    """The versions of a set, the present one first."""

    versions: list[SetVersion]


class SetChange(msgspec.Struct, frozen=True):
    """What is to be changed of a set beside its prompts."""

    name: Name | None = None
    tags: Tags | None = None


class Target(msgspec.Struct, frozen=True):
    """Who is asked: a model, and what differs from its settings.

    `name` is shown instead of the model's where it is set.
    """

    model: Annotated[str, msgspec.Meta(min_length=1, max_length=300)]
    parameters: dict[str, Any] = {}
    system: str | None = None
    name: Name = ""


Targets = Annotated[list[Target], msgspec.Meta(min_length=1, max_length=MAX_TARGETS)]


class RunGiven(msgspec.Struct, frozen=True):
    """Ask every prompt of a set of every target, `repeats` times.

    `version` is one that the set has or had; empty takes the present one.
    """

    prompt_set: Key
    targets: Targets
    repeats: Annotated[int, msgspec.Meta(ge=1, le=MAX_REPEATS)] = 1
    name: Name = ""
    version: str = ""


class RunExtension(msgspec.Struct, frozen=True):
    """More to ask in a run: other targets, more repeats, or prompts that its set has got since.

    `version` is one of the run's set whose first prompts are those that were asked already.
    """

    targets: Annotated[list[Target], msgspec.Meta(max_length=MAX_TARGETS)] = []
    repeats: Annotated[int, msgspec.Meta(ge=1, le=MAX_REPEATS)] | None = None
    version: str = ""


class RunTarget(Target, frozen=True, kw_only=True):
    """A target and how far it is; `failed` answers are among the `answered` ones.

    `passed` and `checked` count the answers whose checks all passed, and those that had any.
    `engine` is what served it when it was last asked.
    """

    state: TargetState
    answered: int
    failed: int
    passed: int
    checked: int
    error: ErrorInfo | None = None
    engine: StoredEngine | None = None


class RunJudge(msgspec.Struct, frozen=True):
    """A judge of a run and how far it is.

    `total` is how many judgements the answers that are complete now call for.
    """

    id: Key
    model: str
    mode: JudgeMode
    state: RunState
    judged: int
    total: int


class Run(msgspec.Struct, frozen=True):
    """A run and how far it is.

    `state` is `incomplete` where not all could be asked: `error`, of the run or of a target, says
    why. `owner` is the id of the key that began it. `shared_with` has the names of the keys whose
    holders may read it and vote, or `*` for every key; it is told to the owner only. `judges` are
    in the order in which they began, `votes` counts those of all voters.
    """

    id: Key
    name: Name
    prompt_set: Key
    set_name: Name
    version: str
    prompts: int
    repeats: int
    state: RunState
    created: Time
    updated: Time
    answered: int
    total: int
    targets: list[RunTarget]
    error: ErrorInfo | None = None
    owner: str = ""
    owner_name: str = ""
    is_mine: bool = True
    shared_with: list[str] = []
    judges: list[RunJudge] = []
    votes: int = 0


class RunListing(msgspec.Struct, frozen=True):
    """Runs, the latest first, and what `before` is given for those that follow."""

    runs: list[Run]
    next: str | None


class CheckOutcome(msgspec.Struct, frozen=True):
    """Whether an answer passed one check, null where that cannot be told, and why."""

    check: dict[str, Any]
    passed: bool | None
    explanation: str


class Cell(msgspec.Struct, frozen=True, omit_defaults=True):
    """One answer of a run in short; `text` is how it begins, `reason` why its checks failed."""

    prompt: int
    target: int
    repeat: int
    state: CellState
    text: str = ""
    finish_reason: FinishReason | None = None
    code: str | None = None
    passed: bool | None = None
    reason: str = ""
    first_token_ms: float | None = None
    total_ms: float | None = None


class Row(msgspec.Struct, frozen=True):
    """A prompt of a run, by how it begins, and its answers: by target, then by repeat."""

    prompt: int
    text: str
    cells: list[Cell]


class Rows(msgspec.Struct, frozen=True):
    """Some of a run's prompts; it has `total`, of which `matching` are among those asked for."""

    total: int
    rows: list[Row]
    matching: int


class RunAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One complete answer of a run."""

    prompt: int
    target: int
    repeat: int
    ended: Time
    text: str
    finish_reason: FinishReason
    usage: Usage
    timings: Timings
    reasoning: str = ""
    parameters: dict[str, Any] = {}
    checks: list[CheckOutcome] = []
    passed: bool | None = None
    was_cold: bool = False
    error: ErrorInfo | None = None
    notices: list[Notice] = []
    details: dict[str, Any] = {}
    answered_by: str = ""
    cost: Cost | None = None

    @property
    def is_answered(self) -> bool:
        """Tell whether the model ended the answer, or reached its length."""
        return self.finish_reason in ("stop", "length")


class AskedPrompt(msgspec.Struct, frozen=True):
    """One prompt of a run as it is asked, and its complete answers."""

    prompt: int
    messages: list[dict[str, Any]]
    expected: str | None
    answers: list[RunAnswer]


_Places = Annotated[list[Annotated[int, msgspec.Meta(ge=0)]], msgspec.Meta(max_length=MAX_TARGETS)]


class RunVoteGiven(msgspec.Struct, frozen=True):
    """Which of the targets in `among` answered better than the others; none of them for a tie.

    `blind` tells that the voter did not see which answer was whose.
    """

    among: Annotated[_Places, msgspec.Meta(min_length=2)]
    winners: _Places = []
    repeat: Annotated[int, msgspec.Meta(ge=0, lt=MAX_REPEATS)] = 0
    blind: bool = False


class RunVote(RunVoteGiven, frozen=True, kw_only=True):
    """A vote on the answers to a prompt, by whom and when.

    `voter` is the id of a key to the voter and to the run's owner. Others are told a name, such as
    `voter 2`.
    """

    prompt: int
    voter: str
    created: Time


class RunVotes(msgspec.Struct, frozen=True):
    """The votes on a run, by prompt."""

    votes: list[RunVote]
