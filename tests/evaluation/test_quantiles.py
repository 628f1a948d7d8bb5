"""Quantiles of Student's t distribution: against published tables."""

from itertools import pairwise

import pytest

from server.evaluation.statistics.quantiles import quantile_of_normal, quantile_of_student

# Abramowitz and Stegun, Handbook of Mathematical Functions, table 26.10, of both sides.
TABLE = {
    1: {0.9: 6.314, 0.95: 12.706, 0.99: 63.657},
    2: {0.9: 2.920, 0.95: 4.303, 0.99: 9.925},
    3: {0.9: 2.353, 0.95: 3.182, 0.99: 5.841},
    4: {0.9: 2.132, 0.95: 2.776, 0.99: 4.604},
    5: {0.9: 2.015, 0.95: 2.571, 0.99: 4.032},
    9: {0.9: 1.833, 0.95: 2.262, 0.99: 3.250},
    10: {0.9: 1.812, 0.95: 2.228, 0.99: 3.169},
    29: {0.9: 1.699, 0.95: 2.045, 0.99: 2.756},
    60: {0.9: 1.671, 0.95: 2.000, 0.99: 2.660},
    120: {0.9: 1.658, 0.95: 1.980, 0.99: 2.617},
}


@pytest.mark.parametrize("freedom", TABLE)
def test_quantiles_are_those_of_the_table(freedom: int) -> None:
    found = {share: round(quantile_of_student(share, freedom), 3) for share in TABLE[freedom]}
    assert found == TABLE[freedom]


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_quantiles_fall_to_the_normal_ones_without_a_step(confidence: float) -> None:
    found = [quantile_of_student(confidence, freedom) for freedom in range(1, 300)]
    assert found == sorted(found, reverse=True)
    # Between the two formulas as between neighbours.
    steps = [one - other for one, other in pairwise(found[95:106])]
    assert max(steps) < 1.25 * min(steps)
    far = quantile_of_student(confidence, 10**9)
    assert far == pytest.approx(quantile_of_normal(confidence))


def test_what_has_no_quantile_is_refused() -> None:
    with pytest.raises(ValueError, match="no 0 degrees of freedom"):
        quantile_of_student(0.95, 0)
    with pytest.raises(ValueError, match="is no confidence"):
        quantile_of_student(1, 5)
