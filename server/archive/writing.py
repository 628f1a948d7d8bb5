"""All writes except those of streaming answers; each function runs within a transaction."""

from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any, Final

import msgspec

from server.archive.answer_writer import (
    AnswerMetadata,
    digest_of,
    index_answers,
    insert_messages,
    to_json,
)
from server.archive.attachments import remove_linked_attachments
from server.archive.content import divide
from server.archive.reading import read_piece
from server.archive.schema import KINDS, search_number
from server.archive.shapes import Conversation, StoredAnswer
from server.core.protocol import Usage
from server.storage.database import Transaction

_INSERT_CONVERSATION: Final = (
    "INSERT INTO conversation"
    " (number, id, owner, title, created, updated, columns, view, size, pinned, deleted)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


class Numbers:
    """Number new rows; possible in memory, as nobody else writes to the file."""

    def __init__(self, conversation: int, turn: int, answer: int) -> None:
        self.conversation = count(conversation)
        self.turn = count(turn)
        self.answer = count(answer)

    @classmethod
    async def read(cls, transaction: Transaction) -> "Numbers":
        """Continue after the highest numbers in the file."""
        ((conversation, turn, answer),) = await transaction.rows(
            "SELECT (SELECT coalesce(max(number), 0) + 1 FROM conversation),"
            " (SELECT coalesce(max(number), 0) + 1 FROM turn),"
            " (SELECT coalesce(max(number), 0) + 1 FROM answer)"
        )
        return cls(conversation, turn, answer)


async def mark_interrupted(transaction: Transaction) -> int:
    """End the answers that the last gateway left unfinished; return how many there were."""
    rows = await transaction.rows("SELECT number, text, facts FROM answer WHERE state != 'ended'")
    for number, text, facts in rows:
        pieces = await transaction.rows(
            "SELECT seq, text, kind, call FROM piece WHERE answer = ? ORDER BY seq", (number,)
        )
        seq = pieces[-1][0] if pieces else 0
        content = divide(read_piece(row[1:]) for row in pieces)
        whole = text + content.text
        known = msgspec.json.decode(facts, type=AnswerMetadata)
        known.usage = Usage(None, seq, estimated=True)
        known.tool_calls = content.tool_calls
        await transaction.run(
            "UPDATE answer SET state = 'ended', finish_reason = 'interrupted', seq = ?, text = ?,"
            " reasoning = ?, facts = ? WHERE number = ?",
            (seq, whole, content.reasoning, to_json(known), number),
        )
        await transaction.run("DELETE FROM piece WHERE answer = ?", (number,))
        await index_answers(transaction, [(number, whole, content.reasoning)])
    return len(rows)


async def insert_conversation(
    transaction: Transaction, numbers: Numbers, owner: str, conversation: Conversation
) -> int:
    """Write a whole conversation; return its number."""
    number = next(numbers.conversation)
    await transaction.run(
        _INSERT_CONVERSATION,
        (
            number,
            conversation.id,
            owner,
            conversation.title,
            conversation.created,
            conversation.updated,
            to_json(conversation.columns),
            to_json(conversation.view),
            size_of(conversation),
            conversation.pinned,
            conversation.deleted,
        ),
    )
    await set_tags(transaction, number, conversation.tags)
    turns = [(next(numbers.turn), turn) for turn in conversation.turns]
    await transaction.run_each(
        "INSERT INTO turn (number, conversation, id, parent, history, text, created, attachments)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                row,
                number,
                turn.id,
                turn.parent,
                turn.history,
                turn.text,
                turn.created,
                to_json(turn.attachments) if turn.attachments else None,
            )
            for row, turn in turns
        ],
    )
    digests = [digest_of(asked) for asked in conversation.messages]
    await insert_messages(transaction, number, digests, conversation.messages)
    answers = [(next(numbers.answer), answer) for answer in conversation.answers]
    await transaction.run_each(
        "INSERT INTO answer (number, conversation, id, turn, place, model, created, state, seq,"
        " text, reasoning, finish_reason, facts)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, 'ended', ?, ?, ?, ?, ?)",
        [(row, number, *_answer_values(answer, digests)) for row, answer in answers],
    )
    await transaction.run_each(
        "INSERT INTO tokens (answer, tokens) VALUES (?, ?)",
        [(row, to_json(answer.tokens)) for row, answer in answers if answer.tokens],
    )
    passages = [(search_number("title", number), conversation.title)] if conversation.title else []
    passages += [(search_number("turn", row), turn.text) for row, turn in turns]
    await _index(transaction, passages)
    await index_answers(
        transaction, [(row, answer.text, answer.reasoning) for row, answer in answers]
    )
    return number


