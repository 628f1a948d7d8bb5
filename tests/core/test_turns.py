"""Whose turn it is: nobody is forgotten, nobody is served twice, one prompt waits for few."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from server.core.turns import TURNS_IN_A_ROW, TurnQueue

PARTY = st.sampled_from("abc")
MODEL = st.sampled_from("xyz")
CAPACITY = st.one_of(st.none(), st.integers(1, 4))


def joined(*parties: str) -> TurnQueue[int]:
    """Return a queue that the parties joined in that order; slots are numbered from 0."""
    turns: TurnQueue[int] = TurnQueue()
    for slot, party in enumerate(parties):
        turns.join(slot, party)
    return turns


def test_one_party_is_served_in_the_order_of_its_coming() -> None:
    assert joined(*"aaaa").order() == [0, 1, 2, 3]


def test_fifty_of_one_do_not_hold_up_one_of_another() -> None:
    assert joined(*"a" * 50, "b").order()[:3] == [0, 50, 1]


def test_requests_being_served_count_against_their_party() -> None:
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


def test_leaving_without_having_joined_does_nothing() -> None:
    turns = joined("a")
    turns.leave(7)
    assert turns.waiting == 1


@given(st.lists(PARTY, max_size=30), st.integers(1, 4), st.data())
def test_every_waiting_turn_is_served_once_although_others_give_up(
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


# --- servers that hold one model at a time ------------------------------------------------------


def loaded(turns: TurnQueue[int], model_of: dict[int, str], capacity: int | None) -> list[str]:
    """Serve all that wait, each ending before the next look; return the models, as loaded."""
    loads: list[str] = []
    while turns.waiting:
        called = turns.serve(capacity)
        assert called
        for slot in called:
            if loads[-1:] != [model_of[slot]]:
                loads.append(model_of[slot])
            turns.leave(slot)
    return loads


def joined_by_model(*asked: tuple[str, str]) -> tuple[TurnQueue[int], dict[int, str]]:
    """Return a queue of parties that ask models, in that order, and the model of each slot."""
    turns: TurnQueue[int] = TurnQueue()
    for slot, (party, model) in enumerate(asked):
        turns.join(slot, party, model)
    return turns, {slot: model for slot, (_, model) in enumerate(asked)}


def test_two_models_and_four_prompts_are_two_loads() -> None:
    for capacity in (None, 1, 2):
        turns, model_of = joined_by_model(*[("a", "x"), ("a", "y")] * 4)
        assert loaded(turns, model_of, capacity) == ["x", "y"]


def test_requests_for_the_loaded_model_go_first() -> None:
    turns, _ = joined_by_model(("a", "x"), ("a", "y"))
    assert turns.serve(1) == [0]
    turns.join(2, "a", "x")
    assert turns.order() == [2, 1]
    turns.leave(0)
    assert turns.serve(1) == [2]


def test_another_model_waits_for_so_many_turns_and_no_more() -> None:
    turns, _ = joined_by_model(("a", "x"), ("b", "y"), *[("a", "x")] * 20)
    # The first one was not served while another waited: all came at once here, and count.
    assert turns.order().index(1) == TURNS_IN_A_ROW
    assert len(turns.serve(None)) == TURNS_IN_A_ROW


def test_turns_do_not_count_while_nobody_waits_for_another_model() -> None:
    turns, _ = joined_by_model(*[("a", "x")] * 20)
    assert len(turns.serve(None)) == 20
    turns.join(20, "b", "y")
    turns.join(21, "a", "x")
    assert turns.order() == [21, 20]


def test_the_next_model_is_that_of_the_first_in_the_fair_order() -> None:
    turns, _ = joined_by_model(("a", "x"), *[("a", "y")] * 5, ("b", "z"))
    assert turns.serve(1) == [0]
    turns.leave(0)
    # One of `a` waits longest; of its model all go on before the other party's.
    assert turns.order()[0] == 1
    turns.leave(1)
    assert turns.serve(1) == [2]


def test_within_a_model_parties_take_turns() -> None:
    turns, _ = joined_by_model(*[("a", "x")] * 5, ("b", "x"), ("a", "y"))
    assert turns.order()[:2] == [0, 5]


def test_requests_put_back_in_the_queue_regain_their_place() -> None:
    turns = joined(*"aab")
    assert turns.serve(2) == [0, 2]
    turns.join(2, "b")
    turns.join(0, "a")
    assert turns.order() == [0, 2, 1]
    assert turns.serve(1) == [0]


def test_slots_in_the_background_come_after_all_others() -> None:
    turns = joined("a", "a")
    turns.join(2, "run", is_background=True)
    turns.join(3, "run", is_background=True)
    turns.join(4, "b")
    assert turns.order() == [0, 4, 1, 2, 3]


def test_a_slot_in_the_background_that_is_served_is_not_interrupted() -> None:
    turns: TurnQueue[int] = TurnQueue()
    turns.join(0, "run", is_background=True)
    assert turns.serve(1) == [0]
    turns.join(1, "a")
    assert turns.serve(1) == []
    turns.leave(0)
    assert turns.serve(1) == [1]


def test_several_parties_in_the_background_take_turns() -> None:
    turns: TurnQueue[int] = TurnQueue()
    for slot, party in enumerate(("one", "one", "other")):
        turns.join(slot, party, is_background=True)
    assert turns.order() == [0, 2, 1]


def test_the_background_does_not_keep_its_model_loaded_while_another_is_waited_for() -> None:
    turns: TurnQueue[int] = TurnQueue()
    for slot in range(3):
        turns.join(slot, "run", "x", is_background=True)
    assert turns.serve(1) == [0]
    turns.join(3, "a", "y")
    turns.leave(0)
    assert turns.serve(1) == [3]
    assert turns.order() == [1, 2]


@given(st.lists(st.tuples(PARTY, MODEL, st.booleans()), max_size=30), CAPACITY)
def test_all_slots_in_the_background_are_served_last(
    asked: list[tuple[str, str, bool]], capacity: int | None
) -> None:
    turns: TurnQueue[int] = TurnQueue()
    for slot, (party, model, is_background) in enumerate(asked):
        turns.join(slot, party, model, is_background=is_background)
    served: list[int] = []
    while called := turns.serve(capacity):
        served += called
        for slot in called:
            turns.leave(slot)
    assert sorted(served) == list(range(len(asked)))
    behind = [asked[slot][2] for slot in served]
    assert behind == sorted(behind)


@given(
    st.lists(st.tuples(PARTY, MODEL), max_size=30),
    st.lists(st.tuples(PARTY, MODEL), max_size=30),
    CAPACITY,
    st.randoms(use_true_random=False),
)
def test_one_model_at_a_time_in_order_and_each_once(
    asked: list[tuple[str, str]],
    later: list[tuple[str, str]],
    capacity: int | None,
    chance: Random,
) -> None:
    turns, _ = joined_by_model(*asked)
    asked = [*asked]
    served: list[int] = []
    under_way: list[int] = []
    while turns.waiting or under_way or later:
        expected = turns.order()
        called = turns.serve(capacity)
        assert called == expected[: len(called)], "the order is what then happens"
        assert called or under_way or not turns.waiting
        served += called
        under_way += called
        assert len({asked[slot][1] for slot in under_way}) <= 1
        assert capacity is None or len(under_way) <= capacity
        is_coming = bool(later) and (not under_way or chance.random() < 0.5)
        if is_coming:
            turns.join(len(asked), *later[0])
            asked.append(later.pop(0))
        elif under_way:
            turns.leave(under_way.pop(chance.randrange(len(under_way))))
    assert sorted(served) == list(range(len(asked)))
    for kind in set(asked):
        of_kind = [slot for slot in served if asked[slot] == kind]
        assert of_kind == sorted(of_kind)


@given(
    st.lists(st.tuples(PARTY, MODEL), min_size=1, max_size=12),
    CAPACITY,
    st.randoms(use_true_random=False),
)
def test_waiting_is_bounded_however_many_come_later(
    asked: list[tuple[str, str]], capacity: int | None, chance: Random
) -> None:
    """Of two changes of models one serves whoever has waited longest, and runs are bounded."""
    turns, _ = joined_by_model(*asked)
    last, before = len(asked) - 1, len(asked)
    number = len(asked)
    under_way: list[int] = []
    given_meanwhile = 0
    bound = 2 * (before + 1) * TURNS_IN_A_ROW + before
    while last not in (called := turns.serve(capacity)):
        under_way += called
        given_meanwhile += len(called)
        assert given_meanwhile <= bound
        # More come all the time, of anybody for any model: as many as are served, and more.
        for _ in range(len(called) + 1):
            turns.join(number, chance.choice("abcdefgh"), chance.choice("wxyz"))
            number += 1
        leaver = under_way.pop(chance.randrange(len(under_way)))
        turns.leave(leaver)
