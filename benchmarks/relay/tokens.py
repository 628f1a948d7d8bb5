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
_PLACES: Final = 10**_PLACE_DIGITS
_CLOCK: Final = 10 ** (TEXT_CHARS - _PLACE_DIGITS)

# One event of TGI 3 in its chunk; every field has a fixed width, so that one prefix fits all.
_EVENT: Final = (
    b'data: {"index":1%05d,"token":{"id":4217,"text":"%05d%011d","logprob":-0.31640625,'
    b'"special":false},"generated_text":%s,"details":%s}\n\n'
)


def clock_us() -> int:
    """Return microseconds of the monotonic clock, as far as a token's text shows them."""
    return time.monotonic_ns() // 1000 % _CLOCK


def _chunked(event: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(event), event)


def _template() -> bytes:
    """Return the whole chunk of a token in the middle, for `%` with place, place and clock."""
    event = _EVENT % (0, 0, 0, b"null", b"null")
    size = b"%x\r\n" % len(event)
    return size + _EVENT.replace(b":%s", b":null") + b"\r\n"


_TOKEN: Final = _template()


def token_chunk(place: int) -> bytes:
    """Write token number `place`, stamped with this moment."""
    place %= _PLACES
    return _TOKEN % (place, place, time.monotonic_ns() // 1000 % _CLOCK)


def last_chunks(place: int) -> bytes:
    """Write the last token, which says how many there were, and the end of the body."""
    details = b'{"finish_reason":"length","generated_tokens":%d,"seed":null}' % (place + 1)
    place %= _PLACES
    event = _EVENT % (place, place, clock_us(), b'"(the whole text)"', details)
    return _chunked(event) + b"0\r\n\r\n"


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
            if int(texts[at:middle]) != place % _PLACES:
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
