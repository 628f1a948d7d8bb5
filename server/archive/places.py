"""Where answers that are asked for belong in a conversation: looked up, then begun.

Looking reads the database and may wait; beginning only adds to what the recorder stores next, so
that nothing comes between the start of the answers and the beginning of their record.
"""

import secrets
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any

from server.archive.database import Transaction
from server.archive.following import Facts, Following, NewTurn, digest_of
from server.archive.reading import Head
from server.archive.recorder import Followed, Recorder
from server.archive.shapes import Asked
from server.archive.writing import Numbers
from server.core.errors import Contradiction
from server.core.generation import Generation
from server.core.protocol import Record, Target


@dataclass(frozen=True)
class Place:
    """A turn in a conversation, and where each of the answers stands in it."""

    conversation: int
    record: Record
    targets: Sequence[Target]


@dataclass(frozen=True)
class Begun:
    """An answer that has begun: its log, and what it is the answer to."""

    generation: Generation
    parameters: dict[str, Any]
    asked: Sequence[Asked]


async def find_place(
    transaction: Transaction,
    head: Head,
    record: Record,
    targets: Sequence[Target],
    followed: Container[Followed],
) -> Place:
    """Look whether all that is named is there, or followed; raises `Contradiction`."""
    columns = {column.id for column in head.columns}
    for number, target in enumerate(targets):
        if target.column is not None and target.column not in columns:
            raise Contradiction(
                f"the conversation has no column {target.column!r} - at"
                f" `$.targets[{number}].column`"
            )
    # What is looked for, where it stands in the command, in which table.
    answers = [(record.history, "$.record.history")]
    answers += [(t.continues, f"$.targets[{n}].continues") for n, t in enumerate(targets)]
    for answer_id, place in answers:
        if answer_id is None or ("answer", head.number, answer_id) in followed:
            continue
        if not await _is_there(transaction, "answer", head.number, answer_id):
            raise Contradiction(f"the conversation has no answer {answer_id!r} - at `{place}`")
    parent = record.parent
    if (
        parent is not None
        and ("turn", head.number, parent) not in followed
        and not await _is_there(transaction, "turn", head.number, parent)
    ):
        raise Contradiction(f"the conversation has no turn {parent!r} - at `$.record.parent`")
    if parent == record.turn:
        raise Contradiction("a turn is not its own parent - at `$.record.parent`")
    return Place(head.number, record, targets)


def begin(
    place: Place,
    answers: Sequence[Begun],
    recorder: Recorder,
    numbers: Numbers,
    now: float,
) -> list[str]:
    """Have answers stored from now on; return their ids, in the order of the targets."""
    record = place.record
    ids: list[str] = []
    for target, answer in zip(place.targets, answers, strict=True):
        # What is asked is the last thing said; an answer that is gone on with stands behind it.
        texts = [asked.content for asked in answer.asked if asked.role in {"user", "prompt"}]
        following = Following(
            number=next(numbers.answer),
            conversation=place.conversation,
            answer_id=f"a_{secrets.token_hex(8)}",
            turn=NewTurn(record.turn, record.parent, record.history, texts[-1] if texts else ""),
            turn_number=next(numbers.turn),
            column=target.column,
            created=now,
            generation=answer.generation,
            facts=Facts(
                parameters=answer.parameters,
                continues=target.continues,
                repeats=target.repeats,
                asked=[digest_of(asked) for asked in answer.asked],
            ),
            asked=answer.asked,
            keeps_tokens=answer.generation.keeps_tokens,
        )
        recorder.follow(following)
        ids.append(following.answer_id)
    return ids


async def _is_there(transaction: Transaction, table: str, conversation: int, name: str) -> bool:
    row = await transaction.row(
        f"SELECT 1 FROM {table} WHERE conversation = ? AND id = ?",  # noqa: S608 - our own names
        (conversation, name),
    )
    return row is not None
