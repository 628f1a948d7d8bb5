"""What a judge's judgements come to: what contradicts itself, and what cannot be read."""

from server.evaluation.judging import Position
from server.runs.judge_results import JudgementRow, judge_results
from server.runs.judge_shapes import Judge

NAMES = ["a", "b"]
JUDGE = Judge(
    "m", "Is it right?", "pairs", id="j", created=0.0, state="done", judged=0, unreadable=0
)


def both(prompt: int, better: Position | None, swapped: Position | None) -> list[JudgementRow]:
    """Return how the pair was judged in both orders."""
    return [
        JudgementRow(prompt, 0, 0, 1, None, better, 0.25),
        JudgementRow(prompt, 0, 1, 0, None, swapped, None),
    ]


def test_unreadable_and_inconsistent_verdicts_are_counted_apart() -> None:
    rows = [
        *both(0, "first", "second"),
        *both(1, "first", "second"),
        *both(2, "second", "first"),
        *both(3, "first", "first"),
        *both(4, None, "first"),
    ]
    results = judge_results(NAMES, JUDGE, rows)
    best, other = results.ranking
    assert (best.target, best.wins, best.losses, best.ties) == (0, 2, 1, 1)
    assert (other.target, other.wins, other.losses, other.ties) == (1, 1, 2, 1)
    assert results.inconsistent == 1
    assert results.cost == 1.25


def test_a_pair_that_was_judged_in_one_order_says_nothing() -> None:
    (one, _), (two, _) = both(0, "first", "second"), both(1, "second", "second")
    results = judge_results(NAMES, JUDGE, [one, two])
    assert (results.ranking, results.inconsistent) == ([], 0)
