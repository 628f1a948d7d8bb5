"""One answer on its way into the database, and the statements that store many of them at once.

`take` notes what is new of an answer, `write_all` writes what was taken, `settle` says that it is
stored: what happens to the log in between is taken the next time.
"""

import hashlib
import textwrap
from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from server.archive.database import Transaction
from server.archive.schema import search_number
from server.archive.shapes import AnswerState, Asked, Engine
from server.core.generation import Generation
from server.core.protocol import Cost, ErrorInfo, Notice, Timings, Usage

DescribeEngine = Callable[[str], Engine | None]

# A long answer that could not be stored for a while is stored in rows of this size.
_MAX_PIECE_CHARS: Final = 1 << 20
# A list shows about as much in one line.
_TITLE_CHARS: Final = 80


class Facts(msgspec.Struct, omit_defaults=True):
    """What is kept of an answer beside its text, and never searched.

    A field that is new needs no other version of the file: it has a default, which is what answers
    of before have, and an earlier program passes over it.
    """

    parameters: dict[str, Any] = {}
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
    engine: Engine | None = None


@dataclass(frozen=True)
class NewTurn:
    """The turn an answer belongs to, written with the first of its answers."""

    id: str
    parent: str | None
    history: str | None
    text: str


@dataclass
class _Taken:
    """What of an answer is about to be stored."""

    seq: int
    text: str
    state: AnswerState
    has_ended: bool


@dataclass(eq=False)
class Following:
    """An answer that is stored while it is written; `number` is its row."""

    number: int
    conversation: int
    answer_id: str
    turn: NewTurn
    turn_number: int
    column: str | None
    created: float
    generation: Generation
    facts: Facts
    asked: Sequence[Asked]
    keeps_tokens: bool
    is_due: bool = False
    is_stored: bool = False
    _is_begun: bool = False
    _seq: int = 0
    _state: AnswerState = "queued"
    _taken: _Taken | None = None
    _note: Callable[["Following"], None] | None = field(default=None, repr=False)

    @property
    def key(self) -> tuple[int, str]:
        """Return what tells it from all others."""
        return self.conversation, self.answer_id

    @property
    def is_new(self) -> bool:
        """Tell whether nothing of it is stored yet."""
        return not self._is_begun

    @property
    def taken(self) -> _Taken:
        """Return what was taken last; raises `ValueError` when nothing was."""
        if self._taken is None:
            raise ValueError("nothing was taken")
        return self._taken

    @property
    def has_news(self) -> bool:
        """Tell whether the log holds what is not stored."""
        generation = self.generation
        return not self.is_stored and (
            generation.seq != self._seq or generation.has_ended or generation.state != self._state
        )

    @property
    def has_moved(self) -> bool:
        """Tell whether what was taken is in another state than what is stored."""
        return self.taken.state != self._state

    def attach(self, note: Callable[["Following"], None]) -> None:
        """Have `note` called when there is something new."""
        self._note = note
        self.generation.watch(self._on_change)

    def detach(self) -> None:
        """Leave the log."""
        if self._note is not None:
            self._note = None
            self.generation.unwatch(self._on_change)

    def take(self, describe: DescribeEngine) -> None:
        """Note what is to be stored next."""
        generation = self.generation
        text, seq = generation.text_since(self._seq, max_chars=_MAX_PIECE_CHARS)
        end = generation.end_event if seq == generation.seq else None
        if self.facts.engine is None and generation.state in {"running", "ended"}:
            self.facts.engine = describe(generation.model)
        if generation.max_new_tokens is not None:
            self.facts.parameters["max_new_tokens"] = generation.max_new_tokens
        if end is not None:
            self.facts.error, self.facts.usage = end.error, end.usage
            self.facts.timings, self.facts.cached = end.timings, end.cached
            self.facts.notices, self.facts.details = end.notices, end.details
            self.facts.answered_by, self.facts.cost = end.answered_by, end.cost
        state: AnswerState = generation.state
        if state == "ended" and end is None:
            state = "running"
        self._taken = _Taken(seq, text, state, end is not None)

    def settle(self) -> None:
        """Take note that what was taken is stored."""
        taken = self.taken
        self._is_begun = True
        self._seq = taken.seq
        self._state = taken.state
        self.is_stored = taken.has_ended
        self._taken = None

    def size(self) -> int:
        """Return by how much what was taken makes the conversation larger, in characters."""
        size = len(self.taken.text)
        if self.is_new:
            size += len(self.turn.text) + sum(len(asked.content) for asked in self.asked)
        return size

    def _on_change(self, _: Generation) -> None:
        """Take note that there is something new: once per token."""
        if (not self.is_due and self._note is not None) or (
            self._note is not None and self.generation.has_ended
        ):
            self._note(self)


