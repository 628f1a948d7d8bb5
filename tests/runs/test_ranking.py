"""What a ranking by votes claims: intervals only where enough prompts have a winner."""

from server.evaluation.statistics.strengths import Vote, votes_of_round
from server.runs.results import ranking_of

NAMES = [f"m{number}" for number in range(8)]


def test_one_vote_among_many_is_one_prompt_and_tells_nothing() -> None:
    ranking = ranking_of(NAMES, votes_of_round("p", NAMES, {"m0"}))
    assert (ranking[0].target, ranking[0].wins, ranking[0].prompts) == (0, 7, 1)
    assert all(rank.interval is None for rank in ranking)


def test_votes_of_many_people_on_one_prompt_are_worth_one_prompt() -> None:
    votes = [Vote("p", "m0", "m1", 1)] * 20
    assert [rank.prompts for rank in ranking_of(NAMES, votes)] == [1, 1]
    assert all(rank.interval is None for rank in ranking_of(NAMES, votes))


def test_six_prompts_with_a_winner_have_an_interval_and_ties_are_none() -> None:
    votes = [Vote(f"p{number}", "m0", "m1", 1) for number in range(6)]
    ties = [Vote("tie", "m0", "m1", 0.5)]
    best, _ = ranking_of(NAMES, votes + ties)
    assert (best.prompts, best.ties, best.interval is None) == (6, 1, False)
    best, _ = ranking_of(NAMES, votes[1:] + ties)
    assert (best.prompts, best.interval) == (5, None)
