"""What the database holds, read back: one conversation, many of them, and what a search finds.

Whatever is typed into a search is words: each is quoted, so that nothing of it can be taken for an
operator of the search language.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from server.archive.database import Row, Transaction
from server.archive.following import Facts
from server.archive.shapes import (
    Answer,
    Asked,
    Column,
    Conversation,
    Listing,
    Piece,
    Summary,
    Turn,
    Vote,
)
from server.core.errors import UnknownConversation
from server.core.protocol import TokenInfo

_columns = msgspec.json.Decoder(list[Column])
_view = msgspec.json.Decoder(dict[str, Any])
_vote = msgspec.json.Decoder(Vote)
_facts = msgspec.json.Decoder(Facts)
_tokens = msgspec.json.Decoder(list[TokenInfo])

_HEAD: Final = "number, id, title, created, updated, deleted, columns, view, size"
# Around what was found, in what SQLite returns; no text means anything by them.
_OPEN, _CLOSE = "\x02", "\x03"
_SNIPPET_WORDS: Final = 24

# Which conversations have a text with the words, and the first such text of each.
_FOUND: Final = """
SELECT conversation, min(hit) AS hit FROM (
    SELECT rowid / 3 AS conversation, rowid AS hit FROM search WHERE search MATCH :words
        AND rowid % 3 = 0
    UNION ALL SELECT turn.conversation, search.rowid FROM search
        JOIN turn ON turn.number = search.rowid / 3
        WHERE search MATCH :words AND search.rowid % 3 = 1
    UNION ALL SELECT answer.conversation, search.rowid FROM search
        JOIN answer ON answer.number = search.rowid / 3
        WHERE search MATCH :words AND search.rowid % 3 = 2
) GROUP BY conversation
"""
_SUMMARY: Final = """
SELECT c.number, c.id, c.title, c.created, c.updated, c.deleted,
    (SELECT count(*) FROM turn WHERE conversation = c.number),
    (SELECT json_group_array(DISTINCT model) FROM answer WHERE conversation = c.number)
"""


@dataclass(frozen=True)
class Head:
    """A conversation's own row."""

    number: int
    id: str
    title: str
    created: float
    updated: float
    deleted: float | None
    columns: list[Column]
    view: dict[str, Any]
    size: int


async def find_head(
    transaction: Transaction, owner: str, conversation_id: str, *, with_deleted: bool = False
) -> Head:
    """Return the owner's conversation; raises `UnknownConversation`."""
    row = await transaction.row(
        f"SELECT {_HEAD} FROM conversation WHERE id = ? AND owner = ?",  # noqa: S608 - our own
        (conversation_id, owner),
    )
    if row is None or (row[5] is not None and not with_deleted):
        raise UnknownConversation(f"there is no conversation {conversation_id[:80]!r}")
    number, name, title, created, updated, deleted, columns, view, size = row
    return Head(
        number,
        name,
        title,
        created,
        updated,
        deleted,
        _columns.decode(columns),
        _view.decode(view),
        size,
    )


async def load(transaction: Transaction, head: Head, *, is_full: bool) -> Conversation:
    """Return a whole conversation; with what was asked and the tokens only if `is_full`."""
    place = (head.number,)
    turns = await transaction.rows(
        "SELECT id, parent, text, created, history, vote FROM turn"
        " WHERE conversation = ? ORDER BY number",
        place,
    )
    answers = await transaction.rows(
        "SELECT number, id, turn, place, model, created, state, text, finish_reason, facts,"
        " EXISTS (SELECT 1 FROM tokens WHERE answer = answer.number)"
        " FROM answer WHERE conversation = ? ORDER BY number",
        place,
    )
    pieces: dict[int, list[str]] = defaultdict(list)
    for number, text in await transaction.rows(
        "SELECT answer, piece.text FROM piece JOIN answer ON answer.number = piece.answer"
        " WHERE conversation = ? ORDER BY answer, piece.seq",
        place,
    ):
        pieces[number].append(text)
    messages: list[Row] = []
    tokens: dict[int, str] = {}
    if is_full:
        messages = await transaction.rows(
            "SELECT digest, role, content FROM message WHERE conversation = ? ORDER BY number",
            place,
        )
        found = await transaction.rows(
            "SELECT answer, tokens FROM tokens JOIN answer ON answer.number = tokens.answer"
            " WHERE conversation = ?",
            place,
        )
        tokens = dict(found)
    places = {row[0]: index for index, row in enumerate(messages)}
    return Conversation(
        id=head.id,
        title=head.title,
        created=head.created,
        updated=head.updated,
        deleted=head.deleted,
        columns=head.columns,
        view=head.view,
        turns=[_turn(row) for row in turns],
        answers=[_answer(row, pieces[row[0]], places, tokens.get(row[0])) for row in answers],
        messages=[Asked(role, content) for _, role, content in messages],
    )


