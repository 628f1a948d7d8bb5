"""Thinking before an answer, where the model server tells it apart from the answer.

Thinking is labelled as such, and stands between the marks that most models write themselves: a
client that reads an answer as one text reads the same from every server.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from server.core.protocol import TokenInfo
from server.dialects.base import NO_TOKEN_ID

OPENING: Final = "<think>\n"
CLOSING: Final = "\n</think>\n\n"


class Thinking:
    """Label what a model thinks, and put marks around it."""

    __slots__ = ("is_open",)

    def __init__(self) -> None:
        self.is_open = False

    def think(self, tokens: Sequence[TokenInfo]) -> list[TokenInfo]:
        """Return tokens of thinking, behind the opening mark if they are the first."""
        opening = [] if self.is_open else [_mark(OPENING)]
        self.is_open = True
        thoughts = (msgspec.structs.replace(token, kind="reasoning") for token in tokens)
        return [*opening, *thoughts]

    def close(self) -> list[TokenInfo]:
        """Return the closing mark if it is due: before the answer, and at the end."""
        closing = closing_mark() if self.is_open else []
        self.is_open = False
        return closing


def closing_mark(text: str = "") -> list[TokenInfo]:
    """Return what ends thinking; `text` is the model's own mark, if it has one."""
    return [_mark(text or CLOSING)]


def _mark(text: str) -> TokenInfo:
    return TokenInfo(NO_TOKEN_ID, text, None, False, kind="reasoning", mark=True)