def title_of(text: str) -> str:
    """Return a title for what begins with this prompt: its first line, cut at a word."""
    lines = text.strip().splitlines()
    return textwrap.shorten(lines[0], _TITLE_CHARS, placeholder="…") if lines else ""


def digest_of(asked: Asked) -> str:
    """Return the name under which a message is kept once, however often it is asked."""
    found = hashlib.sha256(f"{asked.role}\0{asked.content}".encode()).digest()
    return urlsafe_b64encode(found[:15]).decode()


async def write_all(transaction: Transaction, several: Sequence[Following]) -> None:
    """Write what was taken of each."""
    await _begin(transaction, [f for f in several if f.is_new])
    going = [f for f in several if not f.taken.has_ended]
    await transaction.run_each(
        "INSERT INTO piece (answer, seq, text) VALUES (?, ?, ?)",
        [(f.number, f.taken.seq, f.taken.text) for f in going if f.taken.text],
    )
    await transaction.run_each(
        "UPDATE answer SET state = ?, facts = ? WHERE number = ?",
        [(f.taken.state, json_of(f.facts), f.number) for f in going if f.has_moved],
    )
    await _end(transaction, [f for f in several if f.taken.has_ended])
    await transaction.run_each(
        "UPDATE conversation SET size = size + ? WHERE number = ?",
        [(f.size(), f.conversation) for f in several],
    )


async def _begin(transaction: Transaction, fresh: Sequence[Following]) -> None:
    await transaction.run_each(
        "INSERT OR IGNORE INTO turn (number, conversation, id, parent, history, text, created)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (
                f.turn_number,
                f.conversation,
                f.turn.id,
                f.turn.parent,
                f.turn.history,
                f.turn.text,
                f.created,
            )
            for f in fresh
        ],
    )
    # Ignored where an earlier answer brought the turn.
    await transaction.run_each(
        "INSERT INTO search (rowid, text) SELECT ?, text FROM turn WHERE number = ?",
        [(search_number("turn", f.turn_number), f.turn_number) for f in fresh],
    )
    await transaction.run_each(
        "INSERT OR IGNORE INTO message (conversation, digest, role, content) VALUES (?, ?, ?, ?)",
        [
            (f.conversation, digest, asked.role, asked.content)
            for f in fresh
            for digest, asked in zip(f.facts.asked, f.asked, strict=True)
        ],
    )
    await transaction.run_each(
        "INSERT INTO answer (number, conversation, id, turn, place, model, created, state, seq,"
        " text, facts) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, '', ?)",
        [
            (
                f.number,
                f.conversation,
                f.answer_id,
                f.turn.id,
                f.column,
                f.generation.model,
                f.created,
                f.taken.state,
                json_of(f.facts),
            )
            for f in fresh
        ],
    )
    await transaction.run_each(
        "UPDATE conversation SET updated = max(updated, ?) WHERE number = ?",
        [(f.created, f.conversation) for f in fresh],
    )
    await transaction.run_each(
        "UPDATE conversation SET title = ? WHERE number = ? AND title = ''",
        [(title_of(f.turn.text), f.conversation) for f in fresh],
    )


async def _end(transaction: Transaction, ended: Sequence[Following]) -> None:
    await transaction.run_each(
        "UPDATE answer SET state = 'ended', seq = ?, text = ?, finish_reason = ?, facts = ?"
        " WHERE number = ?",
        [
            (f.taken.seq, f.generation.text, _reason(f.generation), json_of(f.facts), f.number)
            for f in ended
        ],
    )
    await transaction.run_each("DELETE FROM piece WHERE answer = ?", [(f.number,) for f in ended])
    await transaction.run_each(
        "INSERT INTO search (rowid, text) VALUES (?, ?)",
        [(search_number("answer", f.number), f.generation.text) for f in ended],
    )
    await transaction.run_each(
        "INSERT INTO tokens (answer, tokens) VALUES (?, ?)",
        [
            (f.number, json_of(tokens))
            for f in ended
            if f.keeps_tokens and (tokens := f.generation.tokens_between(0, f.generation.seq))
        ],
    )


def _reason(generation: Generation) -> str | None:
    end = generation.end_event
    return None if end is None else end.finish_reason


def json_of(value: Any) -> str:
    """Write a value as it stands in a column."""
    return msgspec.json.encode(value).decode()
