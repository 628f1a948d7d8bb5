"""Strengths out of votes: against a published example, and where votes say little."""

import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.evaluation.statistics.strengths import (
    Strength,
    Vote,
    estimate_strengths,
    votes_of_round,
    win_probability,
)

# Wins of the American League's eastern division in 1987: Agresti, Categorical Data Analysis (2nd
# edition, 2002), table 10.10. The strengths, relative to Baltimore, are those that R's package
# BradleyTerry2 documents for them (Turner and Firth, Journal of Statistical Software 48 (2012)).
BASEBALL = {
    "Milwaukee": (1.5814, {"D": 7, "T": 9, "N": 7, "Bo": 7, "C": 9, "Ba": 11}),
    "Detroit": (1.4364, {"M": 6, "T": 7, "N": 5, "Bo": 11, "C": 9, "Ba": 9}),
    "Toronto": (1.2945, {"M": 4, "D": 6, "N": 7, "Bo": 7, "C": 8, "Ba": 12}),
    "New York": (1.2476, {"M": 6, "D": 8, "T": 6, "Bo": 6, "C": 7, "Ba": 10}),
    "Boston": (1.1077, {"M": 6, "D": 2, "T": 6, "N": 7, "C": 7, "Ba": 12}),
    "Cleveland": (0.6839, {"M": 4, "D": 4, "T": 5, "N": 6, "Bo": 6, "Ba": 6}),
    "Baltimore": (0.0, {"M": 2, "D": 4, "T": 1, "N": 3, "Bo": 1, "C": 7}),
}
VOTE = st.tuples(
    st.sampled_from("pqrst"),
    st.sampled_from(list(itertools.permutations("abcd", 2))),
    st.sampled_from([0, 0.5, 1.0]),
).map(lambda drawn: Vote(drawn[0], *drawn[1], drawn[2]))


def by_target(found: list[Strength]) -> dict[str, Strength]:
    return {one.target: one for one in found}


def test_the_strengths_are_those_published_for_baseball() -> None:
    names = {name: full for full in BASEBALL for name in (full[:1], full[:2])}
    votes = [
        Vote(f"{winner} {loser} {number}", winner, names[loser], 1)
        for winner, (_, wins) in BASEBALL.items()
        for loser, count in wins.items()
        for number in range(count)
    ]
    found = by_target(estimate_strengths(votes, samples=20))
    base = found["Baltimore"].strength
    for team, (expected, _) in BASEBALL.items():
        assert found[team].strength - base == pytest.approx(expected, abs=5e-5)
        assert not found[team].regularised


def test_two_targets_have_the_log_odds_of_their_wins() -> None:
    """Ties count half a win each: 6 wins, 2 losses and 4 ties are 8 against 4."""
    votes = [Vote(str(n), "a", "b", s) for n, s in enumerate([1] * 6 + [0] * 2 + [0.5] * 4)]
    first, second = estimate_strengths(votes)
    assert first.strength - second.strength == pytest.approx(math.log(2))
    assert (first.wins, first.losses, first.ties) == (6, 2, 4)
    assert (second.wins, second.losses, second.ties) == (2, 6, 4)
    assert win_probability(first.strength, second.strength) == pytest.approx(2 / 3)


def test_one_that_was_never_beaten_is_first_with_a_finite_strength() -> None:
    votes = [Vote(str(n), "a", other, 1) for n in range(5) for other in "bc"]
    votes += [Vote(str(n), "b", "c", n % 2) for n in range(4)]
    best, *others = estimate_strengths(votes)
    assert best.target == "a"
    assert best.regularised
    assert 0 < best.strength < 5
    assert {one.strength for one in others} == {others[0].strength}


def test_targets_that_no_vote_connects_are_groups_of_their_own() -> None:
    votes = [Vote("p", "a", "b", 1), Vote("q", "a", "b", 0), Vote("p", "c", "d", 0.5)]
    found = by_target(estimate_strengths(votes, ["e"]))
    assert {name: one.group for name, one in found.items()} == {
        "a": 0, "b": 0, "c": 1, "d": 1, "e": 2,
    }  # fmt: skip
    assert found["e"].interval is None
    assert found["e"].strength == 0


def test_many_votes_on_one_prompt_are_worth_one_prompt() -> None:
    """Drawn one by one, forty votes on two prompts would look like forty opinions."""
    few = [Vote(str(n % 2), "a", "b", n % 2) for n in range(40)]
    many = [Vote(str(n), "a", "b", n % 2) for n in range(40)]
    width = []
    for votes in (few, many):
        interval = estimate_strengths(votes, samples=200)[0].interval
        assert interval is not None
        width.append(interval.high - interval.low)
    assert width[0] > 2 * width[1]


@pytest.mark.parametrize(
    ("winners", "votes"),
    [
        ("a", [("a", "b", 1), ("a", "c", 1)]),
        ("c", [("a", "c", 0), ("b", "c", 0)]),
        ("ab", [("a", "b", 0.5), ("a", "c", 1), ("b", "c", 1)]),
        ("", [("a", "b", 0.5), ("a", "c", 0.5), ("b", "c", 0.5)]),
        ("abc", [("a", "b", 0.5), ("a", "c", 0.5), ("b", "c", 0.5)]),
    ],
)
def test_a_choice_among_several_is_votes_between_two(
    winners: str, votes: list[tuple[str, str, float]]
) -> None:
    assert votes_of_round("p", ["a", "b", "c", "a"], set(winners)) == [
        Vote("p", *vote) for vote in votes
    ]


@pytest.mark.parametrize("vote", [Vote("p", "a", "a", 1), Vote("p", "a", "b", 2)])
def test_what_is_no_vote_is_refused(vote: Vote) -> None:
    with pytest.raises(ValueError, match="no vote between two targets"):
        estimate_strengths([vote])


def test_nothing_has_no_strengths() -> None:
    assert estimate_strengths([]) == []


@settings(max_examples=40)
@given(st.lists(VOTE, min_size=1, max_size=25), st.randoms(use_true_random=False))
def test_strengths_depend_on_no_order_and_have_the_mean_0(
    votes: list[Vote], order: random.Random
) -> None:
    found = estimate_strengths(votes, samples=20)
    assert len({one.target for one in found}) == len(found)
    for group in {one.group for one in found}:
        members = [one for one in found if one.group == group]
        assert math.fsum(one.strength for one in members) == pytest.approx(0, abs=1e-6)
    for one in found:
        assert one.interval is not None
        assert one.interval.low <= one.strength <= one.interval.high
    # Who stands first says nothing either.
    order.shuffle(votes)
    turned = [Vote(one.prompt, one.second, one.first, 1 - one.score) for one in votes]
    assert estimate_strengths(turned, samples=20) == found


@settings(max_examples=40)
@given(st.lists(VOTE, min_size=1, max_size=25))
def test_an_opposite_vote_everywhere_turns_the_strengths_round(votes: list[Vote]) -> None:
    found = by_target(estimate_strengths(votes, samples=1))
    opposite = [Vote(one.prompt, one.first, one.second, 1 - one.score) for one in votes]
    for target, one in by_target(estimate_strengths(opposite, samples=1)).items():
        assert one.strength == pytest.approx(-found[target].strength, abs=1e-5)
