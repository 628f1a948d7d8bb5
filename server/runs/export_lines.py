"""What a run's JSON Lines have beside its answers: what judges said, and people's votes.

They are written row by row, as they are read.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from msgspec.structs import asdict

from server.runs.judge_shapes import Judgement, JudgeResults
from server.runs.shapes import RunVote
from server.runs.voters import UNKNOWN_VOTER


class JudgedLines(NamedTuple):
    """A judge and its judgements, which are taken once."""

    results: JudgeResults
    judgements: Iterable[Judgement]


def judge_lines(judges: Iterable[JudgedLines]) -> Iterator[dict[str, Any]]:
    """Yield a line for each judge, and behind it one for each of its judgements."""
    for results, judgements in judges:
        judge = asdict(results.judge)
        yield {"kind": "judge", **judge, "cost": results.cost, "inconsistent": results.inconsistent}
        for one in judgements:
            yield {"kind": "judgement", "judge": results.judge.id, **asdict(one)}


def vote_lines(votes: Iterable[RunVote], names: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Yield a line for each vote; `names` are those of voters by the ids of their keys."""
    for vote in votes:
        voter = names.get(vote.voter, UNKNOWN_VOTER)
        yield {"kind": "vote", **asdict(vote), "voter": voter}
