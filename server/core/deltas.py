"""The texts of one answer, delta by delta, joined on demand.

While the answer grows, its deltas are a list: to append is all that is done often. Once it has
ended they are one string and where each delta ends in it, which takes a fifth of the memory
for as long as somebody may come back for it.
"""

from array import array
from bisect import bisect_right
from itertools import accumulate


class Deltas:
    """An append-only sequence of texts; number n, counted from 1, never changes."""

    __slots__ = ("_ends", "_joined", "_texts")

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._joined = ""
        self._ends: array[int] | None = None

    def __len__(self) -> int:
        return len(self._texts) if self._ends is None else len(self._ends)

    def append(self, texts: list[str]) -> None:
        """Add deltas at the end; raises `ValueError` once the sequence is sealed."""
        if self._ends is not None:
            raise ValueError("a sealed sequence does not grow")
        self._texts += texts

    def seal(self) -> None:
        """Say that nothing will be added any more."""
        if self._ends is None:
            self._ends = array("L", accumulate(map(len, self._texts)))
            self._joined = "".join(self._texts)
            self._texts = []

    def text(self) -> str:
        """Return all of it."""
        return "".join(self._texts) if self._ends is None else self._joined

    def since(self, cursor: int, *, max_chars: int) -> tuple[str, int]:
        """Return the joined deltas after number `cursor`, and the number of the last of them.

        Stops before a delta that would exceed `max_chars`, but takes at least one.
        """
        if self._ends is not None:
            start = self._ends[cursor - 1] if cursor else 0
            stop = bisect_right(self._ends, start + max_chars, lo=cursor)
            stop = min(max(stop, cursor + 1), len(self._ends))
            return self._joined[start : self._ends[stop - 1] if stop else 0], stop
        fresh = self._texts[cursor:]
        if len(fresh) == 1:
            return fresh[0], cursor + 1
        if sum(map(len, fresh)) <= max_chars:
            return "".join(fresh), len(self._texts)
        room = max_chars
        count = 0
        for text in fresh:
            room -= len(text)
            if room < 0 and count:
                break
            count += 1
        return "".join(fresh[:count]), cursor + count
