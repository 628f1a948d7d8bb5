"""Shares and percentiles: against published figures, and what holds for all."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.evaluation.statistics.intervals import (
    bootstrap,
    median,
    percentile,
    share_by_prompt,
    wilson,
)

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30)
COUNTS = st.lists(
    st.integers(1, 8).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))),
    min_size=1,
    max_size=30,
)


@pytest.mark.parametrize(
    ("passed", "total", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17 (1998), 857-872, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_newcombes_figures(passed: int, total: int, low: float, high: float) -> None:
    found = wilson(passed, total)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


@given(st.integers(0, 500), st.integers(0, 500), st.floats(0.01, 0.99))
def test_a_share_and_its_opposite_have_mirrored_intervals(
    passed: int, failed: int, confidence: float
) -> None:
    one, other = (wilson(n, passed + failed, confidence) for n in (passed, failed))
    assert one.low == pytest.approx(1 - other.high)
    assert one.high == pytest.approx(1 - other.low)
    if passed + failed:
        assert 0 <= one.low <= passed / (passed + failed) <= one.high <= 1


@pytest.mark.parametrize(("passed", "total"), [(-1, 3), (4, 3)])
def test_what_is_no_share_is_refused(passed: int, total: int) -> None:
    with pytest.raises(ValueError, match="is no share"):
        wilson(passed, total)


@pytest.mark.parametrize("confidence", [0, 1, 95])
def test_what_is_no_confidence_is_refused(confidence: float) -> None:
    with pytest.raises(ValueError, match="is no confidence"):
        wilson(1, 2, confidence)


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_one_answer_a_prompt_gives_wilsons_interval(passed: list[bool]) -> None:
    share, interval = share_by_prompt([(int(one), 1) for one in passed])
    expected = wilson(sum(passed), len(passed))
    assert share == pytest.approx(sum(passed) / len(passed))
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))


def test_repeats_that_always_agree_are_worth_one_answer_each() -> None:
    _, interval = share_by_prompt([(5, 5), (0, 5), (5, 5), (5, 5)])
    expected = wilson(3, 4)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))


def test_repeats_that_are_independent_of_the_prompt_are_worth_all_answers() -> None:
    """Less what ten prompts leave unsure: t at 95 % is 2.0227 of 39 degrees, 2.2622 of 9."""
    _, interval = share_by_prompt([(2, 4)] * 10)
    worth = 40 * (2.0227 / 2.2622) ** 2
    expected = wilson(worth / 2, worth)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-4)
    _, of_many = share_by_prompt([(2, 4)] * 1000)
    of_all = wilson(2000, 4000)
    assert (of_many.low, of_many.high) == pytest.approx((of_all.low, of_all.high), abs=1e-4)


@pytest.mark.parametrize("answers", [2, 10, 30])
def test_an_interval_of_six_prompts_holds_the_share_as_often_as_it_says(answers: int) -> None:
    """Prompts differ by a beta distribution; 19 in 20 intervals hold its mean, 0.5."""
    chance, held, samples = random.Random(answers), 0, 1500
    for _ in range(samples):
        odds = [chance.betavariate(2, 2) for _ in range(6)]
        passed = [sum(chance.random() < one for _ in range(answers)) for one in odds]
        _, interval = share_by_prompt([(one, answers) for one in passed])
        held += interval.low <= 0.5 <= interval.high
    # Without the t quantiles it is 0.92 of ten answers a prompt, and 0.89 of thirty.
    assert 0.94 <= held / samples <= 0.98


def test_all_passed_is_worth_one_answer_a_prompt() -> None:
    """Nothing differs, so that nothing says how much repeats resemble each other."""
    share, interval = share_by_prompt([(10, 10)] * 3)
    assert share == 1
    assert interval.low == pytest.approx(wilson(3, 3).low)
    assert share_by_prompt([]) == (0.0, wilson(0, 0))


@given(COUNTS, st.randoms(use_true_random=False))
def test_an_interval_by_prompt_contains_the_share_in_any_order(
    counts: list[tuple[int, int]], order: random.Random
) -> None:
    share, interval = share_by_prompt(counts)
    assert 0 <= interval.low <= share + 1e-12
    assert share - 1e-12 <= interval.high <= 1
    order.shuffle(counts)
    other, other_interval = share_by_prompt(counts)
    assert (share, interval.low, interval.high) == pytest.approx(
        (other, other_interval.low, other_interval.high)
    )


@pytest.mark.parametrize(
    ("percent", "expected"),
    # Definition 7 on 1, 2, 3, 4: rank 1 + 3p, as numpy.percentile and Excel's PERCENTILE.INC do.
    [(0, 1), (25, 1.75), (50, 2.5), (75, 3.25), (95, 3.85), (100, 4)],
)
def test_percentiles_are_of_definition_7(percent: float, expected: float) -> None:
    assert percentile([4, 2, 1, 3], percent) == pytest.approx(expected)


@given(VALUES, st.floats(0, 100), st.floats(0, 100))
def test_percentiles_rise_within_the_values(values: list[float], one: float, two: float) -> None:
    low, high = (percentile(values, percent) for percent in sorted((one, two)))
    assert low is not None
    assert high is not None
    assert min(values) <= low <= high <= max(values)


def test_no_values_have_no_percentile() -> None:
    assert percentile([], 95) is None
    assert median([]) is None
    assert median([3, 1]) == 2
    with pytest.raises(ValueError, match="no percentage"):
        percentile([1], 101)


@settings(max_examples=30)
@given(VALUES, st.integers(0, 9))
def test_a_bootstrap_interval_contains_the_estimate_and_repeats(
    values: list[float], seed: int
) -> None:
    def mean(drawn: object) -> float:
        assert isinstance(drawn, list)
        return float(sum(drawn) / len(drawn))

    interval = bootstrap(values, mean, samples=50, seed=seed)
    assert interval.low <= mean(values) <= interval.high
    assert interval == bootstrap(values, mean, samples=50, seed=seed)


def test_a_bootstrap_needs_something_to_draw_from() -> None:
    with pytest.raises(ValueError, match="nothing to draw from"):
        bootstrap([], len)
