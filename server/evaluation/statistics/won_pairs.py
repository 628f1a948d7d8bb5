"""How many of the pairs of answers that a target is in it won: by votes, or by a judge's verdicts.

Unlike strengths, this says nothing of who the others were: it is the plain count. A tie is half a
win. Pairs on one prompt depend on each other, so the interval is by prompt.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from server.evaluation.statistics.intervals import CONFIDENCE, Interval, share_by_prompt
from server.evaluation.statistics.paired import FEWEST_DIFFERENT
from server.evaluation.statistics.strengths import Vote, decided_prompts

_TIE: Final = 0.5


@dataclass(frozen=True)
class WonPairs:
    """Hold how many pairs a target won, lost and tied, and which share of them it won.

    A tie is half a win. `prompts` are those on which it won or lost; with fewer than six of them
    `share` and `interval`, which is Wilson's by prompt at 95 %, are None: nothing can be told.
    `inconsistent` of the ties are pairs about which a judge contradicted itself.
    """

    wins: int = 0
    losses: int = 0
    ties: int = 0
    prompts: int = 0
    share: float | None = None
    interval: Interval | None = None
    inconsistent: int = 0


def won_pairs(
    votes: Sequence[Vote],
    inconsistent: Mapping[str, int] | None = None,
    *,
    confidence: float = CONFIDENCE,
) -> dict[str, WonPairs]:
    """Return what each target that was voted on won; the order of the votes changes nothing.

    `inconsistent` has how many of a target's ties are contradictions.
    """
    outcomes: dict[str, Counter[float]] = defaultdict(Counter)
    # For each target and prompt how many pairs were won, and of how many.
    by_prompt: dict[str, dict[str, tuple[float, int]]] = defaultdict(dict)
    for vote in votes:
        for target, score in ((vote.first, vote.score), (vote.second, 1 - vote.score)):
            outcomes[target][score] += 1
            won, pairs = by_prompt[target].get(vote.prompt, (0.0, 0))
            by_prompt[target][vote.prompt] = won + score, pairs + 1
    decided = decided_prompts((one.prompt, one.first, one.second, one.score) for one in votes)
    found = {}
    for target, counts in outcomes.items():
        share, interval = share_by_prompt(
            [by_prompt[target][prompt] for prompt in sorted(by_prompt[target])], confidence
        )
        is_enough = len(decided[target]) >= FEWEST_DIFFERENT
        found[target] = WonPairs(
            wins=counts[1],
            losses=counts[0],
            ties=counts[_TIE],
            prompts=len(decided[target]),
            share=share if is_enough else None,
            interval=interval if is_enough else None,
            inconsistent=(inconsistent or {}).get(target, 0),
        )
    return found
