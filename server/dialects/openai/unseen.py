"""Tokens that have no text of their own, found by how many the server says it has written.

llama.cpp keeps a token to itself while its bytes complete no character. The next one comes with the
text of all of them, and with its own id and probability. As in TGI, each is a token of the answer:
those kept back have no text, and no id that is told.

Rules:

1. The number written stands beside each token, where it is asked for. What is missing between two
   of them was kept back; where more is missing than a character can take, it was something else,
   such as the marks of thinking, and no token of the answer.
2. At the end the same holds, and one more: the token by which the model ended the answer.
"""

from collections.abc import Mapping
from typing import Any, Final

from server.core.protocol import TokenInfo
from server.dialects.base import NO_TOKEN_ID

# A character has at most four bytes, of which the last token brings at least one.
_MOST_UNSEEN: Final = 3


class Unseen:
    """Count one answer's tokens beside those that come; `most` is the length that was asked for."""

    __slots__ = ("_is_counting", "_most", "_seen")

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._seen = 0
        self._is_counting = False

    @property
    def is_all(self) -> bool:
        """Tell whether the answer has the length that was asked for."""
        return self._most is not None and self._seen >= self._most

    def before(self, chunk: Mapping[str, Any], logprobs: object) -> int | None:
        """Return how many were kept back before a chunk's one token, None where nothing says."""
        written = 0 if logprobs is None else written_tokens(chunk)
        if not written:
            return None
        missing = written - self._seen - 1
        self._seen = written
        self._is_counting = True
        return missing if 0 <= missing <= _MOST_UNSEEN else None

    def rest(self, written: int | None, *, is_ended_by_model: bool) -> list[TokenInfo]:
        """Return the tokens after the last that came; `written` are those of the whole answer."""
        missing = 0 if written is None or not self._is_counting else written - self._seen
        if not 0 < missing <= _MOST_UNSEEN + is_ended_by_model:
            return []
        last = TokenInfo(NO_TOKEN_ID, "", None, is_ended_by_model)
        return [*unseen_tokens(missing - 1), last]


def unseen_tokens(count: int) -> list[TokenInfo]:
    """Return so many tokens without text."""
    return [TokenInfo(NO_TOKEN_ID, "", None, False) for _ in range(count)]


def written_tokens(chunk: Mapping[str, Any]) -> int:
    """Return how many tokens a chunk says are written so far, 0 where it does not say."""
    timings = chunk.get("timings")
    count = timings.get("predicted_n") if isinstance(timings, dict) else None
    return count if isinstance(count, int) and not isinstance(count, bool) else 0
