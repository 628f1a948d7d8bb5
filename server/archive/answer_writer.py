"""Write one answer into the database as it grows, and the statements that write many at once.

The recorder calls `collect`, which takes what the log has that the database has not; `write_all`,
which writes what several writers have collected; and `mark_stored` once that is committed. What is
appended to the log in between is collected the next time.
"""

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, get_args

import msgspec

from server.archive.attachments import link_attachments, load_attachments
from server.archive.content import AnswerContent, AnswerPiece, divide
from server.archive.excerpts import title_of
from server.archive.schema import search_number
from server.archive.shapes import AnswerState, Asked, StoredCall, StoredEngine
from server.core.content import attachment_parts, text_of
from server.core.generation import Generation
from server.core.protocol import (
    Cost,
    ErrorInfo,
    FilePart,
    ImagePart,
    Kind,
    Notice,
    Timings,
    Usage,
)
from server.core.trimming import Turns
from server.storage.database import Transaction

DescribeEngine = Callable[[str], StoredEngine | None]

# A long answer that could not be stored for a while is stored in rows of this size.
_MAX_PIECE_CHARS: Final = 1 << 20
_KINDS: Final = frozenset(get_args(Kind))


class AnswerMetadata(msgspec.Struct, omit_defaults=True):
    """What is stored of an answer beside its text, as JSON; it is not searched.

    A new field needs no migration: it has a default, which older answers get, and an older
    program ignores it.
    """

    parameters: dict[str, Any] = {}
    chosen: list[str] | None = None
    continues: str | None = None
    repeats: str | None = None
    asked: list[str] = []
    error: ErrorInfo | None = None
    usage: Usage | None = None
    timings: Timings | None = None
    cached: bool = False
    notices: list[Notice] = []
    details: dict[str, Any] = {}
    answered_by: str = ""
    cost: Cost | None = None
    engine: StoredEngine | None = None
    tool_calls: list[StoredCall] = []


@dataclass(frozen=True)
class NewTurn:
    """The turn of an answer, inserted with the first of its answers."""

    id: str
    parent: str | None
    history: str | None
    text: str
    attachments: Sequence[ImagePart | FilePart] = ()


@dataclass
class _Collected:
    """The part of an answer that is written next."""

    seq: int
    pieces: list[tuple[int, AnswerPiece]]
    """Each with the number of its last delta."""
    state: AnswerState
    whole: AnswerContent | None = None
    """All of the answer, once it has ended."""


