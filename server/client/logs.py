"""Read a model server's log, over any number of connections.

A subscription ends with its socket. After a reconnect the log is requested from further back, and
known lines are dropped: those older than the last one, and as many with its timestamp as were
already received.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Final

from server.client.messages import LogLine, SidestreamError

# The server's limit.
_MAX_TAIL: Final = 10_000


class LogReading:
    """The lines of one log, until the reader stops."""

    def __init__(self, model: str, *, tail: int, follow: bool) -> None:
        self.subscription: str | None = None
        self._model = model
        self._tail = tail
        self._follow = follow
        self._lines: deque[LogLine] = deque()
        self._last_time: float | None = None
        self._count_at_last_time = 0
        self._known_at_last_time = 0
        self._is_catching_up = False
        self._has_ended = False
        self._error: SidestreamError | None = None
        self._changed = asyncio.Event()

    @property
    def command(self) -> dict[str, Any]:
        """Return the fields of the command that starts or resumes the subscription."""
        tail = self._tail if self._last_time is None else _MAX_TAIL
        return {"model": self._model, "tail": tail, "follow": self._follow}

    @property
    def is_over(self) -> bool:
        """Tell whether no more lines will come."""
        return self._has_ended or self._error is not None

    async def next_line(self) -> LogLine | None:
        """Return the next line, None after the last; raises `SidestreamError`."""
        while not self._lines:
            if self._error is not None:
                raise self._error
            if self._has_ended:
                return None
            self._changed.clear()
            await self._changed.wait()
        return self._lines.popleft()

    def begin(self, subscription: str) -> None:
        """Take the id of the new subscription."""
        self.subscription = subscription
        self._is_catching_up = self._last_time is not None
        self._known_at_last_time = self._count_at_last_time

    def receive(self, event: Mapping[str, Any]) -> None:
        """Take a `log` event."""
        self._lines.extend(self._news(map(LogLine.from_wire, event["lines"])))
        if event.get("ended", False):
            self.subscription = None
            self._has_ended = True
        self._changed.set()

    def fail(self, error: SidestreamError) -> None:
        """End the reading with an error."""
        self._error = error
        self._changed.set()

    def _news(self, lines: Iterable[LogLine]) -> Iterable[LogLine]:
        for line in lines:
            if self._is_catching_up and self._is_known(line):
                continue
            self._is_catching_up = False
            if line.time != self._last_time:
                self._last_time = line.time
                self._count_at_last_time = 0
            self._count_at_last_time += 1
            yield line

    def _is_known(self, line: LogLine) -> bool:
        if self._last_time is None or line.time > self._last_time:
            return False
        if line.time == self._last_time:
            self._known_at_last_time -= 1
            return self._known_at_last_time >= 0
        return True
