"""One gateway controls one instance: a file lock that dies with its holder.

The lock is the kernel's, so a gateway killed in whatever way lets go of it, and a file left
behind means nothing. The holder's process id stands in the file for those who are refused.
"""

import asyncio
import fcntl
import os
import threading
from pathlib import Path


class InstanceLock:
    """Hold the right to control an instance's model servers until the process ends."""

    def __init__(self, directory: Path, instance: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        # Opened, not created anew: the file may be somebody's who holds it.
        self._file = os.open(directory / f"{instance}.lock", os.O_RDWR | os.O_CREAT, 0o600)

    def try_acquire(self) -> bool:
        """Take the lock if it is free; tell whether it is ours now."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        self._sign()
        return True

    def is_free(self) -> bool:
        """Tell whether nobody holds the lock."""
        if not self.try_acquire():
            return False
        fcntl.flock(self._file, fcntl.LOCK_UN)
        return True

    async def acquire(self) -> None:
        """Wait until the lock is ours; cancelled, the wait ends with the process."""
        loop = asyncio.get_running_loop()
        acquired = asyncio.Event()

        def wait() -> None:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            loop.call_soon_threadsafe(acquired.set)

        threading.Thread(target=wait, daemon=True, name="instance lock").start()
        await acquired.wait()
        self._sign()

    def holder(self) -> int | None:
        """Return the process id of the one who holds the lock, if it can be read."""
        text = os.pread(self._file, 32, 0).strip()
        return int(text) if text.isdigit() else None

    def _sign(self) -> None:
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, str(os.getpid()).encode(), 0)
