"""Votes: each is its voter's; given, listed, added up, deleted and restored.

Rules:

1. A voter has one vote on a turn: a later one replaces it.
2. What was compared is stored with the vote, as it was then: columns get other models and other
   parameters later.
3. An answer that failed or was stopped cannot win.
4. Deleted votes can be restored for a while. Those of a deleted conversation do not count until it
   is restored, and are gone with it.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final

import msgspec

from server.archive.imports import check_vote
from server.archive.reading import VOTE, Head, find_head, read_cursor, read_vote, vote_alone
from server.archive.rounds import ChatRound, read_rounds, rounds_of
from server.archive.shapes import (
    MAX_VOTE_SYSTEM,
    Column,
    Conversation,
    EarlierVote,
    Score,
    Tally,
    Vote,
    VoteCandidate,
    VoteGiven,
    VoteListing,
    VoteReceipt,
)
from server.core.errors import Contradiction, ConversationLimit, UnknownConversation
from server.storage.database import Database, Row, Transaction

# More than anybody clicks, few enough to be added up at once.
MAX_EARLIER: Final = 10_000

_CANNOT_WIN: Final = frozenset({"cancelled", "failed", "interrupted"})
_COUNTED: Final = (
    "FROM vote AS v LEFT JOIN conversation AS c ON c.number = v.conversation"
    " WHERE v.voter = :voter AND v.deleted IS NULL AND c.deleted IS NULL"
)
_TALLY: Final = f"""
SELECT json_extract(k.value, '$.model'), json_extract(k.value, '$.parameters'),
    json_extract(k.value, '$.system'), count(*) AS rounds,
    sum(json_extract(k.value, '$.won')) AS wins, sum(verdict = 'tie') AS ties, sum(verdict = 'bad')
