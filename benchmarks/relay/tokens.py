"""The tokens that are sent: each says which one it is and when it left.

A token's text is 16 digits: five of its place in the answer, eleven of the monotonic clock in
microseconds, which all processes of one machine share. Joined texts can be taken apart again, so
that a reader checks every token whichever way it was carried.
"""

import time
from array import array
from typing import Final

TEXT_CHARS: Final = 16
_PLACE_DIGITS: Final = 5
PLACES: Final = 10**_PLACE_DIGITS
"""As many places as a token's text can show; they begin anew after that."""
_CLOCK: Final = 10 ** (TEXT_CHARS - _PLACE_DIGITS)


def clock_us() -> int:
    """Return microseconds of the monotonic clock, as far as a token's text shows them."""
    return time.monotonic_ns() // 1000 % _CLOCK


class Record:
    """What a load client saw: how many tokens, and while it listens, how long each took."""

    def __init__(self) -> None:
        self.tokens = 0
        self.is_listening = False
        self.latencies_us = array("q")


class Answer:
    """Check one answer as it arrives."""

    def __init__(self, record: Record, asked_us: int) -> None:
        self._record = record
        self._asked_us = asked_us
        self.first_us: int | None = None
        self.tokens = 0
        self.is_in_order = True
        self.announced: int | None = None

    @property
    def is_complete(self) -> bool:
        """Tell whether every token that was sent has arrived, once and in its place."""
        return self.is_in_order and self.tokens == self.announced

    @property
    def has_ended(self) -> bool:
        """Tell whether its last event has arrived."""
        return self.announced is not None

    def take(self, texts: bytes, now_us: int) -> None:
        """Take joined token texts that arrived at `now_us`."""
        place = self.tokens
        record = self._record
        for at in range(0, len(texts), TEXT_CHARS):
            middle = at + _PLACE_DIGITS
            if int(texts[at:middle]) != place % PLACES:
                self.is_in_order = False
            place += 1
            if record.is_listening:
                sent_us = int(texts[middle : at + TEXT_CHARS])
                record.latencies_us.append((now_us - sent_us) % _CLOCK)
        record.tokens += place - self.tokens
        self.tokens = place
        if self.first_us is None:
            self.first_us = (now_us - self._asked_us) % _CLOCK

    def end(self, announced: int) -> None:
        """Take note of how many tokens the model server says it sent."""
        self.announced = announced
