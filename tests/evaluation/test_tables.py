"""The rows of the results table, and scores to compare targets by."""

import random
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core.protocol import Cost, Timings, Usage
from server.evaluation.checks.result import CheckResult
from server.evaluation.judging import Grade
from server.evaluation.statistics.intervals import share_by_prompt, wilson
from server.evaluation.tables import Record, ResultsRow, Tally, summarise_grades

YES, NO, UNKNOWN = (CheckResult(passed, "") for passed in (True, False, None))


def record(prompt: str = "p", *checks: CheckResult, **fields: Any) -> Record:
    known: dict[str, Any] = {"target": "a", "repeat": 1, "checks_due": len(checks), **fields}
    return Record(prompt=prompt, checks=checks, **known)


def failed(prompt: str, cause: str | None, due: int = 1) -> Record:
    return record(prompt, finish_reason="failed", cause=cause, checks_due=due)


def timings(ttft: float | None, **fields: Any) -> Timings:
    known: dict[str, Any] = {"queued_ms": 0, "total_ms": 1, "tokens_per_second": None, **fields}
    return Timings(ttft_ms=ttft, **known)


def tally(records: Iterable[Record]) -> Tally:
    tally = Tally()
    for one in records:
        tally.add(one)
    return tally


def row_of(records: Iterable[Record]) -> ResultsRow:
    return tally(records).row("a")


def test_answers_and_checks_that_passed_are_counted_with_intervals() -> None:
    row = row_of([record("p", YES, NO), record("q", YES, YES), record("r", YES, YES)])
    assert row.answers is not None
    assert row.checks is not None
    assert (row.count, row.answered) == (3, 3)
    assert (row.answers.passed, row.answers.total) == (2, 3)
    assert row.answers.interval.low == pytest.approx(wilson(2, 3).low)
    assert (row.checks.passed, row.checks.total) == (5, 6)
    assert row.checks.interval == share_by_prompt([(1, 2), (2, 2), (2, 2)])[1]


def test_an_answer_that_failed_passes_nothing() -> None:
    row = row_of([record("p", YES, YES), failed("q", "engine_error", 2)])
    assert row.answers is not None
    assert row.checks is not None
    assert (row.answers.passed, row.answers.total) == (1, 2)
    assert (row.checks.passed, row.checks.total) == (2, 4)


def test_what_cannot_be_told_counts_neither_way() -> None:
    stopped = record("q", checks_due=1, finish_reason="cancelled")
    row = row_of([record("p", YES, UNKNOWN), stopped, record("r", NO, UNKNOWN)])
    assert row.answers is not None
    assert row.checks is not None
    assert (row.answers.passed, row.answers.total) == (0, 1)
    assert (row.checks.passed, row.checks.total) == (1, 2)


def test_without_checks_nothing_passed_or_failed() -> None:
    row = row_of([record(), failed("q", None, 0)])
    assert (row.answers, row.checks) == (None, None)
    assert row.failures == {"unknown": 1}


def test_failures_are_counted_by_cause_the_most_frequent_first() -> None:
    records = [failed("p", cause) for cause in ("queue_full", "engine_error", "engine_error")]
    row = row_of([*records, record(finish_reason="length")])
    assert list(row.failures.items()) == [("engine_error", 2), ("queue_full", 1)]
    assert (row.count, row.answered, row.cut) == (4, 1, 1)


def test_first_tokens_of_cold_starts_are_told_apart() -> None:
    cold = [timings(9000, starting_ms=8000), timings(5000, load_ms=4000)]
    warm = [timings(float(ms)) for ms in range(100, 201)]
    records = [record(str(n), timings=one) for n, one in enumerate([*cold, *warm, timings(None)])]
    row = row_of([*records, record()])
    assert (row.first_token_cold.count, row.first_token_cold.median) == (2, 7000)
    assert (row.first_token_warm.count, row.first_token_warm.median) == (101, 150)
    assert row.first_token_warm.p95 == 195


def test_tokens_speed_and_cost_are_summed_up() -> None:
    records = [
        record(
            "p",
            timings=timings(1, tokens_per_second=40.0),
            usage=Usage(10, 20, reasoning_tokens=8),
            cost=Cost(0.1, estimated=True),
        ),
        record("q", timings=timings(1, tokens_per_second=60.0), usage=Usage(None, 5, True)),
        failed("r", "engine_error"),
    ]
    row = row_of(records)
    assert (row.prompt_tokens, row.completion_tokens, row.tokens_are_estimated) == (10, 25, True)
    assert row.reasoning_tokens == 8
    assert row.tokens_per_second == 50
    assert (row.cost, row.cost_is_estimated, row.cost_is_partial) == (0.1, True, True)


def test_what_was_not_told_is_no_zero() -> None:
    none, one = tally([]).row("b"), row_of([record()])
    assert (none.target, none.count, one.target, one.count) == ("b", 0, "a", 1)
    for row in (none, one):
        assert row.prompt_tokens is row.completion_tokens is row.cost is None
        assert row.reasoning_tokens is None
        assert row.tokens_per_second is row.first_token_warm.median is None


def test_a_score_is_the_share_of_repeats_that_passed() -> None:
    records = [record("p", YES), record("p", NO, repeat=2), failed("q", None), record("r", UNKNOWN)]
    assert tally(records).scores == {"p": 0.5, "q": 0.0}
    assert tally([]).scores == {}


def test_grades_are_summed_up_and_unreadable_replies_counted_apart() -> None:
    given = [("p", 5), ("p", 5), ("q", 2), ("q", None), ("r", 4)]
    summary = summarise_grades((prompt, Grade(value, "")) for prompt, value in given)
    assert (summary.mean, summary.graded, summary.unreadable) == (4.0, 4, 1)
    assert summary.counts == {2: 1, 4: 1, 5: 2}
    assert summary.interval is None  # of so few prompts
    turned = summarise_grades((prompt, Grade(value, "")) for prompt, value in given[::-1])
    assert turned == summary


def test_grades_of_six_prompts_have_an_interval_that_depends_on_no_order() -> None:
    given = [(str(number), Grade(value, "")) for number, value in enumerate([5, 2, 4, 5, 3, 5])]
    summary = summarise_grades(given)
    assert summary.interval is not None
    assert 2 <= summary.interval.low < 4 < summary.interval.high <= 5
    assert summarise_grades(given[::-1]) == summary


def test_a_judge_that_was_never_understood_gave_no_mean() -> None:
    summary = summarise_grades([("p", Grade(None, "why"))])
    assert (summary.mean, summary.interval, summary.graded, summary.unreadable) == (
        None,
        None,
        0,
        1,
    )


@given(
    st.lists(
        st.builds(
            lambda prompt, check, ms, cost: record(
                prompt, check, timings=timings(ms), cost=Cost(cost)
            ),
            st.sampled_from("pqr"),
            st.sampled_from([YES, NO, UNKNOWN]),
            st.floats(0, 1e6),
            st.floats(0, 10),
        )
    ),
    st.randoms(use_true_random=False),
)
def test_sums_depend_on_no_order(records: list[Record], order: random.Random) -> None:
    row, scores = row_of(records), tally(records).scores
    order.shuffle(records)
    assert row_of(records) == row
    assert tally(records).scores == scores
