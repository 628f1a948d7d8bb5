"""Read conversations from the database: one, a list, or the results of a search."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import msgspec

from server.archive.answer_writer import AnswerMetadata
from server.archive.attachments import load_attachments
from server.archive.content import AnswerPiece, divide
from server.archive.excerpts import Search
from server.archive.schema import KINDS
from server.archive.shapes import (
    Asked,
    AskedCall,
    Column,
    Conversation,
    Listing,
    Place,
    StoredAnswer,
    StoredAttachment,
    StoredVote,
    Summary,
    TagCount,
    Turn,
    Vote,
    VoteCandidate,
)
from server.core.errors import UnknownConversation
from server.core.protocol import ContentPart, FilePart, ImagePart, TokenInfo, ToolCall
from server.storage.database import Row, Transaction

_columns = msgspec.json.Decoder(list[Column])
_view = msgspec.json.Decoder(dict[str, Any])
_candidates = msgspec.json.Decoder(list[VoteCandidate])
_attached = msgspec.json.Decoder(list[ImagePart | FilePart])
_parts = msgspec.json.Decoder(list[ContentPart])
_metadata = msgspec.json.Decoder(AnswerMetadata)
_tokens = msgspec.json.Decoder(list[TokenInfo])
_asked_calls = msgspec.json.Decoder(list[AskedCall])
_call = msgspec.json.Decoder(ToolCall)
_names = msgspec.json.Decoder(list[str])

VOTE: Final = "v.id, v.voter, c.id, v.turn, v.verdict, v.candidates, v.blind, v.created"
"""What `read_vote` reads, of `vote AS v` and its `conversation AS c`."""

_HEAD: Final = "number, owner, id, title, created, updated, deleted, columns, view, size, pinned"

# The conversations in which a text has all the words, with the first such text of each: a prompt or
# an answer, else thinking, else the title, which is shown anyway. SQLite would look for answers in
# their table, whose rows have texts.
_FOUND: Final = """
WITH hit AS MATERIALIZED (SELECT rowid AS row FROM search WHERE search MATCH :words)
SELECT conversation, min(hit) AS hit FROM (
    SELECT turn.conversation, hit.row AS hit FROM hit
        JOIN turn ON turn.number = hit.row / 3 WHERE hit.row % 3 = 1
    UNION ALL SELECT answer.conversation, hit.row FROM hit
        JOIN answer INDEXED BY answer_of ON answer.number = hit.row / 3 WHERE hit.row % 3 = 2
    UNION ALL SELECT hit.row / 3, :in_title + hit.row FROM hit WHERE hit.row % 3 = 0
    {more}
) GROUP BY conversation
"""
# Above every row of `search`, so that other hits come first.
_HIT_IN_REASONING: Final = 1 << 60
_HIT_IN_TITLE: Final = 1 << 61
_FOUND_REASONING: Final = """
    UNION ALL SELECT answer.conversation, :in_reasoning + search_reasoning.rowid
        FROM search_reasoning
        JOIN answer ON answer.number = search_reasoning.rowid
        WHERE search_reasoning MATCH :words
"""
_ANSWER: Final = (
    "SELECT number, id, turn, place, model, created, state, text, reasoning, finish_reason, facts,"
    " EXISTS (SELECT 1 FROM tokens WHERE answer = answer.number) FROM answer"
)
"""What `_answer` reads."""
_SUMMARY: Final = """
SELECT c.number, c.id, c.title, c.created, c.updated, c.deleted,
    (SELECT count(*) FROM turn WHERE conversation = c.number),
    (SELECT json_group_array(DISTINCT model) FROM answer WHERE conversation = c.number),
    c.pinned,
    (SELECT json_group_array(name) FROM tag WHERE conversation = c.number),
    (SELECT count(*) FROM answer WHERE conversation = c.number AND state != 'ended')
"""


@dataclass(frozen=True)
class Head:
    """The row of a conversation."""

    number: int
    owner: str
    id: str
    title: str
    created: float
    updated: float
    deleted: float | None
    columns: list[Column]
    view: dict[str, Any]
    size: int
    pinned: bool


async def find_head(
    transaction: Transaction, owner: str, conversation_id: str, *, with_deleted: bool = False
) -> Head:
    """Return the owner's conversation; raises `UnknownConversation`."""
    row = await transaction.row(
        f"SELECT {_HEAD} FROM conversation WHERE id = ? AND owner = ?",  # noqa: S608 - our own
        (conversation_id, owner),
    )
    if row is None or (row[6] is not None and not with_deleted):
        raise UnknownConversation(f"there is no conversation {conversation_id[:80]!r}")
    number, _, name, title, created, updated, deleted, columns, view, size, pinned = row
    return Head(
        number,
        owner,
        name,
        title,
        created,
        updated,
        deleted,
        _columns.decode(columns),
        _view.decode(view),
        size,
        bool(pinned),
    )


