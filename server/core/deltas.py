"""The pieces of one answer, delta by delta, joined on demand.

While the answer grows, its deltas are a list, to which appending is cheap. Once it has ended they
are one string and the offset of each delta's end in it, which takes a fifth of the memory for as
long as the answer is retained.

Deltas have kinds. Most answers are of one kind, so that kinds are kept as the runs in which they
come. What marks the beginning and the end of a run is a delta too: a reader that knows the kind
does not need its text, any other reader sees it in its place.
"""

from array import array
from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from server.core.protocol import Kind, ToolCall


class Label(NamedTuple):
    """What deltas are: their kind, whether they only mark it, and the tool call they belong to."""

    kind: Kind = "answer"
    is_mark: bool = False
    call: ToolCall | None = None


ANSWER = Label()


class Joined(NamedTuple):
    """Deltas of one kind, joined; `stop` is the number of the last of them."""

    text: str
    stop: int
    label: Label = ANSWER


class Deltas:
    """An append-only sequence of texts; number n, counted from 1, never changes."""

    __slots__ = ("_ends", "_joined", "_labels", "_starts", "_texts")

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._joined = ""
        self._ends: array[int] | None = None
        # Run number r holds the deltas from `_starts[r]` on; both are empty while all is answer.
        self._starts: list[int] = []
        self._labels: list[Label] = []

    def __len__(self) -> int:
        return len(self._texts) if self._ends is None else len(self._ends)

    def append(self, texts: list[str], label: Label = ANSWER) -> None:
        """Add deltas at the end; raises `ValueError` once the sequence is sealed."""
        if self._ends is not None:
            raise ValueError("a sealed sequence does not grow")
        if label is not ANSWER or self._labels:
            self._begin_run(label)
        self._texts += texts

    def seal(self) -> None:
        """Compact the sequence; nothing can be appended any more."""
        if self._ends is None:
            self._ends = array("L", accumulate(map(len, self._texts)))
            self._joined = "".join(self._texts)
            self._texts = []

    def text(self) -> str:
        """Return all of it, marks included."""
        return "".join(self._texts) if self._ends is None else self._joined

    def runs(self) -> Iterator[Joined]:
        """Return the runs in their order, each joined, with its label."""
        for start, stop, label in self._bounds():
            yield Joined(self._slice(start, stop), stop, label)

    def since(self, cursor: int, *, max_chars: int, kinds: Collection[str] = ()) -> Joined:
        """Return the joined deltas after number `cursor`, of one kind.

        A kind that is not in `kinds` is read as answer, with its marks; marks of one that is have
        no text. Stops before a delta that would exceed `max_chars`, but takes at least one.
        """
        if not kinds or not self._labels:
            return Joined(*self._take(cursor, len(self), max_chars))
        texts: list[str] = []
        read_as: Label | None = None
        for start, stop, own in self._bounds(cursor):
            is_known = own.kind in kinds
            label = Label(own.kind, call=own.call) if is_known else ANSWER
            if read_as is not None and read_as != label:
                break
            read_as = label
            if is_known and own.is_mark:
                cursor = stop
                continue
            if texts and max_chars <= 0:
                break
            text, cursor = self._take(max(start, cursor), stop, max_chars)
            texts.append(text)
            max_chars -= len(text)
            if cursor < stop:
                break
        return Joined("".join(texts), cursor, read_as or ANSWER)

    def _begin_run(self, label: Label) -> None:
        if not self._labels:
            if self._texts:
                self._starts.append(0)
                self._labels.append(ANSWER)
        elif self._labels[-1] == label:
            return
        self._starts.append(len(self._texts))
        self._labels.append(label)

    def _bounds(self, cursor: int = 0) -> Iterator[tuple[int, int, Label]]:
        """Return each run from the one after `cursor` on: where it starts, stops, and its label."""
        if not self._labels:
            yield 0, len(self), ANSWER
            return
        first = max(bisect_right(self._starts, cursor) - 1, 0)
        for run in range(first, len(self._starts)):
            is_last = run + 1 == len(self._starts)
            stop = len(self) if is_last else self._starts[run + 1]
            yield self._starts[run], stop, self._labels[run]

    def _slice(self, start: int, stop: int) -> str:
        if self._ends is None:
            return "".join(self._texts[start:stop])
        return self._joined[_offset(self._ends, start) : _offset(self._ends, stop)]

    def _take(self, cursor: int, end: int, max_chars: int) -> tuple[str, int]:
        """Return the deltas after `cursor` that fit, at least one, and the last's number."""
        if self._ends is not None:
            start = _offset(self._ends, cursor)
            stop = bisect_right(self._ends, start + max_chars, lo=cursor, hi=end)
            stop = min(max(stop, cursor + 1), end)
            return self._joined[start : _offset(self._ends, stop)], stop
        fresh = self._texts[cursor:end]
        if len(fresh) == 1:
            return fresh[0], cursor + 1
        if sum(map(len, fresh)) <= max_chars:
            return "".join(fresh), end
        room = max_chars
        count = 0
        for text in fresh:
            room -= len(text)
            if room < 0 and count:
                break
            count += 1
        return "".join(fresh[:count]), cursor + count


def _offset(ends: Sequence[int], count: int) -> int:
    """Return where delta number `count` ends."""
    return ends[count - 1] if count else 0
