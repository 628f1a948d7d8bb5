"""A leaderboard as HTTP represents it."""

from typing import Annotated, Any, Literal

import msgspec

Over = Literal["all", "runs", "chats"]
Tag = Annotated[str, msgspec.Meta(max_length=50)]


class BoardRank(msgspec.Struct, frozen=True):
    """How strong votes make a model, by the model of Bradley and Terry.

    `strength` is in log odds, of a mean of 0 in its `group`; `interval` is a bootstrap's over
    prompts, at 95 %, null while fewer than 6 `prompts` were decided, by any vote that is no tie.
    `places` are the best and the worst place in the group that the intervals allow: models that
    share places cannot be told apart. Models of two groups were never compared, not even by others
    between them. `regularised`: distances are cautious, since somebody never lost or never won.
    `wins`, `losses` and `ties` count pairs: a vote among several is some.
    """

    model: str
    strength: float
    interval: list[float] | None
    places: list[int]
    prompts: int
    wins: int
    losses: int
    ties: int
    group: int
    regularised: bool


class BoardPassed(msgspec.Struct, frozen=True):
    """How many checked answers passed, with Wilson's interval at 95 %; it is by prompt."""

    passed: int
    total: int
    prompts: int
    share: float
    interval: list[float]


class BoardVariant(msgspec.Struct, frozen=True):
    """One of the ways in which a model was asked that are counted as one.

    `runs` and `rounds` count the runs with it and the votes on chats with it.
    """

    parameters: dict[str, Any]
    system: str | None
    runs: int
    rounds: int


class BoardEntry(msgspec.Struct, frozen=True):
    """A model; a preset is a model of its own.

    `votes` are those on its answers that count. `prompts` are those that runs asked it. `variants`
    are the parameters and system prompts that are counted together, the most frequent first, up to
    20 of the `variants_count`.
    """

    model: str
    rank: BoardRank | None
    passed: BoardPassed | None
    votes: int
    runs: int
    prompts: int
    variants: list[BoardVariant]
    variants_count: int


class JudgeBoard(msgspec.Struct, frozen=True):
    """What one judging model says, never mixed with people's votes.

    `pairs` are judged in both orders; one about which it contradicts itself is a tie, and counted
    in `inconsistent`.
    """

    model: str
    judges: int
    pairs: int
    inconsistent: int
    ranking: list[BoardRank]


class BoardRun(msgspec.Struct, frozen=True):
    """A run of which a leaderboard is made: its blind votes, other votes, and checked answers."""

    id: str
    name: str
    prompt_set: str
    set_name: str
    is_mine: bool
    prompts: int
    votes: int
    other_votes: int
    checked: int


class BoardVoter(msgspec.Struct, frozen=True):
    """How many votes somebody gave that count, and others.

    `voter` is the id of a key: the caller's own, those of the runs' owners, and of who voted on the
    caller's runs alone. It is told of nobody else: they are numbered, such as `voter 2`.
    """

    voter: str
    is_me: bool
    votes: int
    other_votes: int


class Leaderboard(msgspec.Struct, frozen=True):
    """Models by people's blind votes and by checks, over runs and chats, and what it is made of.

    `votes` count; `other_votes`, by voters who saw the models' names, do not. `same_model` are
    pairs of answers by one model, which say nothing. `chats` are the conversations with votes,
    `chat_votes` and `other_chat_votes` the caller's votes there. `left_out` tells that there is
    more than is taken: the latest runs and votes are.
    """

    over: Over
    prompt_set: str
    tag: str
    entries: list[BoardEntry]
    judges: list[JudgeBoard]
    votes: int
    other_votes: int
    same_model: int
    runs: list[BoardRun]
    chats: int
    chat_votes: int
    other_chat_votes: int
    voters: list[BoardVoter]
    left_out: bool