FROM (SELECT v.verdict, v.candidates {_COUNTED}) AS counted, json_each(counted.candidates) AS k
GROUP BY 1, 2, 3
ORDER BY 1.0 * wins / rounds DESC, 1.0 * ties / rounds DESC, rounds DESC, 1
"""  # noqa: S608 - our own names
_INSERT: Final = (
    "INSERT INTO vote (id, voter, conversation, turn, verdict, candidates, blind, created)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_UPDATE: Final = (
    " ON CONFLICT (voter, conversation, turn) DO UPDATE SET verdict = excluded.verdict,"
    " candidates = excluded.candidates, blind = excluded.blind, created = excluded.created,"
    " deleted = NULL"
)


class Votes:
    """The votes in the database; every operation is on behalf of a voter."""

    def __init__(
        self,
        database: Database,
        clock: Callable[[], float],
        flush: Callable[[], Awaitable[None]],
    ) -> None:
        self._database = database
        self._clock = clock
        self._flush = flush

    async def give(
        self, voter: str, conversation_id: str, turn: str, given: VoteGiven
    ) -> VoteReceipt:
        """Store a vote on a turn, in place of the voter's former one.

        Raises `UnknownConversation`, `Contradiction` or `StorageFailed`.
        """
        await self._flush()
        async with self._database.write() as transaction:
            head = await _find_turn(transaction, voter, conversation_id, turn)
            rows = await transaction.rows(
                "SELECT id, model, place, finish_reason FROM answer"
                " WHERE conversation = ? AND turn = ?",
                (head.number, turn),
            )
            check_vote(given, {row[0] for row in rows})
            ended = {answer: reason for answer, _, _, reason in rows}
            for number, answer in enumerate(given.winners):
                if ended[answer] in _CANNOT_WIN:
                    raise Contradiction(
                        "an answer that failed or was stopped cannot win"
                        f" - at `$.winners[{number}]`"
                    )
            replaced = await _vote_on(transaction, voter, head.number, turn)
            vote = Vote(**msgspec.structs.asdict(given), created=self._clock())
            whose = {answer: (model, place) for answer, model, place, _ in rows}
            candidates = candidates_of(vote, whose, head.columns)
            row = _row(_new_id(), voter, head.number, turn, vote, candidates)
            await transaction.run(_INSERT + _UPDATE, row)
        return VoteReceipt(**msgspec.structs.asdict(vote), replaced=replaced)

    async def take_back(self, voter: str, conversation_id: str, turn: str) -> None:
        """Delete the voter's vote on a turn, if there is one; raises `UnknownConversation`."""
        async with self._database.write() as transaction:
            head = await _find_turn(transaction, voter, conversation_id, turn)
            await transaction.run(
                "UPDATE vote SET deleted = ?"
                " WHERE voter = ? AND conversation = ? AND turn = ? AND deleted IS NULL",
                (self._clock(), voter, head.number, turn),
            )

    async def browse(
        self, voter: str, *, conversation_id: str, before: str, limit: int
    ) -> VoteListing:
        """List the voter's votes, the latest first, of one conversation or all."""
        values: dict[str, Any] = {"voter": voter, "limit": limit + 1}
        where = ""
        async with self._database.read() as transaction:
            if conversation_id:
                head = await find_head(transaction, voter, conversation_id)
                values["conversation"] = head.number
                where += " AND v.conversation = :conversation"
            if before:
                values["created"], values["number"] = read_cursor(before)
                where += " AND (v.created, v.number) < (:created, :number)"
            rows = await transaction.rows(
                f"SELECT v.number, {VOTE} {_COUNTED}{where}"
                " ORDER BY v.created DESC, v.number DESC LIMIT :limit",
                values,
            )
        last = rows[limit - 1] if len(rows) > limit else None
        return VoteListing(
            [read_vote(row[1:]) for row in rows[:limit]],
            f"{last[8]!r}:{last[0]}" if last is not None else None,
        )

    async def tally(self, voter: str) -> Tally:
        """Add up the voter's votes by model and its own parameters, the best first."""
        values = {"voter": voter}
        async with self._database.read() as transaction:
            ((votes,),) = await transaction.rows(f"SELECT count(*) {_COUNTED}", values)
            rows = await transaction.rows(_TALLY, values)
        return Tally(votes, [_score(row) for row in rows])

    async def rounds(self, voter: str, *, tag: str, limit: int) -> list[ChatRound]:
        """Return the voter's latest votes with what was compared, of chats with a tag or all."""
        async with self._database.read() as transaction:
            rows = await read_rounds(transaction, voter, tag, limit)
        return await asyncio.to_thread(rounds_of, rows)

    async def delete_all(self, voter: str) -> int:
        """Delete all votes that count, which `restore` undoes; return how many."""
        async with self._database.write() as transaction:
            rows = await transaction.rows(
                f"SELECT v.number {_COUNTED}",
                {"voter": voter},
            )
            now = self._clock()
            await transaction.run_each(
                "UPDATE vote SET deleted = ? WHERE number = ?", [(now, *row) for row in rows]
            )
        return len(rows)

    async def restore(self, voter: str) -> int:
        """Undo the voter's latest deletion; return how many votes count again."""
        async with self._database.write() as transaction:
            ((latest,),) = await transaction.rows(
                "SELECT max(deleted) FROM vote WHERE voter = ?", (voter,)
            )
            where = "WHERE voter = ? AND deleted = ?"
            ((votes,),) = await transaction.rows(
                f"SELECT count(*) FROM vote {where}",  # noqa: S608 - our own names
                (voter, latest),
            )
            await transaction.run(
                f"UPDATE vote SET deleted = NULL {where}",  # noqa: S608 - our own names
                (voter, latest),
            )
        return int(votes)

    async def take_over(self, voter: str, earlier: Sequence[EarlierVote]) -> int:
        """Store votes that a browser kept, each id once; return how many are new.

        Raises `Contradiction` or `ConversationLimit`.
        """
        for number, vote in enumerate(earlier):
            if (vote.verdict == "better") != any(one.won for one in vote.candidates):
                raise Contradiction(
                    "a candidate `won` if the verdict is `better`, and only then"
                    f" - at `$.votes[{number}].candidates`"
                )
        now = self._clock()
        count = "SELECT count(*) FROM vote WHERE voter = ? AND conversation IS NULL"
        async with self._database.write() as transaction:
            ((before,),) = await transaction.rows(count, (voter,))
            await transaction.run_each(
                f"{_INSERT} ON CONFLICT (voter, id) DO NOTHING",
                [
                    (
                        vote.id,
                        voter,
                        None,
                        None,
                        vote.verdict,
                        _candidates_json(vote.candidates),
                        vote.blind,
                        now,
                    )
                    for vote in earlier
                ],
            )
            ((after,),) = await transaction.rows(count, (voter,))
            if after > MAX_EARLIER:
                raise ConversationLimit(
                    f"{MAX_EARLIER:,} votes without a conversation are stored, and no more"
                )
        return int(after - before)


