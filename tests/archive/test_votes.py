"""Votes: one for each voter and turn, added up, deleted, restored, and gone with their chat."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from server.archive.exports import export_json
from server.archive.schema import APPLICATION_ID, MIGRATIONS, VERSION
from server.archive.shapes import Change, Column, EarlierVote, Score, VoteCandidate, VoteGiven
from server.archive.votes import MAX_EARLIER
from server.core.errors import Contradiction, ConversationLimit, InvalidCommand, UnknownConversation
from tests.support.stored_conversations import StoredConversations, stored_conversations, write

COLUMNS = [
    Column("a", "small"),
    Column("b", "large", {"top_p": 0.9, "temperature": 0.2}),
    Column("c", "large", {"temperature": 0.2, "top_p": 0.9}, system="Be brief."),
]


async def round_of(
    stored: StoredConversations, turns: int = 1, owner: str = "me"
) -> tuple[str, dict[str, list[str]]]:
    """Store a conversation in which all columns answer; return its id and the answers by turn."""
    name = await stored.begin(owner, columns=COLUMNS)
    for turn in range(turns):
        for column in COLUMNS:
            log = await stored.ask(
                name, "Why?", turn=f"t{turn}", owner=owner, model=column.model, column=column.id
            )
            write(log, f"because of {column.id}", ends=True)
    found: dict[str, list[str]] = {}
    for answer in (await stored.load(name, owner=owner)).answers:
        found.setdefault(answer.turn, []).append(answer.id)
    return name, found


def better(among: list[str], winner: int) -> VoteGiven:
    """Return a blind vote for one of these."""
    return VoteGiven("better", [among[winner]], among, blind=True)


async def scores(stored: StoredConversations, voter: str = "me") -> list[tuple[Any, ...]]:
    """Return model, system, wins, ties, bad and rounds of each line of the tally."""
    tally = await stored.archive.votes.tally(voter)
    return [(s.model, s.system, s.wins, s.ties, s.bad, s.rounds) for s in tally.scores]


async def test_votes_add_up_by_model_and_by_what_its_columns_differ_in(
    stored: StoredConversations,
) -> None:
    name, answers = await round_of(stored, 4)
    votes = stored.archive.votes
    await votes.give("me", name, "t0", better(answers["t0"], 1))
    await votes.give("me", name, "t1", better(answers["t1"][:2], 1))
    await votes.give("me", name, "t2", VoteGiven("tie", [], answers["t2"], blind=True))
    await votes.give("me", name, "t3", VoteGiven("bad", [], answers["t3"], blind=True))
    tally = await votes.tally("me")
    parameters = {"temperature": 0.2, "top_p": 0.9}
    assert tally.votes == 4
    assert tally.scores == [
        Score("large", parameters, None, rounds=4, wins=2, ties=1, bad=1),
        Score("large", parameters, "Be brief.", rounds=3, wins=0, ties=1, bad=1),
        Score("small", {}, None, rounds=4, wins=0, ties=1, bad=1),
    ]
    # What was compared stays as it was, whatever becomes of the columns.
    await stored.archive.change("me", name, Change(columns=[Column("a", "other")]))
    assert await votes.tally("me") == tally


async def test_a_later_vote_replaces_the_former_one_and_tells_it(
    stored: StoredConversations,
) -> None:
    name, answers = await round_of(stored)
    votes = stored.archive.votes
    first = await votes.give("me", name, "t0", better(answers["t0"], 0))
    assert first.replaced is None
    stored.now[0] += 5
    second = await votes.give("me", name, "t0", better(answers["t0"], 2))
    assert second.replaced is not None
    assert second.replaced.winners == answers["t0"][:1]
    (kept,) = (await votes.browse("me", conversation_id="", before="", limit=9)).votes
    assert (kept.winners, kept.created, kept.voter) == (answers["t0"][2:], 1005.0, "me")
    assert (kept.conversation, kept.turn, kept.blind) == (name, "t0", True)
    assert [candidate.won for candidate in kept.candidates] == [False, False, True]
    turn = (await stored.load(name)).turns[0]
    assert turn.vote is not None
    assert turn.vote.winners == answers["t0"][2:]
    await votes.take_back("me", name, "t0")
    assert (await stored.load(name)).turns[0].vote is None
    third = await votes.give("me", name, "t0", better(answers["t0"], 1))
    assert third.replaced is None
    assert (await votes.tally("me")).votes == 1


async def test_all_votes_are_deleted_and_restored_but_not_those_of_others(
    stored: StoredConversations,
) -> None:
    votes = stored.archive.votes
    name, answers = await round_of(stored, 2)
    others, theirs = await round_of(stored, owner="other")
    await votes.give("other", others, "t0", better(theirs["t0"], 0))
    await votes.give("me", name, "t0", better(answers["t0"], 0))
    await votes.give("me", name, "t1", better(answers["t1"], 1))
    stored.now[0] += 1
    await votes.take_back("me", name, "t0")
    stored.now[0] += 1
    assert await votes.delete_all("me") == 1
    assert await scores(stored) == []
    assert (await votes.tally("other")).votes == 1
    assert await votes.restore("me") == 1
    assert (await votes.tally("me")).votes == 1
    # The deletion before that one is undone next.
    assert await votes.restore("me") == 1
    assert (await votes.tally("me")).votes == 2
    assert await votes.restore("me") == 0
    # For good, after a while.
    assert await votes.delete_all("me") == 2
    stored.now[0] += 61
    await stored.archive.delete_expired()
    assert await votes.restore("me") == 0
    assert (await votes.tally("other")).votes == 1


async def test_votes_go_with_their_conversation_and_come_back_with_it(
    stored: StoredConversations,
) -> None:
    votes = stored.archive.votes
    name, answers = await round_of(stored)
    await votes.give("me", name, "t0", better(answers["t0"], 0))
    await stored.archive.delete("me", name, forever=False)
    assert await scores(stored) == []
    assert await votes.delete_all("me") == 0
    await stored.archive.restore("me", name)
    assert (await votes.tally("me")).votes == 1
    await stored.archive.delete("me", name, forever=True)
    assert stored.rows("SELECT count(*) FROM vote") == [(0,)]


@pytest.mark.parametrize("end", ["cancelled", "failed", "interrupted"])
async def test_failed_or_stopped_answers_cannot_win_a_vote(
    stored: StoredConversations, end: str
) -> None:
    name, _ = await round_of(stored)
    log = await stored.ask(name, "Why?", turn="t0", model="small")
    log.end(end, now_ms=9)  # type: ignore[arg-type]
    await stored.archive.recorder.flush()
    ids = [answer.id for answer in (await stored.load(name)).answers]
    votes = stored.archive.votes
    with pytest.raises(Contradiction, match=r"cannot win - at `\$\.winners\[0\]`"):
        await votes.give("me", name, "t0", better(ids, 3))
    await votes.give("me", name, "t0", better(ids, 1))


async def test_a_voter_votes_and_reads_only_what_is_theirs(stored: StoredConversations) -> None:
    name, answers = await round_of(stored)
    votes = stored.archive.votes
    await votes.give("me", name, "t0", better(answers["t0"], 0))
    for attempt in (
        votes.give("other", name, "t0", better(answers["t0"], 1)),
        votes.take_back("other", name, "t0"),
        votes.browse("other", conversation_id=name, before="", limit=9),
        votes.give("me", name, "t9", VoteGiven("bad")),
    ):
        with pytest.raises(UnknownConversation):
            await attempt
    assert (await votes.browse("other", conversation_id="", before="", limit=9)).votes == []
    assert await votes.delete_all("other") == 0
    assert (await votes.tally("me")).votes == 1


async def test_votes_are_listed_page_by_page_the_latest_first(stored: StoredConversations) -> None:
    votes = stored.archive.votes
    name, answers = await round_of(stored, 5)
    for turn in range(5):
        stored.now[0] += turn // 2  # some at the same time
        await votes.give("me", name, f"t{turn}", better(answers[f"t{turn}"], 0))
    seen: list[str | None] = []
    before: str | None = ""
    while before is not None:
        page = await votes.browse("me", conversation_id=name, before=before, limit=2)
        seen += [vote.turn for vote in page.votes]
        before = page.next
    assert seen == ["t4", "t3", "t2", "t1", "t0"]


async def test_votes_kept_by_a_browser_are_imported_once(stored: StoredConversations) -> None:
    votes = stored.archive.votes
    pair = [VoteCandidate("small", won=True), VoteCandidate("large")]
    tie = [VoteCandidate("small"), VoteCandidate("large")]
    earlier = [EarlierVote("old-1", "better", pair), EarlierVote("old-2", "tie", tie)]
    assert await votes.take_over("me", earlier) == 2
    assert await votes.take_over("me", earlier) == 0
    assert await votes.take_over("other", earlier[:1]) == 1
    assert await scores(stored) == [("small", None, 1, 1, 0, 2), ("large", None, 0, 1, 0, 2)]
    (vote, _) = (await votes.browse("me", conversation_id="", before="", limit=9)).votes
    assert (vote.conversation, vote.turn, vote.among) == (None, None, [])
    for wrong in (EarlierVote("x", "better", tie), EarlierVote("x", "bad", pair)):
        with pytest.raises(Contradiction, match=r"`\$\.votes\[0\]\.candidates`"):
            await votes.take_over("me", [wrong])
    many = [EarlierVote(f"n{number}", "tie", tie) for number in range(MAX_EARLIER)]
    with pytest.raises(ConversationLimit):
        await votes.take_over("me", many)
    assert (await votes.tally("me")).votes == 2


async def test_votes_are_exported_and_imported_with_what_was_seen(
    stored: StoredConversations,
) -> None:
    name, answers = await round_of(stored, 2)
    votes = stored.archive.votes
    await votes.give("me", name, "t0", better(answers["t0"], 1))
    await votes.give("me", name, "t1", VoteGiven("tie", [], answers["t1"], blind=True))
    await stored.archive.change("me", name, Change(columns=[]))
    data = json.loads(export_json(await stored.load(name), "0.1.0"))
    taken = await stored.archive.import_export("other", json.dumps(data).encode())
    first, second = (await stored.load(taken.id, owner="other")).votes
    before = (await stored.load(name)).votes
    assert [first.candidates, second.candidates] == [vote.candidates for vote in before]
    assert {first.voter, second.voter} == {"other"}
    assert first.candidates[1].parameters == {"temperature": 0.2, "top_p": 0.9}
    assert await scores(stored, "other") == await scores(stored, "me")
    # An export of an earlier version has votes only at its turns.
    del data["conversation"]["votes"]
    again = await stored.archive.import_export("third", json.dumps(data).encode())
    assert len((await stored.load(again.id, owner="third")).votes) == 2
    assert (await votes.tally("third")).votes == 2


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        (("turn",), "t9", "votes[0].turn"),
        (("turn",), None, "votes[0].turn"),
        (("among",), ["a_none"], "votes[0].among[0]"),
        (("verdict",), "tie", "votes[0].winners"),
        (("candidates", 0, "won"), True, "votes[0].candidates"),
        (("candidates", 0, "answer"), "a_other", "votes[0].candidates"),
    ],
)
async def test_a_wrong_vote_in_an_export_is_named(
    stored: StoredConversations, path: tuple[Any, ...], value: Any, field: str
) -> None:
    name, answers = await round_of(stored)
    await stored.archive.votes.give("me", name, "t0", better(answers["t0"], 1))
    data = json.loads(export_json(await stored.load(name), "0.1.0"))
    place = data["conversation"]["votes"][0]
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(InvalidCommand) as refused:
        await stored.archive.import_export("me", json.dumps(data).encode())
    assert f"$.conversation.{field}`" in str(refused.value)
    assert (await stored.archive.votes.tally("me")).votes == 1


async def test_a_file_of_version_3_keeps_its_votes(file: Path) -> None:
    third = sqlite3.connect(file)
    for script in MIGRATIONS[:3]:
        third.executescript(script)
    columns = [
        {"id": "a", "model": "small", "parameters": {}, "system": None, "hidden_name": None},
        {"id": "b", "model": "large", "parameters": {"top_k": 9}, "system": "s" * 3000},
    ]
    third.execute(
        "INSERT INTO conversation VALUES (1, 'c_1', 'me', 'Old', 1, 2, NULL, ?, '{}', 9)",
        (json.dumps(columns),),
    )
    given = {"winners": ["a_2"], "among": ["a_1", "a_2", "a_3"], "blind": True, "created": 7.5}
    for number, vote in enumerate(
        [{"verdict": "better", **given}, None, {"verdict": "tie", **given, "winners": []}]
    ):
        turn = (number + 1, f"t{number}", None if vote is None else json.dumps(vote))
        third.execute("INSERT INTO turn VALUES (?, 1, ?, NULL, NULL, '?', 1, ?, NULL)", turn)
    for number, (column, model) in enumerate([("a", "small"), ("b", "large"), (None, "lost")]):
        third.execute(
            "INSERT INTO answer (number, conversation, id, turn, place, model, created, state, seq,"
            " text, facts) VALUES (?, 1, ?, 't0', ?, ?, 1, 'ended', 1, 'x', '{}')",
            (number + 1, f"a_{number + 1}", column, model),
        )
    third.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    third.execute("PRAGMA user_version = 3")
    third.commit()
    third.close()
    async with stored_conversations(file) as opened:
        conversation = await opened.load("c_1")
        tally = await opened.archive.votes.tally("me")
        assert await opened.archive.votes.delete_all("me") == 2
    first, none, tie = (turn.vote for turn in conversation.turns)
    assert first is not None
    assert (first.verdict, first.winners, first.among) == ("better", ["a_2"], ["a_1", "a_2", "a_3"])
    assert (first.blind, first.created) == (True, 7.5)
    assert none is None
    assert tie is not None
    assert (tie.verdict, tie.winners) == ("tie", [])
    assert conversation.votes[0].candidates == [
        VoteCandidate("small", "a_1", "a"),
        VoteCandidate("large", "a_2", "b", {"top_k": 9}, "s" * 2000, won=True),
        VoteCandidate("lost", "a_3", None),
    ]
    assert [(s.model, s.wins, s.ties) for s in tally.scores] == [
        ("large", 1, 1),
        ("lost", 0, 1),
        ("small", 0, 1),
    ]
    assert sqlite3.connect(file).execute("PRAGMA user_version").fetchone() == (VERSION,)
    assert Path(f"{file}.v3").exists()
