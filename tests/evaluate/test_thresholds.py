"""Thresholds: read as they are written, and missed by what is not known."""

from typing import Any

import pytest

from server.evaluate.thresholds import METRICS, missed, read_threshold


def row(name: str, share: float | None = 0.8, **figures: Any) -> dict[str, Any]:
    """Return a row of results."""
    interval = {"low": 0.6, "high": 0.9}
    answers = None if share is None else {"share": share, "interval": interval}
    plain = {
        "answers": answers,
        "failures": {},
        "cut": 0,
        "first_token_warm": {"median": 120.0, "p95": 300.0},
        "tokens_per_second": None,
        "cost": None,
    }
    return {"name": name, "figures": {**plain, **figures}}


@pytest.mark.parametrize("text", ["pass>=0.9", "small:first_token_ms<=500", "a:b:failed==0"])
def test_a_threshold_is_read_as_it_is_written(text: str) -> None:
    assert str(read_threshold(text)) == text


@pytest.mark.parametrize("text", ["", "pass", "pass>=", "pass=>1", "pass>=much", "speed>=1", ">=1"])
def test_what_is_no_threshold_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"threshold|not known"):
        read_threshold(text)


def test_every_target_has_to_reach_it() -> None:
    rows = [row("a", 0.95), row("b", 0.8)]
    assert missed([read_threshold("pass>=0.9")], rows) == ["pass>=0.9: b has 0.8"]
    assert missed([read_threshold("a:pass>=0.9")], rows) == []
    assert missed([read_threshold("pass_low>0.5"), read_threshold("failed==0")], rows) == []


@pytest.mark.parametrize("text", ["pass>=2", "pass>=90", "pass_low>1.01", "m:pass<=-1"])
def test_a_share_that_none_can_be_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="share from 0 to 1"):
        read_threshold(text)
    assert read_threshold(text.replace("pass_low", "cut").replace("pass", "cut")).metric == "cut"


def test_what_is_not_known_misses_it() -> None:
    assert missed([read_threshold("pass>=0")], [row("a", None)]) == ["pass>=0: a has no pass"]
    assert missed([read_threshold("c:pass>=0")], [row("a")]) == [
        "c:pass>=0: there is no target 'c'"
    ]


def test_every_metric_is_read_from_a_row() -> None:
    figures = row("a", failures={"engine_error": 2}, tokens_per_second=20.0, cost=0.5)["figures"]
    assert {name: of(figures) for name, of in METRICS.items()} == {
        "pass": 0.8,
        "pass_low": 0.6,
        "failed": 2.0,
        "cut": 0.0,
        "first_token_ms": 120.0,
        "first_token_p95_ms": 300.0,
        "tokens_per_second": 20.0,
        "cost": 0.5,
    }