@dataclass(eq=False)
class AnswerWriter:
    """An answer that is stored while it is generated; `number` is its row."""

    number: int
    conversation: int
    answer_id: str
    turn: NewTurn
    turn_number: int
    column: str | None
    created: float
    generation: Generation
    metadata: AnswerMetadata
    asked: Sequence[Asked]
    stores_tokens: bool
    request: str | None = None
    is_due: bool = False
    has_row: bool = False
    is_complete: bool = False
    _seq: int = 0
    _state: AnswerState = "queued"
    _left_out: int = 0
    _all_asked: Sequence[Asked] = ()
    _collected: _Collected | None = None
    _notify: Callable[["AnswerWriter"], None] | None = field(default=None, repr=False)

    @property
    def key(self) -> tuple[int, str]:
        """Return the numbers of the conversation and the id of the answer: unique together."""
        return self.conversation, self.answer_id

    @property
    def collected(self) -> _Collected:
        """Return what was collected last; raises `ValueError` when nothing was."""
        if self._collected is None:
            raise ValueError("nothing was collected")
        return self._collected

    @property
    def has_unstored(self) -> bool:
        """Tell whether the log has something that is not stored."""
        generation = self.generation
        return not self.is_complete and (
            generation.seq != self._seq or generation.has_ended or generation.state != self._state
        )

    def watch(self, notify: Callable[["AnswerWriter"], None]) -> None:
        """Watch the log; `notify` is called when it has something new."""
        self._notify = notify
        self.generation.watch(self._on_change)

    def unwatch(self) -> None:
        """Stop watching the log."""
        if self._notify is not None:
            self._notify = None
            self.generation.unwatch(self._on_change)

    def collect(self, describe: DescribeEngine, *, now_ms: float) -> None:
        """Take from the log what is to be written next, and the times so far."""
        generation, metadata = self.generation, self.metadata
        seq, pieces = self._pieces_since(self._seq)
        end = generation.end_event if seq == generation.seq else None
        whole = None
        if metadata.engine is None and generation.state in {"running", "ended"}:
            metadata.engine = describe(generation.model)
        if generation.max_new_tokens is not None:
            metadata.parameters["max_new_tokens"] = generation.max_new_tokens
        if generation.turns_left_out != self._left_out:
            # What the model was not asked with is no part of what it was asked.
            self._all_asked = self._all_asked or self.asked
            self.asked = Turns.of(self._all_asked).without(generation.turns_left_out)
            metadata.asked = [digest_of(asked) for asked in self.asked]
            self._left_out = generation.turns_left_out
        if end is not None:
            metadata.error, metadata.usage = end.error, end.usage
            metadata.timings, metadata.cached = end.timings, end.cached
            metadata.notices, metadata.details = end.notices, end.details
            metadata.answered_by, metadata.cost = end.answered_by, end.cost
            whole = _content_of(generation)
            metadata.tool_calls = whole.tool_calls
        else:
            # All that is left to tell them, should the gateway be killed.
            metadata.timings = generation.timings_so_far(now_ms)
        state: AnswerState = generation.state
        if state == "ended" and end is None:
            state = "running"
        self._collected = _Collected(seq, pieces, state, whole)

    def mark_stored(self) -> None:
        """Note that what was collected is committed."""
        collected = self.collected
        self.has_row = True
        self._seq = collected.seq
        self._state = collected.state
        self.is_complete = collected.whole is not None
        self._collected = None

    def added_chars(self) -> int:
        """Return how many characters the collected part adds to the conversation."""
        chars = sum(len(piece.text) for _, piece in self.collected.pieces)
        if not self.has_row:
            chars += len(self.turn.text) + sum(asked.size for asked in self.asked)
        return chars

    def _pieces_since(self, seq: int) -> tuple[int, list[tuple[int, AnswerPiece]]]:
        """Return what follows delta number `seq`, as much as is stored at once, and its end."""
        generation, room = self.generation, _MAX_PIECE_CHARS
        pieces: list[tuple[int, AnswerPiece]] = []
        while seq < generation.seq and room > 0:
            text, seq, label = generation.text_since(seq, max_chars=room, kinds=_KINDS)
            room -= len(text)
            # A call without arguments is a call all the same.
            if text or label.call is not None:
                pieces.append((seq, AnswerPiece(text, label.kind, label.call)))
        return seq, pieces

    def _on_change(self, _: Generation) -> None:
        """Pass on that the log has changed; called for every token."""
        if self._notify is not None and (not self.is_due or self.generation.has_ended):
            self._notify(self)


def digest_of(asked: Asked) -> str:
    """Return the key under which a message is stored once, however often it is asked."""
    content = asked.content if isinstance(asked.content, str) else to_json(asked.content)
    words = [asked.role, content]
    if asked.tool_calls or asked.tool_call_id:
        words += [asked.tool_call_id, to_json(asked.tool_calls)]
    found = hashlib.sha256("\0".join(words).encode()).digest()
    return urlsafe_b64encode(found[:15]).decode()


async def write_all(transaction: Transaction, writers: Sequence[AnswerWriter]) -> None:
    """Write what each writer has collected."""
    await _insert(transaction, [w for w in writers if not w.has_row])
    going = [w for w in writers if w.collected.whole is None]
    await transaction.run_each(
        "INSERT INTO piece (answer, seq, text, kind, call) VALUES (?, ?, ?, ?, ?)",
        [
            (w.number, seq, text, kind, None if call is None else to_json(call))
            for w in going
            for seq, (text, kind, call) in w.collected.pieces
        ],
    )
    await transaction.run_each(
        "UPDATE answer SET state = ?, facts = ? WHERE number = ?",
        [(w.collected.state, to_json(w.metadata), w.number) for w in going],
    )
    await _complete(
        transaction, [(w, w.collected.whole) for w in writers if w.collected.whole is not None]
    )
    await transaction.run_each(
        "UPDATE conversation SET size = size + ? WHERE number = ?",
        [(w.added_chars(), w.conversation) for w in writers],
    )


async def insert_messages(
    transaction: Transaction, conversation: int, digests: Sequence[str], messages: Sequence[Asked]
) -> None:
    """Write messages that models were given, each once, and note the attachments that they name."""
    await transaction.run_each(
        "INSERT OR IGNORE INTO message"
        " (conversation, digest, role, content, parts, tool_calls, tool_call_id)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (
                conversation,
                digest,
                asked.role,
                text_of(asked.content),
                None if isinstance(asked.content, str) else to_json(asked.content),
                to_json(asked.tool_calls) if asked.tool_calls else None,
                asked.tool_call_id,
            )
            for digest, asked in zip(digests, messages, strict=True)
        ],
    )
    await link_attachments(
        transaction,
        conversation,
        [part.attachment for asked in messages for part in attachment_parts(asked.content)],
    )


