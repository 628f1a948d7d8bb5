"""Short-lived stand-ins for a key: tickets for a socket, and sign-ins of the page.

A pass is random, and only its SHA-256 is kept. It knows its key by the key's id, so that it is
worth nothing as soon as the key is not.
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
    """Give out passes and take them back; beyond `most`, the oldest is worth nothing any more."""

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
        # They have one lifetime, so that those who end first stand first.
        while self._passes:
            oldest = next(iter(self._passes))
            if len(self._passes) < self._most and self._passes[oldest].ends_at > now:
                break
            del self._passes[oldest]
        token = secrets.token_urlsafe(_RANDOM_BYTES)
        self._passes[digest_of(token)] = _Pass(key_id, now + self._lifetime_seconds)
        return token

    def key_id(self, token: str) -> str | None:
        """Return whose pass this is, None if it is worth nothing."""
        found = self._passes.get(digest_of(token))
        return found.key_id if found is not None and self._clock() < found.ends_at else None

    def take(self, token: str) -> str | None:
        """Return whose pass this was, which from now on is worth nothing."""
        key_id = self.key_id(token)
        self._passes.pop(digest_of(token), None)
        return key_id
