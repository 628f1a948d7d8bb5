"""The results table of a terminal."""

from typing import Any

import pytest

from server.evaluate.showing import Bar, judge_lines, table, untold_lines, won_words
from tests.evaluate.test_thresholds import row

NONE = {"median": None, "p95": None}


def shown(**figures: Any) -> str:
    """Return the row of a target with these figures."""
    common = {"completion_tokens": 5, "first_token_cold": NONE}
    target = row("small", None, **{**common, **figures}) | {"seconds": 12.5}
    results = {"targets": [target], "comparisons": []}
    return table(results).splitlines()[2]


def test_first_tokens_are_of_warm_answers() -> None:
    assert " 120 ms  " in shown(first_token_cold={"median": 5_000.0, "p95": 6_000.0})


def test_first_tokens_of_cold_answers_are_marked_where_there_are_no_others() -> None:
    cold = {"median": 5_000.0, "p95": 6_000.0}
    assert " 5000 ms cold  " in shown(first_token_warm=NONE, first_token_cold=cold)
    assert "  -  " in shown(first_token_warm=NONE)


def test_the_time_is_told() -> None:
    assert shown().endswith("  12.5 s")


def pairs(wins: int, losses: int, ties: int, **more: Any) -> dict[str, Any]:
    """Return the pairs that a target was in, too few of them unless told otherwise."""
    plain = {"share": None, "interval": None, "inconsistent": 0}
    return {"wins": wins, "losses": losses, "ties": ties, **plain, **more}


@pytest.mark.parametrize(
    ("won", "words"),
    [
        (None, "-"),
        (pairs(0, 0, 0), "-"),
        (pairs(2, 1, 1), "2.5 of 4 pairs, too few winners"),
        (pairs(0, 1, 0), "0 of 1 pair, too few winners"),
        (
            pairs(12, 7, 1, share=0.625, interval={"low": 0.402, "high": 0.803}),
            "62 % (40 to 80 %)",
        ),
        (pairs(0, 0, 2, inconsistent=2), "1 of 2 pairs, too few winners; contradicted itself in 2"),
    ],
)
def test_a_share_of_pairs_has_its_interval_and_too_few_have_none(
    won: dict[str, Any] | None, words: str
) -> None:
    assert won_words(won) == words


def test_votes_and_each_judge_have_columns_of_their_own_only_where_there_are_any() -> None:
    plain = row("small", None, completion_tokens=5, first_token_cold=NONE) | {"seconds": 1.0}
    without = plain | {"votes": None, "judges": []}
    assert table({"targets": [without], "comparisons": []}).splitlines()[0] == (
        "target  passed  95 % interval  first token  tokens/s  tokens  cut  failed  cost  time"
    )
    grades = {"mean": 3.8, "interval": {"low": 3.5, "high": 4.1}}
    said = [
        {"name": "j", "highest_grade": 5, "grades": grades, "pairs": None},
        {"name": "j (2)", "highest_grade": 5, "grades": None, "pairs": pairs(1, 0, 0)},
        {"name": "k", "highest_grade": 5, "grades": {**grades, "mean": None}, "pairs": None},
    ]
    both = plain | {"votes": pairs(3, 1, 0), "judges": said}
    head, _, line = table({"targets": [both], "comparisons": []}).splitlines()
    for column, words in (
        ("votes won", "3 of 4 pairs, too few winners"),
        ("judge j ", "3.80 of 5 (3.50 to 4.10)"),
        ("judge j (2)", "1 of 1 pair, too few winners"),
        ("judge k", "-"),
    ):
        assert line[head.index(column) :].startswith(words)


def test_what_a_judge_says_of_pairs_is_told_as_everywhere() -> None:
    counts = {"wins": 3, "losses": 1, "ties": 2}
    interval = [0.513, 0.74]
    ranked = {"target": 0, "expected_wins": 0.62, "expected_wins_interval": interval, **counts}
    too_few = ranked | {"target": 1, "expected_wins_interval": None}
    judge = {"model": "j", "judged": 12, "unreadable": 0, "grades": 5, "error": None}
    found = {"judge": judge, "inconsistent": 1, "grades": [], "ranking": [ranked, too_few]}
    assert judge_lines(found, [{"name": "small"}, {"name": "large"}])[1:] == [
        "judge j: 12 judgements, 1 pair contradicted, as ties",
        "- small: expected wins 62 % (51 to 74 %), 3 won, 1 lost, 2 tied",
        "- large: 3 won, 1 lost, 2 tied",
    ]


def test_checks_that_could_not_be_told_are_counted_with_one_reason() -> None:
    told = {"untold_checks": 0, "untold_reason": ""}
    untold = {"untold_checks": 2, "untold_reason": "Cannot be told: no program"}
    # A gateway of an earlier version says nothing of it.
    assert untold_lines({"targets": [told, {}]}) == []
    assert untold_lines({"targets": [told, untold, untold]}) == [
        "",
        "4 checks could not be told; the first: Cannot be told: no program",
    ]


def test_the_progress_of_a_judge_names_it(capsys: pytest.CaptureFixture[str]) -> None:
    bar = Bar()
    for judged in (8, 9, 60):
        bar.show_judge({"model": "m", "judged": judged, "total": 60})
    bar.say("the gateway is away, waiting…")
    bar.show_judge({"model": "m", "judged": 60, "total": 60})
    assert capsys.readouterr().err.splitlines() == [
        "judge m: 8 of 60",
        "judge m: 60 of 60",
        "the gateway is away, waiting…",
        "judge m: 60 of 60",
    ]
