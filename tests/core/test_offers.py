"""At which of several places a server runs."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core.offers import Choice, Offer, lack_of, use_of, where_to_run
from server.core.placement import ALL_GPUS, Occupant

GIB = 1 << 30


def at(
    place: str,
    name: str,
    *,
    memory: int = 1,
    idle: float | None = 0.0,
    root: str = "",
    **gpus: float,
) -> Occupant:
    """Return a server at a place; `gpu0=0.5` is its share of GPU 0."""
    shares = {name.removeprefix("gpu"): share for name, share in gpus.items()}
    return Occupant(name, memory, idle, is_pinned=False, gpus=shares, root=root, place=place)


def place_of(choice: Choice | None) -> str:
    assert choice is not None
    return choice.offer.place


def test_the_place_with_the_least_of_its_memory_taken_is_chosen() -> None:
    offers = [Offer("small", budget_bytes=10), Offer("large", budget_bytes=100)]
    inside = [at("small", "a", memory=4), at("large", "b", memory=20)]
    assert place_of(where_to_run(inside, 1, offers)) == "large"
    # Where no budget is set, what the machine has tells how much is taken.
    offers = [Offer("one", machine_bytes=10), Offer("two", machine_bytes=100)]
    assert place_of(where_to_run([at("one", "a"), at("two", "b")], 1, offers)) == "two"


def test_gpus_count_as_memory_does() -> None:
    offers = [Offer(name, gpus=frozenset("01"), takes={"0": 0.4}) for name in ("one", "two")]
    inside = [at("one", "a", gpu0=0.5), at("two", "b", gpu0=0.2)]
    assert place_of(where_to_run(inside, 0, offers)) == "two"
    full = [at("one", "a", gpu0=0.5), at("two", "b", gpu0=0.9, idle=None)]
    assert place_of(where_to_run(full, 0, offers)) == "one"


def test_replicas_are_spread_before_use_is_compared() -> None:
    offers = [Offer("one", budget_bytes=100), Offer("two", budget_bytes=100)]
    inside = [at("one", "m", memory=1, root="m"), at("two", "other", memory=50)]
    assert place_of(where_to_run(inside, 1, offers, root="m")) == "two"
    assert place_of(where_to_run(inside, 1, offers, root="new")) == "one"


def test_equal_places_are_taken_in_their_order_and_by_the_number_of_servers() -> None:
    offers = [Offer("one"), Offer("two")]
    assert place_of(where_to_run([], 1, offers)) == "one"
    assert place_of(where_to_run([at("one", "a")], 1, offers)) == "two"


def test_a_place_with_room_goes_before_one_where_an_idle_server_had_to_go() -> None:
    offers = [Offer("one", budget_bytes=4), Offer("two", budget_bytes=100)]
    inside = [at("one", "idle", memory=4), at("two", "busy", memory=90, idle=None)]
    assert where_to_run(inside, 4, offers) == Choice(offers[1], [])
    assert where_to_run(inside, 4, offers[:1]) == Choice(offers[0], ["idle"])


def test_the_server_that_leaves_already_is_the_one_to_wait_for() -> None:
    offers = [Offer(name, budget_bytes=4) for name in ("one", "two")]
    inside = [at("one", "a", memory=4), at("two", "b", memory=3)]
    choice = where_to_run(inside, 4, offers, leaving={"a"})
    assert choice is not None
    assert choice.victims == ["a"]


def test_the_number_of_servers_is_that_of_all_places() -> None:
    inside = [at("one", "a", idle=5.0), at("two", "b", idle=1.0)]
    choice = where_to_run(inside, 1, [Offer("one")], max_running=2)
    assert choice == Choice(Offer("one"), ["b"])


@pytest.mark.parametrize(
    ("takes", "gpus", "lacking"),
    [
        ({"2": 0.5}, frozenset("01"), ["2"]),
        ({ALL_GPUS: 0.5}, frozenset(), [ALL_GPUS]),
        ({ALL_GPUS: 0.5}, frozenset("0"), []),
        ({"7": 0.5}, None, []),
        ({}, frozenset(), []),
    ],
)
def test_a_gpu_that_a_place_does_not_have_is_what_it_lacks(
    takes: dict[str, float], gpus: frozenset[str] | None, lacking: list[str]
) -> None:
    offer = Offer("one", gpus=gpus, takes=takes)
    lack = lack_of([], 0, offer)
    assert (lack.gpus if lack else []) == lacking
    assert (where_to_run([], 0, [offer]) is None) is bool(lacking)


def test_what_is_lacking_is_told_in_bytes() -> None:
    lack = lack_of([at("one", "pinned", memory=3 * GIB)], 2 * GIB, Offer("one", 4 * GIB))
    assert lack is not None
    assert lack.memory_bytes == GIB
    assert lack_of([at("two", "elsewhere", memory=3 * GIB)], 2 * GIB, Offer("one", 4 * GIB)) is None


PLACES = ("", "one", "two", "three")


@given(st.integers(0, 2**32))
def test_servers_that_come_and_go_never_exceed_what_a_place_has(seed: int) -> None:
    """Whatever order they come in; and where one could enter without an eviction, it does."""
    chance = random.Random(seed)
    offers = {
        name: Offer(
            name,
            budget_bytes=chance.choice([0, 10, 20]),
            gpus=chance.choice([None, frozenset("0"), frozenset("01"), frozenset()]),
        )
        for name in PLACES
    }
    most = chance.choice([0, 4])
    inside: dict[str, Occupant] = {}
    for step in range(30):
        if inside and chance.random() < 0.3:
            del inside[chance.choice([*inside])]
            continue
        takes = chance.choice([{}, {"0": 0.5}, {"1": 0.7}, {ALL_GPUS: 0.4}])
        memory = chance.randrange(8)
        names = chance.sample(PLACES, chance.randint(1, 4))
        offered = [
            Offer(name, offers[name].budget_bytes, 0, offers[name].gpus, takes) for name in names
        ]
        fitting = [
            one for one in offered
            if lack_of([*inside.values()], memory, one, max_running=most) is None
        ]  # fmt: skip
        choice = where_to_run([*inside.values()], memory, offered, max_running=most, root="m")
        if fitting:
            assert choice is not None
            assert not choice.victims
            assert choice.offer in fitting
        if choice is None:
            continue
        for victim in choice.victims:
            assert inside.pop(victim).idle_since is not None
        idle = chance.choice([None, float(step)])
        inside[str(step)] = Occupant(
            str(step), memory, idle, is_pinned=False, gpus=takes, place=choice.offer.place
        )
        for name, offer in offers.items():
            here = [one for one in inside.values() if one.place == name]
            if offer.budget_bytes:
                assert sum(one.memory_bytes for one in here) <= offer.budget_bytes
            for gpu in "01":
                shares = [one.gpus.get(gpu, one.gpus.get(ALL_GPUS, 0.0)) for one in here]
                assert sum(shares) <= 1.000001
                assert gpu in (offer.gpus or gpu) or not any(gpu in one.gpus for one in here)
            assert use_of(offer, here) >= 0
        assert not most or len(inside) <= most
