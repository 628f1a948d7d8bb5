"""Who may run, who gives way, and how long a crash is waited for."""

from hypothesis import given
from hypothesis import strategies as st

from server.core.placement import Capacity, Occupant, pause_before_restart, whom_to_evict


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
