"""A model's thinking, which servers send beside its answer, as text of the answer between marks.

Models whose servers do not tell the two apart write the same marks themselves.
"""

from collections.abc import Sequence

from server.core.protocol import TokenInfo
from server.dialects.openai.tokens import plain
from server.dialects.thinking import CLOSING, OPENING


class Thinking:
    """Put marks around what a model thinks."""

    __slots__ = ("is_open",)

    def __init__(self) -> None:
        self.is_open = False

    def think(self, tokens: Sequence[TokenInfo]) -> list[TokenInfo]:
        """Return tokens of thinking, behind the opening mark if they are the first."""
        opening = [] if self.is_open else [plain(OPENING)]
        self.is_open = True
        return [*opening, *tokens]

    def close(self) -> list[TokenInfo]:
        """Return the closing mark if it is due: before the answer, and at the end."""
        closing = [plain(CLOSING)] if self.is_open else []
        self.is_open = False
        return closing