async def load(transaction: Transaction, head: Head, *, is_full: bool) -> Conversation:
    """Return a whole conversation; with messages and tokens only if `is_full`."""
    place = (head.number,)
    turns = await transaction.rows(
        "SELECT id, parent, text, created, history, attachments FROM turn"
        " WHERE conversation = ? ORDER BY number",
        place,
    )
    votes = [
        read_vote(row)
        for row in await transaction.rows(
            f"SELECT {VOTE} FROM vote AS v"  # noqa: S608 - our own names
            " JOIN conversation AS c ON c.number = v.conversation"
            " WHERE c.number = ? AND v.deleted IS NULL ORDER BY v.number",
            place,
        )
    ]
    own = {vote.turn: vote_alone(vote) for vote in votes if vote.voter == head.owner}
    answers = await transaction.rows(f"{_ANSWER} WHERE conversation = ? ORDER BY number", place)
    pieces: dict[int, list[AnswerPiece]] = defaultdict(list)
    for number, *piece in await transaction.rows(
        "SELECT answer, piece.text, kind, call FROM piece"
        " JOIN answer ON answer.number = piece.answer"
        " WHERE conversation = ? ORDER BY answer, piece.seq",
        place,
    ):
        pieces[number].append(read_piece(piece))
    messages: list[Row] = []
    tokens: dict[int, str] = {}
    if is_full:
        messages = await transaction.rows(
            "SELECT digest, role, content, parts, tool_calls, tool_call_id FROM message"
            " WHERE conversation = ? ORDER BY number",
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
        turns=[_turn(row, own.get(row[0])) for row in turns],
        answers=[_answer(row, pieces[row[0]], places, tokens.get(row[0])) for row in answers],
        messages=[_asked(row) for row in messages],
        attachments=[
            StoredAttachment(**msgspec.structs.asdict(one))
            for one in await load_attachments(transaction, head.number)
        ],
        votes=votes,
        pinned=head.pinned,
        tags=await load_tags(transaction, head.number),
    )


async def load_repeated(transaction: Transaction, head: Head, request: str) -> list[StoredAnswer]:
    """Return the answers to the command of that `request_id`, in the order of its targets.

    The text of one that is under way is left out.
    """
    rows = await transaction.rows(
        f"{_ANSWER} WHERE conversation = ? AND request = ? ORDER BY number", (head.number, request)
    )
    return [_answer(row, [], {}, None) for row in rows]


async def load_tags(transaction: Transaction, number: int) -> list[str]:
    """Return the tags of a conversation, by name."""
    rows = await transaction.rows(
        "SELECT name FROM tag WHERE conversation = ? ORDER BY name", (number,)
    )
    return [name for (name,) in rows]


async def count_tags(transaction: Transaction, owner: str) -> list[TagCount]:
    """Return the tags of an owner's conversations, by name; deleted ones are not counted."""
    rows = await transaction.rows(
        "SELECT tag.name, count(*) FROM conversation AS c JOIN tag ON tag.conversation = c.number"
        " WHERE c.owner = ? AND c.deleted IS NULL GROUP BY tag.name ORDER BY tag.name",
        (owner,),
    )
    return [TagCount(*row) for row in rows]


def read_vote(row: Row) -> StoredVote:
    """Read what the columns `VOTE` have."""
    vote_id, voter, conversation, turn, verdict, candidates, blind, created = row
    compared = _candidates.decode(candidates)
    return StoredVote(
        id=vote_id,
        voter=voter,
        conversation=conversation,
        turn=turn,
        verdict=verdict,
        winners=[one.answer for one in compared if one.won and one.answer],
        among=[one.answer for one in compared if one.answer],
        blind=bool(blind),
        created=created,
        candidates=compared,
    )


def vote_alone(vote: StoredVote) -> Vote:
    """Return a vote without who gave it and what was compared."""
    return Vote(vote.verdict, vote.winners, vote.among, vote.blind, created=vote.created)


def read_piece(row: Sequence[Any]) -> AnswerPiece:
    """Read text, kind and call of a piece that is stored while the answer grows."""
    text, kind, call = row
    return AnswerPiece(text, kind, None if call is None else _call.decode(call))


async def load_tokens(transaction: Transaction, head: Head, answer_id: str) -> list[TokenInfo]:
    """Return the tokens of an answer; raises `UnknownConversation` if there is no such answer."""
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


class Wanted(NamedTuple):
    """Which conversations a list is to have."""

    words: str = ""
    with_reasoning: bool = False
    deleted: bool = False
    pinned: bool | None = None
    tag: str = ""
    before: str = ""
    limit: int = 50


