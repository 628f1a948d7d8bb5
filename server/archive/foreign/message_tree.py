"""Other tools' trees of messages, made turns and answers.

Elsewhere a conversation is a tree of single messages. Here it is a tree of turns, each with the
answers to one prompt:

1. A user's message is a turn. Its parent is the turn of the user's message before it; several below
   one parent are branches.
2. What follows it until the next user's message, along each way through the tree, is one answer:
   a model that calls tools says several things, with the tools' results between.
3. Where a turn has several answers, the turns below it say which one they go on from (`history`).
4. The answers on the way to the message that was shown last are the current ones: they come last.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

import msgspec

from server.archive.shapes import Column, Conversation, StoredAnswer, StoredAttachment, Turn
from server.core.errors import Contradiction
from server.core.protocol import ErrorInfo, FilePart, FinishReason, ImagePart

# Seconds since 1970 have at most as many digits; more are milliseconds, microseconds, nanoseconds.
_LAST_SECOND: Final = 100_000_000_000.0
_TITLE_CHARS: Final = 300
_MODEL_CHARS: Final = 300
UNKNOWN_MODEL: Final = "unknown"

Kind = Literal["tools", "pictures", "files", "sounds", "instructions", "empty", "others"]
LEFT_OUT: Final[Mapping[Kind, tuple[str, str]]] = {
    "pictures": ("picture that the export only names", "pictures that the export only names"),
    "files": ("file that the export only names", "files that the export only names"),
    "sounds": ("recording", "recordings"),
    "tools": ("message to or from a tool", "messages to or from tools"),
    "instructions": ("system prompt", "system prompts"),
    "empty": ("chat without messages", "chats without messages"),
    "others": ("message of an unknown kind", "messages of unknown kinds"),
}
"""What of an export may not be taken over, one and several."""


@dataclass
class Said:
    """A message as another tool has it; `column` tells which column said it."""

    id: str
    parent: str | None
    role: Literal["user", "assistant", "other"]
    text: str = ""
    created: float | None = None
    reasoning: str = ""
    column: str = ""
    model: str = ""
    finish_reason: FinishReason = "stop"
    error: str = ""
    attached: Sequence[ImagePart | FilePart] = ()


@dataclass
class Talk:
    """A conversation of another tool: its messages, and what else is taken over."""

    title: str
    created: float
    updated: float
    said: Sequence[Said]
    current: str | None
    columns: Sequence[Column]
    pinned: bool = False
    tags: Sequence[str] = ()
    attachments: Sequence[StoredAttachment] = ()


@dataclass
class _Step:
    """A message on a way through the tree: its turn, and what was said since that turn."""

    said: Said
    turn: str | None
    chain: tuple[Said, ...]


@dataclass
class _Tree:
    turns: list[Turn] = field(default_factory=list)
    answers: dict[tuple[str, ...], StoredAnswer] = field(default_factory=dict)
    by_message: dict[str, str] = field(default_factory=dict)
    """The turn in which a message was said."""
    count: Counter[str] = field(default_factory=Counter)
    """How many answers a turn has."""


def conversation_of(talk: Talk, place: str) -> Conversation:
    """Return the conversation; raises `Contradiction` for a message that is its own ancestor."""
    by_id = {said.id: said for said in talk.said}
    children: dict[str | None, list[Said]] = {}
    for said in talk.said:
        parent = said.parent if said.parent in by_id else None
        children.setdefault(parent, []).append(said)
    tree = _walk(children, talk.created)
    if len(tree.by_message) < len(by_id):
        circle = next(said.id for said in talk.said if said.id not in tree.by_message)
        raise Contradiction(f"the message {circle[:80]!r} comes before itself - at `{place}`")
    shown = _way_to(talk.current, by_id)
    answers = sorted(tree.answers.items(), key=lambda one: shown.issuperset(one[0][1:]))
    turns = [
        turn
        if turn.history is None or tree.count[turn.parent or ""] > 1
        else msgspec.structs.replace(turn, history=None)
        for turn in tree.turns
    ]
    leaf = tree.by_message.get(talk.current or "") or (turns[-1].id if turns else None)
    return Conversation(
        id="c",
        title=talk.title.strip()[:_TITLE_CHARS],
        created=talk.created,
        updated=max(talk.updated, talk.created),
        columns=list(talk.columns),
        view={"leaf": leaf} if leaf else {},
        turns=turns,
        answers=[answer for _, answer in answers],
        attachments=list(talk.attachments),
        pinned=talk.pinned,
        tags=list(talk.tags),
    )


def column_for(model: str, taken: Sequence[Column]) -> Column:
    """Return another column of a model, with an id as the page would give it."""
    name = re.sub(r"[^A-Za-z0-9_-]", "_", model)[:60] or "model"
    ids, column_id, number = {column.id for column in taken}, name, 2
    while column_id in ids:
        column_id, number = f"{name}_{number}", number + 1
    return Column(column_id, model[:_MODEL_CHARS])


def moment(value: Any, otherwise: float) -> float:
    """Return a time in seconds since 1970, however it is written."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value).timestamp()
        except (ValueError, OverflowError, OSError):
            return otherwise
    if not isinstance(value, int | float) or isinstance(value, bool) or not value > 0:
        return otherwise
    seconds = float(value)
    while seconds > _LAST_SECOND:
        seconds /= 1_000
    return seconds


def _walk(children: Mapping[str | None, Sequence[Said]], created: float) -> _Tree:
    tree = _Tree()
    steps = [_Step(said, None, ()) for said in reversed(children.get(None, []))]
    while steps:
        step = steps.pop()
        said, turn, chain = step.said, step.turn, step.chain
        moment_said = said.created or created
        if said.role == "user":
            history = _answer(tree, turn, chain, created)
            name = f"t{len(tree.turns) + 1}"
            parts = list(said.attached)
            tree.turns.append(Turn(name, turn, said.text, moment_said, history, attachments=parts))
            turn, chain = name, ()
        elif said.role == "assistant":
            if turn is None:  # a greeting
                turn = f"t{len(tree.turns) + 1}"
                tree.turns.append(Turn(turn, None, "", moment_said))
            chain = (*chain, said)
        tree.by_message[said.id] = turn or ""
        below = children.get(said.id, [])
        if not below:
            _answer(tree, turn, chain, created)
        steps += [_Step(one, turn, chain) for one in reversed(below)]
    return tree


def _answer(tree: _Tree, turn: str | None, chain: tuple[Said, ...], created: float) -> str | None:
    """Have a turn answered by what was said since; return the answer's id."""
    if turn is None or not chain:
        return None
    key = (turn, *(said.id for said in chain))
    if key not in tree.answers:
        tree.count[turn] += 1
        last = chain[-1]
        tree.answers[key] = StoredAnswer(
            id=f"a{len(tree.answers) + 1}",
            turn=turn,
            column=last.column,
            model=last.model[:_MODEL_CHARS],
            created=chain[0].created or created,
            state="ended",
            text="\n\n".join(said.text for said in chain if said.text.strip()),
            reasoning="\n\n".join(said.reasoning for said in chain if said.reasoning.strip()),
            finish_reason="failed" if last.error else last.finish_reason,
            error=ErrorInfo("engine_error", last.error) if last.error else None,
        )
    return tree.answers[key].id


def _way_to(current: str | None, by_id: Mapping[str, Said]) -> set[str]:
    way: set[str] = set()
    while current is not None and current in by_id and current not in way:
        way.add(current)
        current = by_id[current].parent
    return way
