"""Whose turn it is: nobody is forgotten, nobody is served twice, one prompt waits for few."""

from hypothesis import given
from hypothesis import strategies as st

from server.core.turns import Turns

PARTY = st.sampled_from("abc")


def joined(*parties: str) -> Turns[int]:
    """Return a queue that the parties joined in that order; places are numbered from 0."""
    turns: Turns[int] = Turns()
    for place, party in enumerate(parties):
        turns.join(place, party)
    return turns


def test_one_party_is_served_in_the_order_of_its_coming() -> None:
    assert joined(*"aaaa").order() == [0, 1, 2, 3]


def test_fifty_of_one_do_not_hold_up_one_of_another() -> None:
    assert joined(*"a" * 50, "b").order()[:3] == [0, 50, 1]


def test_what_is_being_served_counts() -> None:
    turns = joined("a", "a")
    assert turns.serve(1) == [0]
    turns.join(2, "b")
    assert turns.order() == [2, 1]


def test_no_more_than_the_capacity_are_served_at_once() -> None:
    turns = joined(*"abc")
    assert turns.serve(2) == [0, 1]
    assert turns.serve(2) == []
    turns.leave(0)
    assert turns.serve(2) == [2]


def test_without_a_limit_all_are_served() -> None:
    assert joined(*"abca").serve(None) == [0, 1, 2, 3]


def test_positions_are_those_of_the_queue_from_1() -> None:
    assert list(joined("a", "a", "b").positions()) == [(1, 0), (2, 2), (3, 1)]


def test_who_is_not_there_may_leave() -> None:
    turns = joined("a")
    turns.leave(7)
    assert turns.waiting == 1


@given(st.lists(PARTY, max_size=30), st.integers(1, 4), st.data())
def test_everybody_is_served_once_whoever_gives_up_in_between(
    parties: list[str], capacity: int, data: st.DataObject
) -> None:
    turns = joined(*parties)
    served: list[int] = []
    under_way: list[int] = []
    gone: set[int] = set()
    while turns.waiting or under_way:
        under_way += (called := turns.serve(capacity))
        served += called
        assert len(under_way) <= capacity
        leaver = data.draw(st.sampled_from([*under_way, *turns.order()]))
        turns.leave(leaver)
        gone.add(leaver)
        if leaver in under_way:
            under_way.remove(leaver)
    assert len(served) == len(set(served))
    assert gone == set(range(len(parties)))


@given(st.lists(PARTY, max_size=20))
def test_a_first_prompt_waits_at_most_for_one_of_each_other_party(parties: list[str]) -> None:
    turns = joined(*parties)
    turns.join(-1, "new")
    assert turns.order().index(-1) <= len(set(parties))
