"""Places on a leaderboard: nothing is called better when it is noise."""

import pytest

from server.evaluation.statistics.strengths import Vote, VoteData, estimate_strengths
from server.runs.board_building import ranks_of
from server.runs.board_shapes import BoardRank


def ranked(*votes: VoteData) -> dict[str, BoardRank]:
    strengths = estimate_strengths([Vote(*vote) for vote in votes])
    return {one.model: one for one in ranks_of(strengths, votes)}


def wins(winner: str, loser: str, *prompts: int) -> list[VoteData]:
    return [(str(prompt), winner, loser, 1.0) for prompt in prompts]


def test_who_wins_on_enough_prompts_is_better() -> None:
    found = ranked(*wins("a", "b", *range(20)), *wins("b", "a", 20))
    assert [found[name].places for name in "ab"] == [[1, 1], [2, 2]]
    assert found["a"].prompts == 21
    assert found["a"].interval is not None


@pytest.mark.parametrize(
    "votes",
    [
        wins("a", "b", 1),
        wins("a", "b", *range(5)),
        # Many voters on one prompt say nothing of others.
        wins("a", "b", *[1] * 100),
        [*wins("a", "b", *range(5)), *[(str(n), "a", "b", 0.5) for n in range(5, 50)]],
    ],
)
def test_few_decided_prompts_tell_nobody_apart(votes: list[VoteData]) -> None:
    found = ranked(*votes)
    assert [found[name].places for name in "ab"] == [[1, 2], [1, 2]]
    assert [found[name].interval for name in "ab"] == [None, None]


def test_votes_that_contradict_each_other_tell_nobody_apart() -> None:
    found = ranked(*wins("a", "b", *range(11)), *wins("b", "a", *range(11, 20)))
    assert [found[name].places for name in "ab"] == [[1, 2], [1, 2]]


def test_a_model_with_few_votes_may_have_any_place_and_takes_none_from_others() -> None:
    found = ranked(*wins("a", "b", *range(30)), *wins("b", "a", 30, 31), *wins("c", "a", 40))
    assert [found[name].places for name in "abc"] == [[1, 2], [2, 3], [1, 3]]


def test_groups_that_were_never_compared_have_places_of_their_own() -> None:
    found = ranked(*wins("a", "b", *range(10)), *wins("c", "d", *range(10, 22)))
    assert [found[name].places for name in "abcd"] == [[1, 1], [2, 2]] * 2
    assert found["a"].group != found["c"].group
