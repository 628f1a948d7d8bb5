"""Find where new answers belong in a conversation, then start to store them.

`find_slot` reads the database and may wait. `record_answers` only adds writers to the recorder, so
that nothing can happen between the start of the answers and the start of their storage.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from server.archive.answer_writer import AnswerMetadata, AnswerWriter, NewTurn, digest_of
from server.archive.imports import check_turn
from server.archive.reading import Head
from server.archive.recorder import Recorder
from server.archive.shapes import Asked
from server.archive.writing import Numbers
from server.core.content import attachment_parts, text_of
from server.core.errors import Contradiction
from server.core.generation import Generation
from server.core.protocol import Record, Target
from server.storage.database import Transaction

# Whose messages models answer.
_SAID: Final = frozenset({"user", "tool", "prompt"})


@dataclass(frozen=True)
class ConversationSlot:
    """A turn of a conversation, and the targets whose answers belong to it.

    `request` is the id by which the command can be repeated.
    """

    conversation: int
    record: Record
    targets: Sequence[Target]
    request: str | None = None


@dataclass(frozen=True)
class StartedAnswer:
    """An answer that has begun: its log, its parameters and the messages it was asked with.

    `chosen` names the parameters that the client set.
    """

    generation: Generation
    parameters: dict[str, Any]
    asked: Sequence[Asked]
    chosen: list[str]


async def find_slot(
    transaction: Transaction,
    head: Head,
    record: Record,
    targets: Sequence[Target],
    unfinished: Mapping[tuple[int, str], str],
) -> ConversationSlot:
    """Check that everything named exists, stored or `unfinished`; raises `Contradiction`.

    `unfinished` is what `Recorder.turns_of_unfinished` returned before the transaction began.
    """
    columns = {column.id for column in head.columns}
    for number, target in enumerate(targets):
        if target.column is not None and target.column not in columns:
            raise Contradiction(
                f"the conversation has no column {target.column!r} - at"
                f" `$.targets[{number}].column`"
            )
    parent = record.parent
    if parent == record.turn:
        raise Contradiction("a turn is not its own parent - at `$.record.parent`")
    new_turns = {turn for (number, _), turn in unfinished.items() if number == head.number}
    if (
        parent is not None
        and parent not in new_turns
        and not await transaction.row(
            "SELECT 1 FROM turn WHERE conversation = ? AND id = ?", (head.number, parent)
        )
    ):
        raise Contradiction(f"the conversation has no turn {parent!r} - at `$.record.parent`")
    # The id of an answer, where it stands in the command, and the turn it has to belong to.
    answers = [(record.history, "$.record.history", parent)]
    answers += [
        (target.continues, f"$.targets[{number}].continues", record.turn)
        for number, target in enumerate(targets)
    ]
    for answer_id, place, turn in answers:
        if answer_id is None:
            continue
        found = unfinished.get((head.number, answer_id))
        if found is None:
            row = await transaction.row(
                "SELECT turn FROM answer WHERE conversation = ? AND id = ?",
                (head.number, answer_id),
            )
            if row is None:
                raise Contradiction(f"the conversation has no answer {answer_id!r} - at `{place}`")
            (found,) = row
        check_turn(answer_id, found, turn, place)
    return ConversationSlot(head.number, record, targets)


def record_answers(
    slot: ConversationSlot,
    answers: Sequence[StartedAnswer],
    recorder: Recorder,
    numbers: Numbers,
    now: float,
) -> list[str]:
    """Store these answers from now on; return their ids, in the order of the targets."""
    record = slot.record
    ids: list[str] = []
    for target, answer in zip(slot.targets, answers, strict=True):
        # The turn's text is what was said last; an answer to continue may follow it.
        prompts = [asked.content for asked in answer.asked if asked.role in _SAID]
        prompt = prompts[-1] if prompts else ""
        writer = AnswerWriter(
            number=next(numbers.answer),
            conversation=slot.conversation,
            answer_id=f"a_{secrets.token_hex(8)}",
            turn=NewTurn(
                record.turn,
                record.parent,
                record.history,
                text_of(prompt),
                attachment_parts(prompt),
            ),
            turn_number=next(numbers.turn),
            column=target.column,
            created=now,
            generation=answer.generation,
            metadata=AnswerMetadata(
                parameters=answer.parameters,
                chosen=answer.chosen,
                continues=target.continues,
                repeats=target.repeats,
                asked=[digest_of(asked) for asked in answer.asked],
            ),
            asked=answer.asked,
            request=slot.request,
            stores_tokens=answer.generation.keeps_tokens,
        )
        recorder.add(writer)
        ids.append(writer.answer_id)
    return ids
