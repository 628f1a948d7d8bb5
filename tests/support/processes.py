"""What the system knows of processes, for tests that make sure none is left behind."""

import asyncio
import os
from pathlib import Path


def children(parent: int | None = None) -> set[int]:
    """Return the processes that a process (by default this one) has started, dead ones too."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text(errors="replace")
        except OSError:  # It has ended in between.
            continue
        # The name in brackets may hold anything, brackets too.
        if int(text.rpartition(")")[2].split()[1]) == (parent or os.getpid()):
            found.add(int(stat.parent.name))
    return found


class Watched:
    """A process, of whatever parent, whose end can be waited for."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        try:
            self._fd: int | None = os.pidfd_open(pid)
        except ProcessLookupError:
            self._fd = None

    async def gone(self, *, ceiling_seconds: float = 10) -> None:
        """Return when it has ended; raises AssertionError if it lives on."""
        if self._fd is None:
            return
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(self._fd, ended.set)
        try:
            async with asyncio.timeout(ceiling_seconds):
                await ended.wait()
        except TimeoutError:
            raise AssertionError(f"process {self.pid} lives on") from None
        finally:
            loop.remove_reader(self._fd)
            os.close(self._fd)
