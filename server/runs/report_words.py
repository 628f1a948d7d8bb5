"""What a report says of votes and judges, in words: as the page and the terminal say it."""

from collections.abc import Sequence

from server.evaluation.statistics.won_pairs import WonPairs
from server.evaluation.tables import GradeSummary
from server.runs.results import JudgeRate, RunVoter

NOTHING = "\N{EN DASH}"


def percent(share: float) -> str:
    """Return a share in percent: `62 %`."""
    return f"{share * 100:.0f} %"


def won_words(pairs: WonPairs | None) -> str:
    """Return which share of its pairs a target won; how many of them where that tells too little.

    `62 % (48 to 74 %)`, or `2.5 of 4 pairs, too few winners`.
    """
    total = pairs.wins + pairs.losses + pairs.ties if pairs else 0
    if pairs is None or not total:
        return NOTHING
    if pairs.share is None or pairs.interval is None:
        words = f"{pairs.wins + pairs.ties / 2:g} of {_counted(total, 'pair')}, too few winners"
    else:
        low, high = pairs.interval.low, pairs.interval.high
        words = f"{percent(pairs.share)} ({low * 100:.0f} to {percent(high)})"
    if pairs.inconsistent:
        words += f"; contradicted itself in {pairs.inconsistent:,}"
    return words


def rate_words(rate: JudgeRate) -> str:
    """Return what a judge says of a target: `3.80 of 5 (3.50 to 4.10)`, or the pairs it won."""
    return won_words(rate.pairs) if rate.grades is None else _grade(rate.grades, rate.highest_grade)


def made_of(voters: Sequence[RunVoter]) -> str:
    """Return who voted, and how many of the votes are blind: `12 votes by anna, all of them blind`.

    A report goes from hand to hand: nobody is `you`.
    """
    votes, blind = sum(one.votes for one in voters), sum(one.blind for one in voters)
    who = f"{len(voters):,} voters" if len(voters) > 1 else voters[0].name or "1 voter"
    if votes == 1:
        share = "blind" if blind else "not blind"
    else:
        share = {votes: "all of them blind", 0: "none of them blind"}.get(
            blind, f"{blind:,} of them blind"
        )
    return f"{_counted(votes, 'vote')} by {who}, {share}"


def _grade(grades: GradeSummary, highest: int) -> str:
    if grades.mean is None:
        return NOTHING
    words = f"{grades.mean:.2f} of {highest}"
    if grades.interval is not None:
        words += f" ({grades.interval.low:.2f} to {grades.interval.high:.2f})"
    return words


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"
