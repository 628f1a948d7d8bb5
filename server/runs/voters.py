"""Who voted on a run, as its readers may know it.

Rules:

1. With whom a run is shared is told to its owner alone, so who voted is, too: other readers learn
   the names of themselves and of the owner, and how many others there are.
2. Ids of keys are not told: a key that is gone has a number as well. Single votes are listed with
   the ids of keys to the run's owner, and its own to each voter.
3. A number is a voter's place among all, by the earliest vote, for every reader.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec
from msgspec.structs import replace

from server.access.principal import LOCAL, Principal
from server.runs.results import RunVoter
from server.runs.shapes import RunVote

UNKNOWN_VOTER: Final = "another voter"
"""Who voted after it was asked who voters are."""


class StoredVoter(NamedTuple):
    """Who voted, by the id of a key, and how many votes there are, how many of them blind."""

    id: str
    votes: int
    blind: int


class KnownVoter(msgspec.Struct, frozen=True):
    """A voter by the id of a key, and as a reader may know them."""

    id: str
    seen: RunVoter


def voters_seen_by(
    reader: str,
    owner: str,
    voters: Sequence[StoredVoter],
    holder: Callable[[str], Principal | None],
) -> list[KnownVoter]:
    """Return the voters of a run of this owner as a reader may know them."""

    def name(number: int, key: str) -> str:
        if key == LOCAL.id:
            return ""
        found = holder(key) if reader == owner or key in (reader, owner) else None
        return f"voter {number}" if found is None else found.name

    return [
        KnownVoter(one.id, RunVoter(name(number, one.id), one.id == reader, one.votes, one.blind))
        for number, one in enumerate(voters, start=1)
    ]


def votes_seen_by(
    reader: str, votes: Sequence[RunVote], voters: Sequence[KnownVoter]
) -> list[RunVote]:
    """Return votes with the voters' names in place of ids of keys, but for the reader's own."""
    names = {one.id: one.seen.name for one in voters} | {reader: reader}
    return [replace(vote, voter=names.get(vote.voter, UNKNOWN_VOTER)) for vote in votes]
