"""Short-lived passes in place of a key: tickets for a socket, and sign-ins of the page.

A pass is random, and only its SHA-256 is stored, with the id of its key: when the key becomes
invalid, so does the pass.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from server.access.key import digest_of

_RANDOM_BYTES: Final = 24


@dataclass(frozen=True)
class _Pass:
    key_id: str
    ends_at: float


class Passes:
    """Issue and check passes; beyond `most`, the oldest becomes invalid."""

    def __init__(self, *, lifetime_seconds: float, most: int, clock: Callable[[], float]) -> None:
        self._lifetime_seconds = lifetime_seconds
        self._most = most
        self._clock = clock
        self._passes: dict[str, _Pass] = {}

    def __len__(self) -> int:
        return len(self._passes)

    def issue(self, key_id: str) -> str:
        """Return a new pass for the holder of a key."""
        now = self._clock()
        # All have the same lifetime, so that the first in the dict expires first.
        while self._passes:
            oldest = next(iter(self._passes))
            if len(self._passes) < self._most and self._passes[oldest].ends_at > now:
                break
            del self._passes[oldest]
        token = secrets.token_urlsafe(_RANDOM_BYTES)
        self._passes[digest_of(token)] = _Pass(key_id, now + self._lifetime_seconds)
        return token

    def key_id(self, token: str) -> str | None:
        """Return the id of the key that a pass stands for, None if it is invalid."""
        found = self._passes.get(digest_of(token))
        return found.key_id if found is not None and self._clock() < found.ends_at else None

    def take(self, token: str) -> str | None:
        """Return what `key_id` does, and make the pass invalid."""
        key_id = self.key_id(token)
        self._passes.pop(digest_of(token), None)
        return key_id
