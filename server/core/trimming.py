"""Leave out the oldest turns of a conversation that has outgrown a context: nothing is asked here.

A turn is a user's message with all that follows it up to the next one; what stands before the first
is a turn, too. A tool's answer stays with the call that it answers: where a user speaks between the
two, all of it is one turn. The system prompt and the last turn always stay.

A conversation's tokens are counted by its model server, and each count is a round trip.
`TrimSearch` says which conversation to count next: it guesses by bytes, and where that does not
help it halves what is left.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Generic, TypeVar

from server.core.token_bounds import Spoken, weight_of

MAX_MEASUREMENTS: Final = 8
"""How often a search measures before it is content with more turns left out than need be.

Guesses by bytes take two or three; where they are poor, five halvings follow.
"""
_MAX_GUESSES: Final = 3


M = TypeVar("M", bound=Spoken)


@dataclass(frozen=True)
class Turns(Generic[M]):
    """A conversation in turns, behind its system prompt."""

    system: Sequence[M]
    turns: Sequence[Sequence[M]]

    @classmethod
    def of(cls, messages: Sequence[M]) -> "Turns[M]":
        """Divide a conversation."""
        begins = next((at for at, one in enumerate(messages) if one.role != "system"), None)
        begins = len(messages) if begins is None else begins
        rest = messages[begins:]
        # Where turns begin, and where each call was made last, by its id.
        starts: list[int] = []
        called_at: dict[str, int] = {}
        for at, message in enumerate(rest):
            if message.role == "user" or not starts:
                starts.append(at)
            if message.role == "tool":
                # From its call to here all is one turn.
                del starts[bisect_right(starts, called_at.get(message.tool_call_id, at)) :]
            called_at.update({call.id: at for call in message.tool_calls})
        turns = [rest[begin:end] for begin, end in pairwise([*starts, len(rest)])]
        return cls(messages[:begins], turns)

    @property
    def most(self) -> int:
        """Return how many turns can be left out."""
        return max(len(self.turns) - 1, 0)

    def without(self, count: int) -> list[M]:
        """Return the messages without the `count` oldest turns."""
        return [*self.system, *(message for turn in self.turns[count:] for message in turn)]

    def weights(self) -> list[int]:
        """Return for each number of turns left out roughly what stays, in bytes."""
        sizes = [sum(map(weight_of, turn)) for turn in self.turns]
        left = sum(map(weight_of, self.system)) + sum(sizes)
        weights = [left]
        for size in sizes[: self.most]:
            left -= size
            weights.append(left)
        return weights


class TrimSearch:
    """Find the fewest turns to leave out so that at most `most_tokens` are left.

    `weights` are those of `Turns`, `tokens` the measured length with all turns. `guess` is the
    number of turns to measure without next, None when the search is over; `take` takes what was
    measured. `found` is the result, None where even the last turn alone is too long.
    """

    def __init__(self, weights: Sequence[int], tokens: int, *, most_tokens: int) -> None:
        self._weights = weights
        self._most_tokens = most_tokens
        self._measured = {0: tokens}
        fits = tokens <= most_tokens
        self._too_few = -1 if fits else 0
        self.found: int | None = 0 if fits else None

    @property
    def guess(self) -> int | None:
        """Return how many turns to leave out for the next measurement, None if none is needed."""
        last = len(self._weights) - 1
        enough = last + 1 if self.found is None else self.found
        if enough - self._too_few <= 1:
            return None
        taken = len(self._measured) - 1
        if taken >= MAX_MEASUREMENTS:
            return last if self.found is None else None
        if taken >= _MAX_GUESSES:
            return (self._too_few + enough) // 2
        return self._estimate(self._too_few + 1, enough - 1)

    def take(self, left_out: int, tokens: int) -> None:
        """Take the length that was measured without so many turns."""
        self._measured[left_out] = tokens
        if tokens <= self._most_tokens:
            self.found = left_out
        else:
            self._too_few = left_out

    def _estimate(self, low: int, high: int) -> int:
        """Return the fewest turns, from `low` to `high`, with which it fits if bytes tell."""
        weights, known = self._weights, self._too_few
        per_byte = self._measured[known] / weights[known]
        if self.found is not None and (span := weights[known] - weights[self.found]) > 0:
            per_byte = (self._measured[known] - self._measured[self.found]) / span
        excess = self._measured[known] - self._most_tokens
        return next(
            (k for k in range(low, high) if (weights[known] - weights[k]) * per_byte >= excess),
            high,
        )
