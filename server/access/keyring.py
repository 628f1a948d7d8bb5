"""The keys that count now, in a server that runs.

Rules:

1. The file is looked at every `LOOK_SECONDS` and read when it has changed. As a file's time is
   coarse, one that changed just before it was read is read again at the next look, so that no
   change is missed.
2. A file that becomes unusable changes nothing but is reported: the keys known before count.
3. A key that has expired is none. Looking one up never depends on when the last look was.
4. Without any key, everybody is an operator where the server is for this machine only, or the
   settings insist; elsewhere nobody gets in.
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

# A look is one system call, some 2 µs. Half of what people take for "at once".
LOOK_SECONDS: Final = 0.25
# File systems tell times by at least this much (FAT: 2 s).
_COARSEST_TIME_SECONDS: Final = 2.0
# No file's: one that could not be read is tried again.
_UNREAD: Final = (0,)


class Keyring:
    """Know who holds which key."""

    def __init__(self, file: KeyFile, *, is_open_without_keys: bool) -> None:
        self._file = file
        self._is_open_without_keys = is_open_without_keys
        self._signature: tuple[int, ...] | None = file.signature()
        self._read_at = time.time()
        self._keys: Keys = file.read()
        self._report = ""

    @property
    def has_keys(self) -> bool:
        """Tell whether there is any key, be it an expired one."""
        return bool(self._keys)

    @property
    def is_open(self) -> bool:
        """Tell whether everybody is let in."""
        return not self._keys and self._is_open_without_keys

    def find(self, secret: str) -> Principal | None:
        """Return the holder of a key, None for a wrong or expired one; in constant time."""
        digest = digest_of(secret)
        found = None
        for key in self._keys:
            # To the end, so that the time tells nothing of where in the list a key stands.
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

    async def follow(self, on_look: Callable[[], None]) -> None:
        """Keep up with the file until cancelled; `on_look` is called after each look at it."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.look()
            on_look()

    def look(self) -> None:
        """Read the file if it may have changed."""
        try:
            signature = self._file.signature()
            if signature == self._signature and self._was_settled():
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

    def _was_settled(self) -> bool:
        """Tell whether the file was, when it was read, older than file systems are inexact."""
        if self._signature is None:
            return True
        changed_at = max(self._signature[1:3]) / 1e9
        return self._read_at - changed_at > _COARSEST_TIME_SECONDS