def size_of(conversation: Conversation) -> int:
    """Return how many characters prompts, answers and messages have: the size that is limited."""
    texts = [turn.text for turn in conversation.turns]
    for answer in conversation.answers:
        texts += [answer.text, answer.reasoning]
        texts += [call.name + call.arguments for call in answer.tool_calls]
    return sum(map(len, texts)) + sum(asked.size for asked in conversation.messages)


async def update_conversation(transaction: Transaction, number: int, **values: Any) -> None:
    """Set columns of a conversation's row, and update the search index with a new title."""
    names = ", ".join(f"{name} = ?" for name in values)
    await transaction.run(
        f"UPDATE conversation SET {names} WHERE number = ?",  # noqa: S608 - our own names
        [*values.values(), number],
    )
    if "title" in values:
        row = search_number("title", number)
        await transaction.run("DELETE FROM search WHERE rowid = ?", (row,))
        await _index(transaction, [(row, values["title"])])


async def set_tags(transaction: Transaction, number: int, tags: Iterable[str]) -> None:
    """Give a conversation these tags and no other."""
    await transaction.run("DELETE FROM tag WHERE conversation = ?", (number,))
    await transaction.run_each(
        "INSERT OR IGNORE INTO tag (conversation, name) VALUES (?, ?)",
        [(number, tag) for tag in tags],
    )


async def remove_conversation(transaction: Transaction, number: int, now: float) -> None:
    """Remove a conversation with everything that belongs to it, but files that were used lately."""
    for kind in KINDS[1:]:
        await transaction.run(
            f"DELETE FROM search WHERE rowid IN"  # noqa: S608 - our own names
            f" (SELECT number * {len(KINDS)} + {KINDS.index(kind)} FROM {kind}"
            f" WHERE conversation = ?)",
            (number,),
        )
    await transaction.run("DELETE FROM search WHERE rowid = ?", (search_number("title", number),))
    await transaction.run(
        "DELETE FROM search_reasoning WHERE rowid IN"
        " (SELECT number FROM answer WHERE conversation = ?)",
        (number,),
    )
    await remove_linked_attachments(transaction, number, now)
    await transaction.run("DELETE FROM conversation WHERE number = ?", (number,))


async def _index(transaction: Transaction, passages: Sequence[tuple[int, str]]) -> None:
    await transaction.run_each("INSERT INTO search (rowid, text) VALUES (?, words_of(?))", passages)


def _answer_values(answer: StoredAnswer, digests: Sequence[str]) -> tuple[Any, ...]:
    metadata = AnswerMetadata(
        parameters=answer.parameters,
        chosen=answer.chosen,
        continues=answer.continues,
        repeats=answer.repeats,
        asked=[digests[place] for place in answer.asked],
        error=answer.error,
        usage=answer.usage,
        timings=answer.timings,
        cached=answer.cached,
        notices=answer.notices,
        details=answer.details,
        answered_by=answer.answered_by,
        cost=answer.cost,
        engine=answer.engine,
        tool_calls=answer.tool_calls,
    )
    seq = answer.usage.completion_tokens if answer.usage is not None else 0
    # An answer that was unfinished when it was exported never ends here.
    reason = answer.finish_reason or "interrupted"
    return (
        answer.id,
        answer.turn,
        answer.column,
        answer.model,
        answer.created,
        seq,
        answer.text,
        answer.reasoning,
        reason,
        to_json(metadata),
    )
