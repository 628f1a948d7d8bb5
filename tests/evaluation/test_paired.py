"""Two targets on the same prompts: against published figures, symmetry, and the words."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.evaluation.statistics.paired import (
    compare_paired,
    holm,
    in_words,
    newcombe_paired,
    sign_test,
)

COUNT = st.integers(0, 60)
SCORES = st.dictionaries(st.sampled_from("abcdefghijkl"), st.sampled_from([0, 0.25, 0.5, 1.0]))


@pytest.mark.parametrize(
    ("first_only", "second_only", "p_value"),
    [
        # Two media for tubercle bacilli: Armitage and Berry, Statistical Methods in Medical
        # Research (1994), page 127, as computed exactly by StatsDirect.
        (12, 2, 0.0129),
        # Airway reactivity: Fagerland, Lydersen and Laake, BMC Medical Research Methodology 13
        # (2013), 91, table 2; the exact conditional test.
        (1, 7, 0.0703),
        (0, 0, 1.0),
        (0, 6, 0.03125),
    ],
)
def test_the_sign_test_gives_published_p_values(
    first_only: int, second_only: int, p_value: float
) -> None:
    assert sign_test(first_only, second_only) == pytest.approx(p_value, abs=5e-5)


def test_newcombes_interval_gives_the_published_one() -> None:
    """Complete response before and after therapy (Cavo et al. 2012), the square-and-add interval.

    Fagerland, Lydersen and Laake, Statistical Analysis of Contingency Tables (2017), chapter 8.
    """
    interval = newcombe_paired(59, 6, 16, 80)
    assert (round(interval.low, 4), round(interval.high, 4)) == (-0.1186, -0.0046)


@given(COUNT, COUNT, COUNT, COUNT)
def test_newcombes_interval_is_mirrored_and_contains_the_difference(
    both: int, first_only: int, second_only: int, neither: int
) -> None:
    one = newcombe_paired(both, first_only, second_only, neither)
    other = newcombe_paired(both, second_only, first_only, neither)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))
    # Passed and failed may be told the other way round, too.
    opposite = newcombe_paired(neither, first_only, second_only, both)
    assert (one.low, one.high) == pytest.approx((opposite.low, opposite.high))
    total = both + first_only + second_only + neither
    if total:
        assert -1 <= one.low <= (first_only - second_only) / total + 1e-12
        assert (first_only - second_only) / total - 1e-12 <= one.high <= 1


@given(st.integers(0, 300), st.integers(0, 300))
def test_the_sign_test_is_symmetric_and_a_probability(one: int, two: int) -> None:
    assert 0 < sign_test(one, two) == sign_test(two, one) <= 1


@settings(max_examples=40)
@given(SCORES, SCORES, st.randoms(use_true_random=False))
def test_a_comparison_depends_on_no_order_and_mirrors(
    first: dict[str, float], second: dict[str, float], order: random.Random
) -> None:
    one = compare_paired(first, second)
    shuffled = list(first.items())
    order.shuffle(shuffled)
    assert compare_paired(dict(shuffled), second) == one
    other = compare_paired(second, first)
    assert (one.better, one.worse, one.p_value) == (other.worse, other.better, other.p_value)
    assert one.difference == pytest.approx(-other.difference)
    assert one.interval.low <= one.difference <= one.interval.high
    assert one.better_interval.low <= one.better <= one.better_interval.high


def scores(better: int, worse: int, equal: int) -> tuple[dict[str, float], dict[str, float]]:
    wins = [1.0] * better + [0.0] * worse + [1.0] * equal
    losses = [0.0] * better + [1.0] * worse + [1.0] * equal
    return {str(n): s for n, s in enumerate(wins)}, {str(n): s for n, s in enumerate(losses)}


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        (
            (31, 5, 4),
            "A is better than B. A is better in 31 of 40 prompts, worse in 5, equal in 4"
            " (95 % interval 24 to 36).",
        ),
        (
            (5, 31, 4),
            "B is better than A. A is better in 5 of 40 prompts, worse in 31, equal in 4"
            " (95 % interval 2 to 11).",
        ),
        (
            (12, 9, 19),
            "No difference that is more than noise."
            " A is better in 12 of 40 prompts, worse in 9, equal in 19.",
        ),
        (
            (5, 0, 10),
            "No difference that is more than noise (5 prompts that differ are too few to tell)."
            " A is better in 5 of 15 prompts, worse in 0, equal in 10.",
        ),
        (
            (0, 1, 3),
            "No difference that is more than noise (1 prompt that differs is too few to tell)."
            " A is better in 0 of 4 prompts, worse in 1, equal in 3.",
        ),
        ((0, 0, 15), "No prompt differs: A and B are equal in all 15 prompts."),
        ((0, 0, 1), "No prompt differs: A and B are equal in the one prompt."),
        ((0, 0, 0), "A and B have no prompt in common."),
    ],
)
def test_a_comparison_is_said_in_words(counts: tuple[int, int, int], words: str) -> None:
    comparison = compare_paired(*scores(*counts))
    assert comparison.method == "newcombe"
    assert in_words(comparison, "A", "B") == words


def test_shares_of_repeats_are_compared_by_a_bootstrap_over_prompts() -> None:
    first = {str(n): 0.8 for n in range(20)}
    second = {str(n): 0.6 if n % 2 else 0.4 for n in range(20)}
    comparison = compare_paired(first, second)
    assert comparison.method == "bootstrap"
    assert 0.2 <= comparison.interval.low < 0.3 < comparison.interval.high <= 0.4
    assert not comparison.is_noise


def test_prompts_that_one_target_lacks_are_left_out() -> None:
    assert compare_paired({"a": 1, "b": 1}, {"b": 0, "c": 1}).prompts == 1


def test_a_score_beyond_1_is_refused() -> None:
    with pytest.raises(ValueError, match="beyond 0 and 1"):
        compare_paired({"a": 2}, {"a": 1})


def test_holm_adjusts_several_comparisons() -> None:
    """Worked by hand: the smallest times 4, then times 3, and none below the one before."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
