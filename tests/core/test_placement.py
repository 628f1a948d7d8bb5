"""Who may run, who gives way, which replica is asked, and how long a crash is waited for."""

import random
from collections import deque
from heapq import heappop, heappush

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core.placement import (
    Capacity,
    Occupant,
    ReplicaLoad,
    pause_before_restart,
    whom_to_ask,
    whom_to_evict,
)


def occupant(
    name: str, *, memory: int = 1, idle_since: float | None = 0.0, pinned: bool = False
) -> Occupant:
    return Occupant(name, memory, idle_since, pinned)


def test_no_model_is_evicted_while_there_is_room() -> None:
    assert whom_to_evict([occupant("a")], 1, Capacity(max_running=2)) == []


def test_no_limit_lets_everybody_in() -> None:
    assert whom_to_evict([occupant(str(n)) for n in range(50)], 10**12, Capacity()) == []


def test_the_longest_idle_goes_first_and_no_more_than_needed() -> None:
    inside = [occupant("late", idle_since=9.0), occupant("early", idle_since=3.0)]
    assert whom_to_evict(inside, 1, Capacity(max_running=2)) == ["early"]


def test_busy_and_pinned_ones_stay_and_the_start_waits() -> None:
    inside = [occupant("busy", idle_since=None), occupant("pinned", pinned=True)]
    assert whom_to_evict(inside, 1, Capacity(max_running=2)) is None


def test_memory_counts_beside_numbers() -> None:
    inside = [occupant("small", memory=2, idle_since=1.0), occupant("large", memory=8)]
    capacity = Capacity(max_running=5, memory_bytes=12)
    assert whom_to_evict(inside, 10, capacity) == ["large"]
    assert whom_to_evict(inside, 4, capacity) == ["large"]
    assert whom_to_evict(inside, 13, capacity) is None


@given(
    st.lists(
        st.builds(
            Occupant,
            id=st.uuids().map(str),
            memory_bytes=st.integers(0, 20),
            idle_since=st.none() | st.floats(0, 100),
            is_pinned=st.booleans(),
        ),
        max_size=8,
    ),
    st.integers(0, 20),
    st.builds(Capacity, max_running=st.integers(0, 5), memory_bytes=st.integers(0, 40)),
)
def test_only_idle_models_are_evicted_and_as_many_as_make_room(
    inside: list[Occupant], needed: int, capacity: Capacity
) -> None:
    victims = whom_to_evict(inside, needed, capacity)
    gone = {o.id: o for o in inside if o.id in (victims or [])}
    assert all(o.idle_since is not None and not o.is_pinned for o in gone.values())
    if victims is None:
        gone = {o.id: o for o in inside if o.idle_since is not None and not o.is_pinned}
    staying = [o for o in inside if o.id not in gone]
    fits = (not capacity.max_running or len(staying) < capacity.max_running) and (
        not capacity.memory_bytes
        or sum(o.memory_bytes for o in staying) + needed <= capacity.memory_bytes
    )
    assert fits is (victims is not None)


def test_the_first_restart_is_at_once_and_the_later_ones_ever_later() -> None:
    pauses = [pause_before_restart(n) for n in range(1, 10)]
    assert pauses == [0, 10, 20, 40, 80, 160, 300, 300, 300]
    assert pause_before_restart(10_000) == 300


def load(
    number: int, answers: int = 0, *, capacity: int | None = 8, last_asked: int = 0
) -> ReplicaLoad:
    """Return one replica of several."""
    return ReplicaLoad(number, answers, capacity, last_asked)


def test_the_replica_with_the_fewest_answers_for_its_capacity_is_asked() -> None:
    assert whom_to_ask([load(1, 3), load(2, 2), load(3, 4)]) == 2
    assert whom_to_ask([load(1, 3, capacity=4), load(2, 4, capacity=16)]) == 2
    # Where one does not tell its capacity, the counts alone are compared.
    assert whom_to_ask([load(1, 3, capacity=None), load(2, 4, capacity=16)]) == 1


def test_of_equals_the_one_that_was_asked_the_longest_ago_is_asked() -> None:
    assert whom_to_ask([load(1, last_asked=7), load(2, last_asked=5), load(3, last_asked=6)]) == 2
    assert whom_to_ask([load(2), load(1)]) == 1


@pytest.mark.parametrize(
    ("answers", "bound", "asked"), [(2, 2, 1), (3, 2, 2), (8, 9, 2), (0, 0, 1), (1, 0, 2)]
)
def test_the_preferred_replica_is_asked_unless_it_is_busier_by_the_bound_or_full(
    answers: int, bound: int, asked: int
) -> None:
    loads = [load(1, answers, last_asked=9), load(2, 0)]
    assert whom_to_ask(loads, preferred=1, bound=bound) == asked
    assert whom_to_ask(loads, preferred=5, bound=bound) == 2


class Replicas:
    """Replicas that answer in virtual time, with one queue before them."""

    def __init__(self, *speeds: float, capacity: int = 8) -> None:
        self.speeds = dict(enumerate(speeds, 1))
        self.capacity = capacity
        self.answers = dict.fromkeys(self.speeds, 0)
        self.last = dict.fromkeys(self.speeds, 0)
        self.done = dict.fromkeys(self.speeds, 0)

    def run(self, arrivals: list[float], lengths: list[float]) -> list[float]:
        """Return how long each answer waited for its turn."""
        ends: list[tuple[float, int]] = []
        waits: list[float] = []
        queue = deque(zip(arrivals, lengths, strict=True))
        now = 0.0
        while queue:
            arrival, length = queue[0]
            now = max(now, arrival)
            while ends and (ends[0][0] <= now or self._is_full()):
                now = max(now, ends[0][0])
                self.answers[heappop(ends)[1]] -= 1
            queue.popleft()
            number = whom_to_ask(
                [load(n, self.answers[n], last_asked=self.last[n]) for n in self.speeds]
            )
            self.answers[number] += 1
            self.last[number] = len(waits) + 1
            self.done[number] += 1
            waits.append(now - arrival)
            heappush(ends, (now + length / self.speeds[number], number))
        return waits

    def _is_full(self) -> bool:
        return sum(self.answers.values()) >= self.capacity * len(self.speeds)


def arrivals_of(load_share: float, count: int, capacity: float) -> tuple[list[float], list[float]]:
    """Return when answers are asked for, and their lengths around 1, for that load."""
    chance = random.Random(7)
    now, arrivals, lengths = 0.0, [], []
    for _ in range(count):
        now += chance.expovariate(load_share * capacity)
        arrivals.append(now)
        lengths.append(chance.lognormvariate(-0.5, 1.0))
    return arrivals, lengths


def test_at_a_load_of_seven_tenths_hardly_an_answer_waits() -> None:
    waits = Replicas(1, 1, 1).run(*arrivals_of(0.7, 20_000, 3 * 8))
    # In lengths of an answer.
    assert sorted(waits)[int(0.95 * len(waits))] <= 0.15


def test_a_replica_half_as_fast_gets_half_the_work_when_all_are_busy() -> None:
    replicas = Replicas(1, 1, 0.5)
    replicas.run(*arrivals_of(3.0, 20_000, 3 * 8))
    assert replicas.done[3] / replicas.done[1] == pytest.approx(0.5, rel=0.1)
