"""Shares of pairs that were won: half a win for a tie, by prompt, and nothing of too few."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.evaluation.statistics.intervals import share_by_prompt
from server.evaluation.statistics.strengths import Vote, estimate_strengths, votes_of_round
from server.evaluation.statistics.won_pairs import WonPairs, won_pairs

VOTES = st.lists(
    st.tuples(
        st.integers(0, 12), st.sampled_from(["ab", "bc", "ca"]), st.sampled_from([0, 0.5, 1])
    ).map(lambda one: Vote(str(one[0]), one[1][0], one[1][1], one[2]))
)


def test_one_vote_on_each_prompt_has_wilsons_own_interval() -> None:
    votes = [Vote(str(prompt), "a", "b", float(prompt < 8)) for prompt in range(10)]
    found = won_pairs(votes)
    assert (found["b"].wins, found["b"].losses) == (2, 8)
    # As prop.test(8, 10, correct = FALSE) of R has it.
    bounds = [found["a"].interval, found["b"].interval]
    told = [(one.low, one.high) for one in bounds if one is not None]
    assert told == [
        pytest.approx((0.4902, 0.9433), abs=1e-4),
        pytest.approx((0.0567, 0.5098), abs=1e-4),
    ]


def test_a_tie_is_half_a_win() -> None:
    votes = [Vote(str(prompt), "a", "b", 1) for prompt in range(6)]
    ties = [Vote(f"tie {prompt}", "a", "b", 0.5) for prompt in range(6)]
    found = won_pairs(votes + ties, {"a": 2, "b": 2})["a"]
    assert (found.wins, found.losses, found.ties, found.inconsistent) == (6, 0, 6, 2)
    assert (found.share, found.prompts) == (0.75, 6)


def test_of_fewer_than_six_decided_prompts_nothing_is_told() -> None:
    votes = [Vote(str(prompt), "a", "b", 1) for prompt in range(5)]
    ties = [Vote(f"tie {prompt}", "a", "b", 0.5) for prompt in range(20)]
    many = [Vote("0", "a", "b", 1)] * 30
    for found in won_pairs(votes + ties + many).values():
        assert (found.share, found.interval, found.prompts) == (None, None, 5)
    enough = won_pairs([*votes, *ties, Vote("5", "a", "b", 0)])
    assert all(one.share is not None and one.prompts == 6 for one in enough.values())


def test_many_votes_on_a_prompt_do_not_narrow_the_interval_as_if_they_were_independent() -> None:
    once = [Vote(str(prompt), "a", "b", float(prompt % 2)) for prompt in range(10)]
    interval = won_pairs(once * 20)["a"].interval
    alone = won_pairs(once)["a"].interval
    assert interval is not None
    assert alone is not None
    assert interval.high - interval.low > 0.9 * (alone.high - alone.low)
    assert interval == share_by_prompt([(20.0 * (prompt % 2), 20) for prompt in range(10)])[1]


def test_who_is_best_by_chance_among_several_wins_half_of_its_pairs() -> None:
    names = ["a", "b", "c", "d"]
    votes = [
        vote
        for prompt in range(40)
        for vote in votes_of_round(str(prompt), names, {names[prompt % 4]})
    ]
    assert [one.share for one in won_pairs(votes).values()] == [0.5] * 4


def test_without_votes_there_is_nothing() -> None:
    assert won_pairs([]) == {}
    assert WonPairs().share is None


@given(VOTES, st.integers())
def test_the_order_changes_nothing_and_counts_are_those_of_the_ranking(
    votes: list[Vote], seed: int
) -> None:
    found = won_pairs(votes)
    assert won_pairs(Random(seed).sample(votes, len(votes))) == found
    ranked = {one.target: one for one in estimate_strengths(votes, samples=1)}
    assert found.keys() == ranked.keys()
    for name, one in found.items():
        other = ranked[name]
        assert (one.wins, one.losses, one.ties) == (other.wins, other.losses, other.ties)
        if one.share is not None and one.interval is not None:
            assert one.share == (one.wins + one.ties / 2) / (one.wins + one.losses + one.ties)
            assert 0 <= one.interval.low <= one.share <= one.interval.high <= 1
