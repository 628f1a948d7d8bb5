"""How many replicas there are: more for a queue that stands, fewer one at a time."""

from typing import Any

import pytest

from server.models.lifecycle.scaling import Decision, Scaling


class Model:
    """A model with one to four replicas, each of which writes two answers at once."""

    def __init__(self) -> None:
        self.scaling = Scaling()
        self.count = 1

    def at(self, now: float, answers: int, **changes: Any) -> Decision:
        """Decide, and have as many replicas as that says."""
        facts: dict[str, Any] = {"least": 1, "most": 4, "capacity": 2, "count": self.count}
        facts |= {"grow_after": 5, "shrink_after": 100, **changes}
        decided = self.scaling.decide(answers=answers, now=now, **facts)
        self.count = decided.count
        return decided


def test_a_queue_that_stands_has_as_many_started_as_it_needs() -> None:
    model = Model()
    assert model.at(10, 6) == Decision(1, 5)
    assert model.at(12, 7) == Decision(1, 3)
    assert model.at(15, 7) == Decision(4)


def test_no_more_are_started_than_the_range_allows() -> None:
    model = Model()
    model.at(0.5, 1000)
    assert model.at(6, 1000) == Decision(4)
    assert model.at(7, 1000) == Decision(4)


def test_a_queue_that_is_gone_in_time_starts_nothing() -> None:
    model = Model()
    model.at(10, 3)
    assert model.at(14, 2) == Decision(1)
    assert model.at(20, 3) == Decision(1, 5)


def test_replicas_go_one_at_a_time_and_not_those_that_are_needed() -> None:
    model = Model()
    model.count = 4
    assert model.at(10, 3) == Decision(4, 100)
    assert model.at(110, 3) == Decision(3, 100)
    assert model.at(210, 3) == Decision(2)
    assert model.at(400, 3) == Decision(2)


def test_use_in_between_begins_the_wait_anew() -> None:
    model = Model()
    model.count = 2
    model.at(10, 1)
    assert model.at(60, 3) == Decision(2)
    assert model.at(120, 1) == Decision(2, 100)


@pytest.mark.parametrize(("count", "least", "most", "now_is"), [(1, 2, 4, 2), (5, 1, 3, 3)])
def test_a_changed_range_counts_at_once(count: int, least: int, most: int, now_is: int) -> None:
    model = Model()
    model.count = count
    assert model.at(10, 0, least=least, most=most) == Decision(now_is)


def test_without_a_known_capacity_nothing_changes() -> None:
    model = Model()
    model.count = 2
    for now in (10, 1000):
        assert model.at(now, 50, capacity=None) == Decision(2)
