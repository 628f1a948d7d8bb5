"""The results table of a terminal."""

from typing import Any

from server.evaluate.showing import table
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
