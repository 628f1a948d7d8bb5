"""Who voted: names for who may know them, and never ids of keys."""

from pathlib import Path

import pytest

from server.access.principal import LOCAL, Principal
from server.runs.report_words import made_of
from server.runs.results import RunVoter
from server.runs.shapes import RunVote, Target
from server.runs.store import Store, StoreLimits
from server.runs.voters import UNKNOWN_VOTER, StoredVoter, voters_seen_by, votes_seen_by

KEYS = {key: Principal(f"id-{key}", key, "user") for key in ("anna", "ben", "carl")}
HOLDERS = {one.id: one for one in KEYS.values()}
VOTERS = [StoredVoter("id-ben", 3, 2), StoredVoter("id-gone", 1, 0), StoredVoter("id-anna", 2, 2)]


def names(reader: str, owner: str = "id-anna") -> list[str]:
    """Return what a reader is told of who voted."""
    return [one.seen.name for one in voters_seen_by(reader, owner, VOTERS, HOLDERS.get)]


def test_the_owner_knows_all_names_and_others_their_own_and_the_owners() -> None:
    assert names("id-anna") == ["ben", "voter 2", "anna"]
    assert names("id-ben") == ["ben", "voter 2", "anna"]
    assert names("id-carl") == ["voter 1", "voter 2", "anna"]
    # Whoever began it may have no key any more.
    assert names("id-carl", owner="id-gone") == ["voter 1", "voter 2", "voter 3"]


def test_votes_are_counted_and_the_readers_own_are_marked() -> None:
    seen = [one.seen for one in voters_seen_by("id-ben", "id-anna", VOTERS, HOLDERS.get)]
    assert [(one.votes, one.blind, one.is_me) for one in seen] == [
        (3, 2, True),
        (1, 0, False),
        (2, 2, False),
    ]


def test_votes_are_listed_with_the_readers_own_id_and_the_names_of_others() -> None:
    given = ("id-ben", "id-gone", "id-anna", "id-late")
    votes = [RunVote([0, 1], [0], prompt=0, voter=voter, created=1.0) for voter in given]

    def told(reader: str) -> list[str]:
        known = voters_seen_by(reader, "id-anna", VOTERS, HOLDERS.get)
        return [one.voter for one in votes_seen_by(reader, votes, known)]

    assert told("id-ben") == ["id-ben", "voter 2", "anna", UNKNOWN_VOTER]
    assert told("id-carl") == ["voter 1", "voter 2", "anna", UNKNOWN_VOTER]
    # A first vote that came after it was asked who voted.
    assert told("id-late") == ["voter 1", "voter 2", "anna", "id-late"]


def test_without_keys_a_voter_has_no_name() -> None:
    (local,) = voters_seen_by(LOCAL.id, LOCAL.id, [StoredVoter(LOCAL.id, 1, 1)], HOLDERS.get)
    assert (local.seen.name, local.seen.is_me) == ("", True)


@pytest.mark.parametrize(
    ("voters", "words"),
    [
        ([RunVoter("", True, 1, 1)], "1 vote by 1 voter, blind"),
        ([RunVoter("anna", True, 1, 0)], "1 vote by anna, not blind"),
        ([RunVoter("anna", False, 1200, 0)], "1,200 votes by anna, none of them blind"),
        (
            [RunVoter("anna", False, 2, 2), RunVoter("", True, 1, 1)],
            "3 votes by 2 voters, all of them blind",
        ),
        (
            [RunVoter("a", False, 2, 1), RunVoter("b", False, 1, 1)],
            "3 votes by 2 voters, 2 of them blind",
        ),
    ],
)
def test_a_report_tells_who_voted_in_a_sentence(voters: list[RunVoter], words: str) -> None:
    assert made_of(voters) == words


async def test_who_votes_is_counted_by_the_earliest_vote(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "runs", StoreLimits(sets=2, runs=2, file_bytes=1 << 30))
    kept = await store.sets.add("me", "one", [], "v1", "{}", 1)
    run = await store.add_run(
        *("me",), name="", set_id=kept.id, version="v1", targets=[Target("m")] * 2, repeats=3
    )
    given = [("z", 0, 3.0, True), ("a", 0, 4.0, True), ("z", 1, 5.0, False), ("a", 2, 2.0, False)]
    for voter, repeat, created, blind in given:
        vote = RunVote([0, 1], [0], repeat, blind, prompt=0, voter=voter, created=created)
        await store.votes.give(run.number, vote)
    found = await store.votes.voters(run.number)
    nobody = await store.votes.voters(run.number + 1)
    await store.close()
    assert (found, nobody) == ([("a", 2, 1), ("z", 2, 1)], [])
