"""The keys that are valid now, in a running server.

Rules:

1. The file is polled every `POLL_SECONDS` and read when it has changed. File times are coarse, so
   a file that changed just before it was read is read again at the next poll.
2. A file that becomes unusable is reported, and the keys that were known before stay valid.
3. An expired key is invalid at once, without waiting for a poll.
4. Without any key, everybody is an operator if only this machine reaches the server or the
   settings say `insecure = yes`; otherwise nobody gets in.
"""

import asyncio
import hmac
import logging
import time
from collections.abc import Callable
from typing import Final

from server.access.key import digest_of
from server.access.key_file import KeyFile, Keys, KeysUnusable
from server.access.principal import LOCAL, Principal

logger = logging.getLogger(__name__)

# A poll is one system call of some 2 µs.
POLL_SECONDS: Final = 0.25
# The resolution of file times on the coarsest file system (FAT).
_COARSEST_TIME_SECONDS: Final = 2.0
# The signature of no file, so that an unreadable file is tried again.
_UNREAD: Final = (0,)


class Keyring:
    """Find the holders of keys."""

    def __init__(self, file: KeyFile, *, is_open_without_keys: bool) -> None:
        self._file = file
        self._is_open_without_keys = is_open_without_keys
        self._signature: tuple[int, ...] | None = file.signature()
        self._read_at = time.time()
        self._keys: Keys = file.read()
        self._report = ""

    @property
    def has_keys(self) -> bool:
        """Tell whether there is any key, expired ones included."""
        return bool(self._keys)

    @property
    def is_open(self) -> bool:
        """Tell whether everybody gets in without a key."""
        return not self._keys and self._is_open_without_keys

    def find(self, secret: str) -> Principal | None:
        """Return the holder of a key, None for a wrong or expired one; in constant time."""
        digest = digest_of(secret)
        found = None
        for key in self._keys:
            # All keys are compared, so that the duration does not depend on the position.
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found.principal if found is not None and found.is_valid(time.time()) else None

    def holder(self, key_id: str) -> Principal | None:
        """Return the holder of the key with this id, None if it is no longer valid."""
        now = time.time()
        if key_id == LOCAL.id:
            return LOCAL if self.is_open else None
        found = [key for key in self._keys if key.id == key_id and key.is_valid(now)]
        return found[0].principal if found else None

    def named(self, name: str) -> Principal | None:
        """Return the holder of the key of this name, None if there is no valid one."""
        now = time.time()
        found = [key for key in self._keys if key.name == name and key.is_valid(now)]
        return found[0].principal if found else None

    async def follow(self, on_poll: Callable[[], None]) -> None:
        """Poll the file until cancelled; call `on_poll` after each poll."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            self.poll()
            on_poll()

    def poll(self) -> None:
        """Read the file if it may have changed."""
        try:
            signature = self._file.signature()
            if signature == self._signature and self._was_stable():
                return
            self._signature, self._read_at = signature, time.time()
            keys = self._file.read()
        except (KeysUnusable, OSError) as error:
            if str(error) != self._report:
                logger.error("the keys stay as they were: %s", error)
            self._report = str(error)
            self._signature = _UNREAD
            return
        self._report = ""
        if keys != self._keys:
            names = ", ".join(key.name for key in keys) or "none"
            logger.info("the keys have changed; those that count now: %s", names)
        self._keys = keys

    def _was_stable(self) -> bool:
        """Tell whether the file was old enough when it was read that its time had been distinct."""
        if self._signature is None:
            return True
        changed_at = max(self._signature[1:3]) / 1e9
        return self._read_at - changed_at > _COARSEST_TIME_SECONDS
