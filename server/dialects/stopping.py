"""Cut an answer at a stop text where the model server does not.

Rules:

1. The answer ends before the stop text that is complete first; of several that are complete at the
   same character, before the longest. So the cut does not depend on how the text is divided.
2. Held back is only what may still become a stop text. Tokens are held back and handed on whole, so
   that ids and probabilities stay with their text; only the one that the cut goes through is
   shortened.
3. The text of special tokens is shown to nobody, and is no part of a stop text.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from server.core.protocol import TokenInfo


class StopCutter:
    """Cut one answer's tokens at the first of several stop texts; empty texts stop nothing.

    The stop text goes with what is cut off, unless it is shown (`shows_stop`).
    """

    __slots__ = ("_first_characters", "_held", "_searches", "_shows_stop", "_width", "stopped_at")

    def __init__(self, stop: Iterable[str], *, shows_stop: bool = False) -> None:
        self._shows_stop = shows_stop
        self._searches: Final = [StopSearch(text) for text in _reachable(stop)]
        self._first_characters: Final = frozenset(search.text[0] for search in self._searches)
        self._held: list[TokenInfo] = []
        # Characters in `_held` that are shown.
        self._width = 0
        self.stopped_at: str | None = None
        """The stop text at which the answer ended, None as long as it has not."""

    def feed(self, tokens: list[TokenInfo]) -> list[TokenInfo]:
        """Return what can be handed on now; nothing, once a stop text has been reached."""
        if self.stopped_at is not None:
            return []
        if not self._held and all(
            self._first_characters.isdisjoint(token.text) for token in tokens
        ):
            return tokens
        text = "".join([token.text for token in tokens if not token.special])
        self._held += tokens
        found = [
            (end, -len(search.text), search.text)
            for search in self._searches
            if (end := search.feed(text)) is not None
        ]
        if found:
            end, _, self.stopped_at = min(found)
            end_of_answer = end if self._shows_stop else end - len(self.stopped_at)
            return self._cut(self._width + end_of_answer)
        self._width += len(text)
        return self._release(self._width - max(search.matched for search in self._searches))

    def finish(self) -> list[TokenInfo]:
        """Return what is still held back, when the answer has ended without a stop text."""
        tokens, self._held, self._width = self._held, [], 0
        return tokens

    def _release(self, place: int) -> list[TokenInfo]:
        """Hand on the tokens that end before `place`, a number of shown characters."""
        if place == self._width:
            return self.finish()
        count, at = _count_before(self._held, place)
        released = self._held[:count]
        self._held = self._held[count:]
        self._width -= at
        return released

    def _cut(self, place: int) -> list[TokenInfo]:
        """Hand on everything before `place`, and forget the rest."""
        held = self.finish()
        count, at = _count_before(held, place)
        tokens = held[:count]
        if at < place:
            rest = held[count]
            tokens.append(msgspec.structs.replace(rest, text=rest.text[: place - at]))
        return tokens


class StopSearch:
    """Look for one text in another that comes piece by piece (Knuth, Morris and Pratt's way)."""

    __slots__ = ("_fallback", "matched", "text")

    def __init__(self, text: str) -> None:
        self.text: Final = text
        self._fallback: Final = _fallbacks(text)
        # Characters of `text` that stand at the end of what has come.
        self.matched = 0

    def feed(self, piece: str) -> int | None:
        """Return where in `piece` the text is complete for the first time."""
        text, fallback, matched = self.text, self._fallback, self.matched
        at = 0
        while at < len(piece):
            if matched == 0:
                at = piece.find(text[0], at)
                if at < 0:
                    break
            character = piece[at]
            while matched and text[matched] != character:
                matched = fallback[matched - 1]
            if text[matched] == character:
                matched += 1
            at += 1
            if matched == len(text):
                return at
        self.matched = matched
        return None


def _fallbacks(text: str) -> Sequence[int]:
    """Return for each beginning of `text` how much of it, not all, stands at its own end."""
    lengths = [0]
    for character in text[1:]:
        length = lengths[-1]
        while length and text[length] != character:
            length = lengths[length - 1]
        lengths.append(length + (text[length] == character))
    return lengths


def _reachable(stop: Iterable[str]) -> list[str]:
    """Return the texts, each once, that no other one of them always comes before."""
    texts = [text for text in dict.fromkeys(stop) if text]
    return [text for text in texts if not any(other in text[:-1] for other in texts)]


def _count_before(tokens: Sequence[TokenInfo], place: int) -> tuple[int, int]:
    """Return how many tokens begin and end before `place`, and where the last of them ends."""
    at = 0
    for count, token in enumerate(tokens):
        end = at if token.special else at + len(token.text)
        if at >= place or end > place:
            return count, at
        at = end
    return len(tokens), at
