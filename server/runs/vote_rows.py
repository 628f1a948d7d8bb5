"""Votes on answers of runs as rows of the file."""

from typing import Final

import msgspec

from server.runs.shapes import RunVote
from server.storage.database import Row

VOTES: Final = (
    "SELECT prompt, repeat, voter, created, given FROM vote WHERE run = ?"
    " ORDER BY prompt, repeat, voter"
)
"""The votes on the run with this number, by prompt."""
VOTERS: Final = (
    "SELECT voter, count(*), sum(json_extract(given, '$.blind')) FROM vote WHERE run = ?"
    " GROUP BY voter ORDER BY min(created), voter"
)
"""Who voted on the run with this number: how many votes, and how many of them blind."""


def vote_of(row: Row) -> RunVote:
    """Return the vote of a row of `VOTES`."""
    prompt, repeat, voter, created, given = row
    return RunVote(
        **msgspec.json.decode(given), prompt=prompt, repeat=repeat, voter=voter, created=created
    )
