"""When frames are written: at once while that is cheap, in beats when it is not.

A frame costs about as much as everything else that is done for a token, most of it in the
kernel. Tokens that share a frame share that cost, so under load it pays to let them gather
for a few milliseconds.

Rules:

1. Writing may take a tenth of the time. A beat that took t is followed by a rest of 9 t, at
   most `MAX_REST_SECONDS`. Under little load that is less than the loop's clock can tell,
   and what is due leaves at the end of the loop's turn.
2. All that became due in the meantime is written in one beat: one timer for all sockets.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

logger = logging.getLogger(__name__)

REST_PER_WORK: Final = 9.0
# Half of what may be added to a token's way under load; the rest is for the beat itself.
MAX_REST_SECONDS: Final = 0.015

Write = Callable[[], None]


class Pulse:
    """Call what is to be written, together with everything else that is."""

    def __init__(self) -> None:
        self._due: list[Write] = []
        self._rests_until = 0.0

    def add(self, write: Write) -> None:
        """Have `write` called once, at the next beat."""
        self._due.append(write)
        if len(self._due) == 1:
            loop = asyncio.get_running_loop()
            rest = self._rests_until - time.monotonic()
            if rest > 0:
                loop.call_later(rest, self._beat)
            else:
                loop.call_soon(self._beat)

    def flush(self) -> None:
        """Write what is due without waiting for the beat."""
        self._beat()

    def _beat(self) -> None:
        began = time.monotonic()
        due, self._due = self._due, []
        for write in due:
            try:
                write()
            except Exception:
                logger.exception("a frame could not be written")
        ended = time.monotonic()
        self._rests_until = ended + min((ended - began) * REST_PER_WORK, MAX_REST_SECONDS)
