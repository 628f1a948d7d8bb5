"""Strengths of targets out of votes between two of them, by the model of Bradley and Terry.

A target of strength s beats one of strength t with probability 1 / (1 + exp(t - s)). A tie is half
a win for each. Rules:

1. Targets that no chain of votes connects are not comparable: each such group is estimated by
   itself, and strengths of two groups must not be compared.
2. The most likely strengths are finite only if each target of a group was beaten by another, and
   beat another, through some chain (Ford 1957). Where that is not so, as with one that was never
   beaten, each pair that was compared gets one more tie, and the group is marked `regularised`:
   the order is right, the distances are cautious.
3. Votes on the same prompt depend on each other: resampling draws prompts, not votes.
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from server.evaluation.statistics.intervals import (
    BOOTSTRAP_SAMPLES,
    CONFIDENCE,
    Interval,
    interval_around,
    resamples,
)

_TIE: Final = 0.5
_TOLERANCE: Final = 1e-9
_MAX_ITERATIONS: Final = 10_000
_DECIMALS: Final = 9

Wins = dict[str, dict[str, float]]
"""How often (a tie counts half) a target won against each other one."""


VoteData = tuple[str, str, str, float]
"""The fields of a `Vote`. Many tuples of texts and numbers cost the garbage collector nothing."""


@dataclass(frozen=True)
class Vote:
    """Say which of two targets was better on a prompt: 1 is the first, 0 the second, 0.5 a tie."""

    prompt: str
    first: str
    second: str
    score: float


@dataclass(frozen=True)
class Strength:
    """Hold how strong a target is among its group, whose mean is 0, on the scale of log odds.

    `group` numbers the groups from 0, the largest first. `interval` is None without votes.
    """

    target: str
    strength: float
    interval: Interval | None
    wins: int
    losses: int
    ties: int
    group: int
    regularised: bool


def votes_of_round(prompt: str, among: Sequence[str], winners: Collection[str]) -> list[Vote]:
    """Return the votes that a choice among several targets is.

    Each winner beat each other target, and winners tie; so do all where nobody won. Who lost
    was not compared with others who lost. A target that is there twice counts once.
    """
    targets = list(dict.fromkeys(among))
    votes = []
    for one, two in itertools.combinations(targets, 2):
        if (one in winners) != (two in winners):
            votes.append(Vote(prompt, one, two, float(one in winners)))
        elif one in winners or not winners:
            votes.append(Vote(prompt, one, two, 0.5))
    return votes


def decided_prompts(votes: Iterable[VoteData]) -> defaultdict[str, set[str]]:
    """Return on which prompts each target won or lost; votes on others say nothing of it."""
    decided: defaultdict[str, set[str]] = defaultdict(set)
    for prompt, first, second, score in votes:
        if score != _TIE:
            decided[first].add(prompt)
            decided[second].add(prompt)
    return decided


def win_probability(strength: float, other: float) -> float:
    """Return how likely a target of the first strength beats one of the second."""
    return 1 / (1 + math.exp(min(700.0, other - strength)))


def estimate_strengths(
    votes: Sequence[Vote],
    targets: Iterable[str] = (),
    *,
    confidence: float = CONFIDENCE,
    samples: int = BOOTSTRAP_SAMPLES,
    seed: int = 0,
) -> list[Strength]:
    """Estimate the strengths of all that was voted on, and of `targets`; by group, best first.

    The order of the votes changes nothing. Takes about a second for ten targets and a thousand
    prompts. Raises `ValueError` for a target against itself, or a score other than 0, 0.5 and 1.
    """
    for vote in votes:
        if vote.first == vote.second or vote.score not in (0, 0.5, 1):
            raise ValueError(f"no vote between two targets: {vote}")
    by_prompt: dict[str, list[Vote]] = defaultdict(list)
    for vote in votes:
        by_prompt[vote.prompt].append(vote)
    wins = _count(votes)
    # Sorted, as sums and resamples would otherwise depend on the order of the votes.
    blocks = [_count(by_prompt[prompt]) for prompt in sorted(by_prompt)]
    groups = _groups(wins, {*targets, *wins})
    fitted = [_Group(sorted(group), wins) for group in groups]
    drawn = _resampled(fitted, blocks, samples, seed) if votes else [{} for _ in fitted]
    tallies = _tally(votes)
    return [
        Strength(
            target,
            strength,
            interval_around(strength, found[target], confidence) if target in found else None,
            *tallies.get(target, (0, 0, 0)),
            group=number,
            regularised=group.regularised,
        )
        for number, (group, found) in enumerate(zip(fitted, drawn, strict=True))
        for target, strength in sorted(
            group.strengths.items(), key=lambda item: (-item[1], item[0])
        )
    ]


class _Group:
    """Targets that a chain of votes connects, with their strengths."""

    def __init__(self, targets: list[str], wins: Wins) -> None:
        self.targets = targets
        self._pairs = [
            (one, two) for one in targets for two in targets if one < two if two in wins[one]
        ]
        self.regularised = not _is_strong(targets, wins)
        self.strengths = self.fit(wins)

    def fit(self, wins: Wins, start: Mapping[str, float] | None = None) -> dict[str, float]:
        """Return strengths with the mean 0, from the wins of all votes or of a resample."""
        # Sorted, as sums of floats depend on their order.
        used: Wins = {one: dict(sorted(wins.get(one, {}).items())) for one in self.targets}
        if not _is_strong(self.targets, wins):
            for one, two in self._pairs:
                used[one][two] = used[one].get(two, 0) + 0.5
                used[two][one] = used[two].get(one, 0) + 0.5
        return _most_likely(self.targets, used, start)


def _resampled(
    groups: Sequence[_Group], blocks: Sequence[Wins], samples: int, seed: int
) -> list[dict[str, list[float]]]:
    """Return, for each group, the strengths of its targets in each resample of the prompts."""
    found: list[dict[str, list[float]]] = [
        {target: [] for target in group.targets} if len(group.targets) > 1 else {}
        for group in groups
    ]
    for drawn in resamples(blocks, samples, seed):
        wins = _sum(drawn)
        for group, lists in zip(groups, found, strict=True):
            if not lists:
                continue
            for target, strength in group.fit(wins, group.strengths).items():
                lists[target].append(strength)
    return found


def _most_likely(
    targets: Sequence[str], wins: Wins, start: Mapping[str, float] | None
) -> dict[str, float]:
    """Iterate to the most likely strengths: Newman, Journal of Machine Learning Research 24 (2023).

    It has the limit of Zermelo's and Hunter's iterations, and gets there many times faster.
    """
    lost: Wins = {target: {} for target in targets}
    for winner, others in wins.items():
        for loser, count in others.items():
            lost[loser][winner] = count
    worth = {target: math.exp(start[target]) if start else 1.0 for target in targets}
    for _ in range(_MAX_ITERATIONS):
        moved = 0.0
        for target in targets:
            own = worth[target]
            up = sum(n * worth[other] / (own + worth[other]) for other, n in wins[target].items())
            down = sum(n / (own + worth[other]) for other, n in lost[target].items())
            if up and down:
                worth[target] = up / down
                moved = max(moved, abs(math.log(worth[target] / own)))
        if moved < _TOLERANCE:
            break
    logs = {target: math.log(value) for target, value in worth.items()}
    mean = math.fsum(logs.values()) / len(logs)
    return {target: round(value - mean, _DECIMALS) for target, value in logs.items()}


def _count(votes: Iterable[Vote]) -> Wins:
    """Return the wins; who was compared stands on both sides, also with none."""
    wins: Wins = defaultdict(lambda: defaultdict(float))
    for vote in votes:
        wins[vote.first][vote.second] += vote.score
        wins[vote.second][vote.first] += 1 - vote.score
    return wins


def _sum(blocks: Iterable[Wins]) -> Wins:
    total: Wins = defaultdict(lambda: defaultdict(float))
    for block in blocks:
        for winner, others in block.items():
            row = total[winner]
            for loser, count in others.items():
                row[loser] += count
    return total


def _tally(votes: Iterable[Vote]) -> dict[str, tuple[int, int, int]]:
    """Return each target's wins, losses and ties."""
    tallies: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for vote in votes:
        for target, score in ((vote.first, vote.score), (vote.second, 1 - vote.score)):
            tallies[target][2 if score == 0.5 else int(1 - score)] += 1
    return {target: (wins, losses, ties) for target, (wins, losses, ties) in tallies.items()}


def _groups(wins: Wins, targets: Iterable[str]) -> list[set[str]]:
    """Return what chains of votes connect, the largest group first."""
    left, groups = set(targets), []
    while left:
        group = _reachable(min(left), {one: set(others) for one, others in wins.items()})
        groups.append(group)
        left -= group
    return sorted(groups, key=lambda group: (-len(group), min(group)))


def _is_strong(targets: Sequence[str], wins: Wins) -> bool:
    """Tell whether each target beat each other one through some chain, and was beaten so."""
    beaten = {one: {two for two, n in wins.get(one, {}).items() if n} for one in targets}
    beaten_by: dict[str, set[str]] = {one: set() for one in targets}
    for winner, losers in beaten.items():
        for loser in losers:
            beaten_by[loser].add(winner)
    return all(len(_reachable(targets[0], graph)) == len(targets) for graph in (beaten, beaten_by))


def _reachable(start: str, graph: Mapping[str, set[str]]) -> set[str]:
    found, left = {start}, [start]
    while left:
        new = graph.get(left.pop(), set()) - found
        found |= new
        left += new
    return found