async def load_tokens(transaction: Transaction, head: Head, answer_id: str) -> list[TokenInfo]:
    """Return what an answer was written in; raises `UnknownConversation` if there is no such."""
    row = await transaction.row(
        "SELECT tokens FROM answer LEFT JOIN tokens ON tokens.answer = answer.number"
        " WHERE conversation = ? AND id = ?",
        (head.number, answer_id),
    )
    if row is None:
        raise UnknownConversation(f"the conversation has no answer {answer_id[:80]!r}")
    return _tokens.decode(row[0]) if row[0] is not None else []


async def summarise(transaction: Transaction, number: int) -> Summary:
    """Return a conversation as a list shows it."""
    (row,) = await transaction.rows(
        f"{_SUMMARY} FROM conversation AS c WHERE number = ?", (number,)
    )
    return _summary(row)


async def list_some(
    transaction: Transaction,
    owner: str,
    *,
    words: str,
    deleted: bool,
    before: str,
    limit: int,
) -> Listing:
    """Return conversations of one owner, last changed first, those with all words if there are any.

    `before` is a `next` that was returned, or empty.
    """
    query = search_query(words)
    if words.strip() and not query:
        return Listing([], None)
    values: dict[str, Any] = {"owner": owner, "words": query, "limit": limit + 1}
    where = f"c.owner = :owner AND c.deleted IS {'NOT NULL' if deleted else 'NULL'}"
    if before:
        values["updated"], values["number"] = _read_cursor(before)
        where += " AND (c.updated, c.number) < (:updated, :number)"
    found = f"JOIN ({_FOUND}) AS f ON f.conversation = c.number" if query else ""
    hit = ", f.hit" if query else ", NULL"
    rows = await transaction.rows(
        f"{_SUMMARY}{hit} FROM conversation AS c {found} WHERE {where}"
        " ORDER BY c.updated DESC, c.number DESC LIMIT :limit",
        values,
    )
    shown = rows[:limit]
    last = shown[-1] if len(rows) > limit else None
    return Listing(
        [_summary(row, await _snippet(transaction, query, row[8])) for row in shown],
        f"{last[4]!r}:{last[0]}" if last is not None else None,
    )


def search_query(words: str) -> str:
    """Write words in FTS5's language: each quoted, each the beginning of a word, all wanted."""
    quoted = [
        '"' + word.replace('"', '""') + '"*'
        for word in words.replace("\0", " ").split()
        if any(character.isalnum() for character in word)
    ]
    return " ".join(quoted)


async def _snippet(transaction: Transaction, query: str, hit: int | None) -> list[Piece]:
    if hit is None:
        return []
    row = await transaction.row(
        "SELECT snippet(search, 0, ?, ?, '…', ?) FROM search WHERE search MATCH ? AND rowid = ?",
        (_OPEN, _CLOSE, _SNIPPET_WORDS, query, hit),
    )
    pieces: list[Piece] = []
    for part in (row[0] if row is not None else "").split(_OPEN):
        found, closed, rest = part.partition(_CLOSE)
        pieces += (
            [Piece(found, hit=True), Piece(rest, hit=False)] if closed else [Piece(part, False)]
        )
    return [piece for piece in pieces if piece.text]


def _read_cursor(before: str) -> tuple[float, int]:
    updated, _, number = before.partition(":")
    return float(updated), int(number)


def _summary(row: Row, found: list[Piece] | None = None) -> Summary:
    _, conversation_id, title, created, updated, deleted, turns, models = row[:8]
    names = msgspec.json.decode(models, type=list[str])
    return Summary(
        conversation_id, title, created, updated, deleted, turns, sorted(names), found or []
    )


def _turn(row: Row) -> Turn:
    turn_id, parent, text, created, history, vote = row
    given = None if vote is None else _vote.decode(vote)
    return Turn(turn_id, parent, text, created, history, given)


def _answer(row: Row, pieces: list[str], places: dict[str, int], tokens: str | None) -> Answer:
    _, answer_id, turn, column, model, created, state, text, finish_reason, facts, has_tokens = row
    known = _facts.decode(facts)
    return Answer(
        id=answer_id,
        turn=turn,
        column=column,
        model=model,
        created=created,
        state=state,
        text=text + "".join(pieces),
        parameters=known.parameters,
        continues=known.continues,
        repeats=known.repeats,
        finish_reason=finish_reason,
        error=known.error,
        usage=known.usage,
        timings=known.timings,
        cached=known.cached,
        notices=known.notices,
        details=known.details,
        answered_by=known.answered_by,
        cost=known.cost,
        engine=known.engine,
        asked=[places[digest] for digest in known.asked] if places else [],
        has_tokens=bool(has_tokens),
        tokens=_tokens.decode(tokens) if tokens is not None else [],
    )
