"""What changes in the database beside answers that stream: each function within a transaction."""

from collections.abc import Sequence
from itertools import count
from typing import Any, Final

import msgspec

from server.archive.database import Transaction
from server.archive.following import Facts, digest_of, json_of, title_of
from server.archive.schema import KINDS, search_number
from server.archive.shapes import Answer, Conversation
from server.core.protocol import Usage

_INSERT_CONVERSATION: Final = (
    "INSERT INTO conversation (number, id, owner, title, created, updated, columns, view, size)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


class Numbers:
    """Give each new row a number: nobody else writes to the file."""

    def __init__(self, conversation: int, turn: int, answer: int) -> None:
        self.conversation = count(conversation)
        self.turn = count(turn)
        self.answer = count(answer)

    @classmethod
    async def read(cls, transaction: Transaction) -> "Numbers":
        """Go on after the numbers that are taken."""
        ((conversation, turn, answer),) = await transaction.rows(
            "SELECT (SELECT coalesce(max(number), 0) + 1 FROM conversation),"
            " (SELECT coalesce(max(number), 0) + 1 FROM turn),"
            " (SELECT coalesce(max(number), 0) + 1 FROM answer)"
        )
        return cls(conversation, turn, answer)


async def mark_interrupted(transaction: Transaction) -> int:
    """Close what was under way when the last gateway ended; return how many answers that were."""
    rows = await transaction.rows("SELECT number, text, facts FROM answer WHERE state != 'ended'")
    for number, text, facts in rows:
        pieces = await transaction.rows(
            "SELECT seq, text FROM piece WHERE answer = ? ORDER BY seq", (number,)
        )
        seq = pieces[-1][0] if pieces else 0
        whole = text + "".join(piece for _, piece in pieces)
        known = msgspec.json.decode(facts, type=Facts)
        known.usage = Usage(None, seq, estimated=True)
        await transaction.run(
            "UPDATE answer SET state = 'ended', finish_reason = 'interrupted', seq = ?, text = ?,"
            " facts = ? WHERE number = ?",
            (seq, whole, json_of(known), number),
        )
        await transaction.run("DELETE FROM piece WHERE answer = ?", (number,))
        await _index(transaction, [(search_number("answer", number), whole)])
    return len(rows)


async def insert_conversation(
    transaction: Transaction, numbers: Numbers, owner: str, conversation: Conversation
) -> int:
    """Write a whole conversation; return its number."""
    number = next(numbers.conversation)
    title = conversation.title
    if not title and conversation.turns:
        title = title_of(conversation.turns[0].text)
    await transaction.run(
        _INSERT_CONVERSATION,
        (
            number,
            conversation.id,
            owner,
            title,
            conversation.created,
            conversation.updated,
            json_of(conversation.columns),
            json_of(conversation.view),
            size_of(conversation),
        ),
    )
    turns = [(next(numbers.turn), turn) for turn in conversation.turns]
    await transaction.run_each(
        "INSERT INTO turn (number, conversation, id, parent, history, text, created, vote)"
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
                None if turn.vote is None else json_of(turn.vote),
            )
            for row, turn in turns
        ],
    )
    digests = [digest_of(asked) for asked in conversation.messages]
    await transaction.run_each(
        "INSERT OR IGNORE INTO message (conversation, digest, role, content) VALUES (?, ?, ?, ?)",
        [
            (number, digest, asked.role, asked.content)
            for digest, asked in zip(digests, conversation.messages, strict=True)
        ],
    )
    answers = [(next(numbers.answer), answer) for answer in conversation.answers]
    await transaction.run_each(
        "INSERT INTO answer (number, conversation, id, turn, place, model, created, state, seq,"
        " text, finish_reason, facts) VALUES (?, ?, ?, ?, ?, ?, ?, 'ended', ?, ?, ?, ?)",
        [(row, number, *_answer_values(answer, digests)) for row, answer in answers],
    )
    await transaction.run_each(
        "INSERT INTO tokens (answer, tokens) VALUES (?, ?)",
        [(row, json_of(answer.tokens)) for row, answer in answers if answer.tokens],
    )
    passages = [(search_number("title", number), title)] if conversation.title else []
    passages += [(search_number("turn", row), turn.text) for row, turn in turns]
    passages += [(search_number("answer", row), answer.text) for row, answer in answers]
    await _index(transaction, passages)
    return number


def size_of(conversation: Conversation) -> int:
    """Return the characters of prompts, answers and what was asked: what bounds apply to."""
    texts = [turn.text for turn in conversation.turns]
    texts += [answer.text for answer in conversation.answers]
    texts += [asked.content for asked in conversation.messages]
    return sum(map(len, texts))


async def update_conversation(transaction: Transaction, number: int, **values: Any) -> None:
    """Set columns of a conversation's row; a title is found by it from then on."""
    names = ", ".join(f"{name} = ?" for name in values)
    await transaction.run(
        f"UPDATE conversation SET {names} WHERE number = ?",  # noqa: S608 - our own names
        [*values.values(), number],
    )
    if "title" in values:
        row = search_number("title", number)
        await transaction.run("DELETE FROM search WHERE rowid = ?", (row,))
        await _index(transaction, [(row, values["title"])])


async def remove_conversation(transaction: Transaction, number: int) -> None:
    """Delete a conversation with all that belongs to it, for good."""
    for kind in KINDS[1:]:
        await transaction.run(
            f"DELETE FROM search WHERE rowid IN"  # noqa: S608 - our own names
            f" (SELECT number * {len(KINDS)} + {KINDS.index(kind)} FROM {kind}"
            f" WHERE conversation = ?)",
            (number,),
        )
    await transaction.run("DELETE FROM search WHERE rowid = ?", (search_number("title", number),))
    await transaction.run("DELETE FROM conversation WHERE number = ?", (number,))


async def _index(transaction: Transaction, passages: Sequence[tuple[int, str]]) -> None:
    await transaction.run_each("INSERT INTO search (rowid, text) VALUES (?, ?)", passages)


def _answer_values(answer: Answer, digests: Sequence[str]) -> tuple[Any, ...]:
    facts = Facts(
        parameters=answer.parameters,
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
    )
    seq = answer.usage.completion_tokens if answer.usage is not None else 0
    # What was under way when it was exported never came to its end here.
    reason = answer.finish_reason or "interrupted"
    return (
        answer.id,
        answer.turn,
        answer.column,
        answer.model,
        answer.created,
        seq,
        answer.text,
        reason,
        json_of(facts),
    )
