"""What an answer is made of: its text, its thinking and its calls of tools, each by itself."""

from collections.abc import Iterable
from typing import NamedTuple

from server.archive.shapes import StoredCall
from server.core.protocol import Kind, ToolCall


class AnswerPiece(NamedTuple):
    """Text of one kind; `call` is the tool call that it belongs to."""

    text: str
    kind: Kind = "answer"
    call: ToolCall | None = None


class AnswerContent(NamedTuple):
    """An answer, the kinds apart."""

    text: str
    reasoning: str
    tool_calls: list[StoredCall]


def divide(pieces: Iterable[AnswerPiece]) -> AnswerContent:
    """Join the pieces of each kind, and those of each tool call."""
    text: list[str] = []
    reasoning: list[str] = []
    calls: dict[int, StoredCall] = {}
    for piece in pieces:
        if piece.call is not None:
            told, index = piece.call, piece.call.index
            known = calls.get(index, StoredCall(index, "", "", ""))
            # A server may tell the id or the name later than the first piece.
            calls[index] = StoredCall(
                index, known.id or told.id, known.name or told.name, known.arguments + piece.text
            )
        else:
            (reasoning if piece.kind == "reasoning" else text).append(piece.text)
    return AnswerContent(
        "".join(text), "".join(reasoning), [calls[index] for index in sorted(calls)]
    )
