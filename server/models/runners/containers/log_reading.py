"""Read the lines of one log from the engine, from where the last reading ended.

The engine can give lines from a time stamp on, and several lines may have the same one: those of
them that were read already are left out.
"""

from collections.abc import AsyncGenerator
from datetime import datetime

from server.models.runners.containers.client import DockerEngine
from server.models.runners.containers.demultiplexer import Demultiplexer, StampedLine


class Unread:
    """Tell new lines from those that were read already, when a log is read again."""

    def __init__(self) -> None:
        self.since = ""
        """The time stamp of the last line."""
        self._given = 0
        self._to_skip = 0

    def again(self) -> None:
        """Begin to read again, from `since` on."""
        self._to_skip = self._given

    def has(self, line: StampedLine) -> bool:
        """Tell whether the next line is new; from then on it is not."""
        if line.stamp != self.since:
            self.since, self._given, self._to_skip = line.stamp, 0, 0
        elif self._to_skip:
            self._to_skip -= 1
            return False
        self._given += 1
        return True


async def read_log(
    engine: DockerEngine, path: str, *, tail: str, since: str, follow: bool
) -> AsyncGenerator[StampedLine, None]:
    """Yield the last `tail` lines from the time stamp `since` on, and new ones if `follow`.

    Raises the errors in `errors`.
    """
    parameters = {
        "stdout": "1",
        "stderr": "1",
        "timestamps": "1",
        "tail": tail,
        "follow": "1" if follow else "0",
    }
    if since:
        parameters["since"] = _unix(since)
    demultiplexer = Demultiplexer()
    async with engine.stream("read a log", "GET", path, parameters) as chunks:
        async for chunk in chunks:
            for line in demultiplexer.feed(chunk):
                yield line
    for line in demultiplexer.finish():
        yield line


def _unix(stamp: str) -> str:
    """Convert an RFC 3339 time to seconds since the epoch, with nanoseconds, as text."""
    whole, _, fraction = stamp.rstrip("Z").partition(".")
    seconds = int(datetime.fromisoformat(f"{whole}+00:00").timestamp())
    return f"{seconds}.{fraction or 0:0<9}"