async def list_conversations(transaction: Transaction, owner: str, wanted: Wanted) -> Listing:
    """Return conversations of one owner that have all the words, last changed first.

    Thinking is searched only `with_reasoning`. `before` is empty or the `next` of an earlier list.
    """
    search = Search(wanted.words)
    if wanted.words.strip() and not search.query:
        return Listing([], None)
    values: dict[str, Any] = {"owner": owner, "words": search.query, "limit": wanted.limit + 1}
    values |= {"in_reasoning": _HIT_IN_REASONING, "in_title": _HIT_IN_TITLE, "tag": wanted.tag}
    where = f"c.owner = :owner AND c.deleted IS {'NOT NULL' if wanted.deleted else 'NULL'}"
    if wanted.pinned is not None:
        where += f" AND c.pinned = {int(wanted.pinned)}"
    if wanted.tag:
        where += " AND c.number IN (SELECT conversation FROM tag WHERE name = :tag)"
    if wanted.before:
        values["updated"], values["number"] = read_cursor(wanted.before)
        where += " AND (c.updated, c.number) < (:updated, :number)"
    texts = _FOUND.format(more=_FOUND_REASONING if wanted.with_reasoning else "")
    found = f"JOIN ({texts}) AS f ON f.conversation = c.number" if search.query else ""
    hit = ", f.hit" if search.query else ", NULL"
    rows = await transaction.rows(
        f"{_SUMMARY}{hit} FROM conversation AS c {found} WHERE {where}"
        " ORDER BY c.updated DESC, c.number DESC LIMIT :limit",
        values,
    )
    shown = rows[: wanted.limit]
    last = shown[-1] if len(rows) > wanted.limit else None
    summaries = [_summary(row) for row in shown]
    if search.query:
        texts_found = [await _text_found(transaction, row) for row in shown]
        # In a thread: a text may be long, and its hit at the end.
        summaries = await asyncio.to_thread(_with_hits, summaries, texts_found, search)
    return Listing(summaries, f"{last[4]!r}:{last[0]}" if last is not None else None)


async def _text_found(transaction: Transaction, row: Row) -> tuple[str, Place]:
    """Return the text that a row's hit is in, and what it is."""
    hit: int = row[-1]
    if hit >= _HIT_IN_TITLE:
        return row[2], Place("title")
    if hit < _HIT_IN_REASONING and hit % 3 == KINDS.index("turn"):
        query, number = "SELECT text, id, NULL FROM turn WHERE number = ?", hit // 3
    elif hit < _HIT_IN_REASONING:
        query, number = "SELECT text, turn, id FROM answer WHERE number = ?", hit // 3
    else:
        query = "SELECT reasoning, turn, id FROM answer WHERE number = ?"
        number = hit - _HIT_IN_REASONING
    ((text, turn, answer),) = await transaction.rows(query, (number,))
    if answer is None:
        return text, Place("prompt", turn)
    return text, Place("answer" if hit < _HIT_IN_REASONING else "thinking", turn, answer)


def _with_hits(
    summaries: list[Summary], texts: list[tuple[str, Place]], search: Search
) -> list[Summary]:
    return [
        msgspec.structs.replace(
            summary,
            found=search.excerpt(text),
            found_in=place,
            found_title=search.mark(summary.title),
        )
        for summary, (text, place) in zip(summaries, texts, strict=True)
    ]


def read_cursor(before: str) -> tuple[float, int]:
    """Read the `next` of a list: a time and a number."""
    updated, _, number = before.partition(":")
    return float(updated), int(number)


def _summary(row: Row) -> Summary:
    _, conversation_id, title, created, updated, deleted, turns, models, *more = row
    pinned, tags, answering = more[:3]
    return Summary(
        conversation_id,
        title,
        created,
        updated,
        deleted,
        turns,
        sorted(_names.decode(models)),
        pinned=bool(pinned),
        tags=sorted(_names.decode(tags)),
        answering=answering,
    )


def _turn(row: Row, vote: Vote | None) -> Turn:
    turn_id, parent, text, created, history, attachments = row
    parts = [] if attachments is None else _attached.decode(attachments)
    return Turn(turn_id, parent, text, created, history, vote, parts)


def _asked(row: Row) -> Asked:
    _, role, text, parts, calls, call_id = row
    content = text if parts is None else _parts.decode(parts)
    return Asked(role, content, [] if calls is None else _asked_calls.decode(calls), call_id)


def _answer(
    row: Row, pieces: list[AnswerPiece], places: dict[str, int], tokens: str | None
) -> StoredAnswer:
    _, answer_id, turn, column, model, created, state, text, reasoning, *row_end = row
    finish_reason, facts, has_tokens = row_end
    known = _metadata.decode(facts)
    streaming = divide(pieces)
    return StoredAnswer(
        id=answer_id,
        turn=turn,
        column=column,
        model=model,
        created=created,
        state=state,
        text=text + streaming.text,
        parameters=known.parameters,
        chosen=known.chosen,
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
        reasoning=reasoning + streaming.reasoning,
        tool_calls=known.tool_calls or streaming.tool_calls,
    )