def candidates_of(
    vote: Vote, whose: dict[str, tuple[str, str | None]], columns: Iterable[Column]
) -> list[VoteCandidate]:
    """Return what a vote compared; `whose` has the model and the column of each answer."""
    own = {column.id: column for column in columns}
    candidates = []
    for answer in vote.among:
        model, place = whose[answer]
        column = own.get(place or "")
        system = None if column is None else column.system
        candidates.append(
            VoteCandidate(
                model,
                answer,
                place,
                {} if column is None else column.parameters,
                None if system is None else system[:MAX_VOTE_SYSTEM],
                answer in vote.winners,
            )
        )
    return candidates


async def insert_votes(
    transaction: Transaction, voter: str, number: int, conversation: Conversation
) -> None:
    """Write the votes of an imported conversation as this voter's: one a turn, the latest."""
    whose = {answer.id: (answer.model, answer.column) for answer in conversation.answers}
    found = {
        turn.id: (turn.vote, candidates_of(turn.vote, whose, conversation.columns))
        for turn in conversation.turns
        if turn.vote is not None
    }
    for vote in sorted(conversation.votes, key=lambda vote: vote.created):
        if vote.turn is not None:
            known = vote.candidates or candidates_of(vote, whose, conversation.columns)
            found[vote.turn] = vote, known
    await transaction.run_each(
        _INSERT,
        [
            _row(_new_id(), voter, number, turn, vote, candidates)
            for turn, (vote, candidates) in found.items()
        ],
    )


async def remove_deleted(transaction: Transaction, before: float) -> None:
    """Remove votes that were deleted before that time."""
    await transaction.run("DELETE FROM vote WHERE deleted <= ?", (before,))


async def _find_turn(transaction: Transaction, voter: str, conversation_id: str, turn: str) -> Head:
    head = await find_head(transaction, voter, conversation_id)
    if not await transaction.row(
        "SELECT 1 FROM turn WHERE conversation = ? AND id = ?", (head.number, turn)
    ):
        raise UnknownConversation(f"the conversation has no turn {turn[:80]!r}")
    return head


async def _vote_on(transaction: Transaction, voter: str, number: int, turn: str) -> Vote | None:
    row = await transaction.row(
        f"SELECT {VOTE} {_COUNTED} AND c.number = :number AND v.turn = :turn",
        {"voter": voter, "number": number, "turn": turn},
    )
    return None if row is None else vote_alone(read_vote(row))


def _new_id() -> str:
    return f"v_{secrets.token_hex(8)}"


def _row(
    vote_id: str,
    voter: str,
    number: int,
    turn: str,
    vote: Vote,
    candidates: Sequence[VoteCandidate],
) -> tuple[Any, ...]:
    return (
        vote_id,
        voter,
        number,
        turn,
        vote.verdict,
        _candidates_json(candidates),
        vote.blind,
        vote.created,
    )


def _candidates_json(candidates: Sequence[VoteCandidate]) -> str:
    # Sorted, so that equal parameters are added up in whatever order they were set.
    return msgspec.json.encode(candidates, order="sorted").decode()


def _score(row: Row) -> Score:
    model, parameters, system, rounds, wins, ties, bad = row
    return Score(
        model, msgspec.json.decode(parameters), system, rounds, int(wins), int(ties), int(bad)
    )