async def _insert(transaction: Transaction, fresh: Sequence[AnswerWriter]) -> None:
    await transaction.run_each(
        "INSERT OR IGNORE INTO turn (number, conversation, id, parent, history, text, created,"
        " attachments) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                w.turn_number,
                w.conversation,
                w.turn.id,
                w.turn.parent,
                w.turn.history,
                w.turn.text,
                w.created,
                to_json(w.turn.attachments) if w.turn.attachments else None,
            )
            for w in fresh
        ],
    )
    # Nothing is inserted where an earlier answer has brought the turn.
    await transaction.run_each(
        "INSERT INTO search (rowid, text) SELECT ?, words_of(text) FROM turn WHERE number = ?",
        [(search_number("turn", w.turn_number), w.turn_number) for w in fresh],
    )
    for w in fresh:
        await insert_messages(transaction, w.conversation, w.metadata.asked, w.asked)
    await transaction.run_each(
        "INSERT INTO answer (number, conversation, id, turn, place, model, created, state, seq,"
        " text, facts, request) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, '', ?, ?)",
        [
            (
                w.number,
                w.conversation,
                w.answer_id,
                w.turn.id,
                w.column,
                w.generation.model,
                w.created,
                w.collected.state,
                to_json(w.metadata),
                w.request,
            )
            for w in fresh
        ],
    )
    await transaction.run_each(
        "UPDATE conversation SET updated = max(updated, ?) WHERE number = ?",
        [(w.created, w.conversation) for w in fresh],
    )
    for w in fresh:
        await give_title(transaction, w.conversation, w.turn.text, w.turn.attachments)


async def give_title(
    transaction: Transaction,
    number: int,
    prompt: str,
    attached: Sequence[ImagePart | FilePart],
) -> None:
    """Have a conversation without a title called by its first prompt."""
    row = await transaction.row("SELECT title FROM conversation WHERE number = ?", (number,))
    if row is None or row[0]:
        return
    title = title_of(prompt)
    if not title and attached:
        known = {one.id: one.name for one in await load_attachments(transaction, number)}
        title = title_of("", [_name_of(part, known.get(part.attachment)) for part in attached])
    await transaction.run("UPDATE conversation SET title = ? WHERE number = ?", (title, number))


def _name_of(part: ImagePart | FilePart, name: str | None) -> str:
    given = part.name if isinstance(part, FilePart) else None
    return given or name or ("Picture" if isinstance(part, ImagePart) else "File")


async def _complete(
    transaction: Transaction, ended: Sequence[tuple[AnswerWriter, AnswerContent]]
) -> None:
    await transaction.run_each(
        "UPDATE answer SET state = 'ended', seq = ?, text = ?, reasoning = ?, finish_reason = ?,"
        " facts = ? WHERE number = ?",
        [
            (
                w.collected.seq,
                whole.text,
                whole.reasoning,
                _reason(w.generation),
                to_json(w.metadata),
                w.number,
            )
            for w, whole in ended
        ],
    )
    await transaction.run_each(
        "DELETE FROM piece WHERE answer = ?", [(w.number,) for w, _ in ended]
    )
    await index_answers(
        transaction, [(w.number, whole.text, whole.reasoning) for w, whole in ended]
    )
    await transaction.run_each(
        "INSERT INTO tokens (answer, tokens) VALUES (?, ?)",
        [
            (w.number, to_json(tokens))
            for w, _ in ended
            if w.stores_tokens and (tokens := w.generation.tokens_between(0, w.generation.seq))
        ],
    )


async def index_answers(transaction: Transaction, answers: Sequence[tuple[int, str, str]]) -> None:
    """Have answers found by their words: each its number, its text and its thinking."""
    await transaction.run_each(
        "INSERT INTO search (rowid, text) VALUES (?, words_of(?))",
        [(search_number("answer", number), text) for number, text, _ in answers],
    )
    await transaction.run_each(
        "INSERT INTO search_reasoning (rowid, text) VALUES (?, words_of(?))",
        [(number, reasoning) for number, _, reasoning in answers if reasoning],
    )


def _content_of(generation: Generation) -> AnswerContent:
    return divide(
        AnswerPiece("" if label.is_mark else text, label.kind, label.call)
        for text, _, label in generation.deltas.runs()
    )


def _reason(generation: Generation) -> str | None:
    end = generation.end_event
    return None if end is None else end.finish_reason


def to_json(value: Any) -> str:
    """Encode a value for a column."""
    return msgspec.json.encode(value).decode()
