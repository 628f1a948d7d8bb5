"""The last lines of a model server's log, for any number of readers.

Each reader has its own position. A slow reader misses lines that were dropped in the meantime; it
delays no other reader, and memory stays bounded.
"""

from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

from server.models.state_changed import StateChanged

# Twice as much as a start of TGI that ends with a traceback.
MAX_LINES: Final = 2000
# A bound for very long lines; ordinary ones never reach it.
MAX_CHARS: Final = 2_000_000


@dataclass(frozen=True)
class LogLine:
    """One line of a model server's log; `time` is in seconds since the epoch."""

    time: float
    stream: str
    text: str


class LogBook:
    """Hold the last lines, and notify readers of new ones."""

    def __init__(
        self,
        *,
        max_lines: int = MAX_LINES,
        max_chars: int = MAX_CHARS,
        on_line: Callable[[LogLine], None] = lambda line: None,
    ) -> None:
        """`on_line` is called with every new line."""
        self._on_line = on_line
        self._lines: deque[LogLine] = deque()
        self._max_lines = max_lines
        self._max_chars = max_chars
        self._chars = 0
        self._count = 0
        self._is_closed = False
        self._changed = StateChanged()

    def add(self, line: LogLine) -> None:
        """Append a line."""
        self._lines.append(line)
        self._count += 1
        self._chars += len(line.text)
        while len(self._lines) > self._max_lines or self._chars > self._max_chars:
            self._chars -= len(self._lines.popleft().text)
        self._changed.notify_all()
        self._on_line(line)

    def close(self) -> None:
        """End the log, so that readers who follow it end."""
        self._is_closed = True
        self._changed.notify_all()

    def tail(self, count: int) -> list[LogLine]:
        """Return the last `count` lines, fewer if there are fewer."""
        return list(self._lines)[max(len(self._lines) - count, 0) :]

    async def read(self, *, tail: int, follow: bool) -> AsyncIterator[list[LogLine]]:
        """Yield the last `tail` lines, then, if `follow`, new lines until the log is closed."""
        seen = self._count - min(tail, len(self._lines))
        while True:
            missed = self._count - seen
            seen = self._count
            if missed:
                yield self.tail(missed)
            # Lines may have been added while the reader handled the last ones.
            if seen == self._count:
                if self._is_closed or not follow:
                    return
                await self._changed_from(seen)

    async def _changed_from(self, count: int) -> None:
        await self._changed.wait_for(lambda: self._is_closed or self._count != count)
