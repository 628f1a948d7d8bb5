"""Votes of a voter as rounds for a leaderboard: what was compared, and whether blind."""

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from server.archive.shapes import VoteCandidate
from server.storage.database import Row, Transaction

_ROUNDS: Final = """
SELECT v.id, coalesce(c.id, ''), coalesce(v.turn, v.id), v.blind, v.candidates
FROM vote AS v LEFT JOIN conversation AS c ON c.number = v.conversation
WHERE v.voter = :voter AND v.deleted IS NULL AND c.deleted IS NULL
"""
_TAGGED: Final = " AND c.number IN (SELECT conversation FROM tag WHERE name = :tag)"

_candidates = msgspec.json.Decoder(list[VoteCandidate])


@dataclass(frozen=True)
class ChatRound:
    """A vote on a turn of a chat; `turn` is the same for all votes on the same answers."""

    turn: str
    conversation: str
    blind: bool
    candidates: list[VoteCandidate]


async def read_rounds(transaction: Transaction, voter: str, tag: str, limit: int) -> list[Row]:
    """Return the rows of a voter's latest votes, of chats with a tag if one is named."""
    where = _TAGGED if tag else ""
    values: dict[str, Any] = {"voter": voter, "tag": tag, "limit": limit}
    if not tag:
        del values["tag"]
    return await transaction.rows(
        f"{_ROUNDS}{where} ORDER BY v.created DESC, v.number DESC LIMIT :limit", values
    )


def rounds_of(rows: list[Row]) -> list[ChatRound]:
    """Return what rows have; some tenths of a second for many: call it in a thread."""
    return [
        ChatRound(f"{conversation}/{turn}", conversation, bool(blind), _candidates.decode(text))
        for _, conversation, turn, blind, text in rows
    ]
