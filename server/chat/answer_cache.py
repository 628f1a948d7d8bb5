"""Answers that are determined by their question, kept to be given again.

Only an answer without chance in it is kept: no sampling, or a seed. It is keyed by
everything that determines it, the model server's own identity included, and given again
through the same log as one that is being written. Bounded by bytes and by age.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from server.core.parameters import convert, samples
from server.core.protocol import TokenInfo
from server.dialects.base import Finish

# What a token costs in memory beside its text: the struct, its numbers, its place in a list.
_TOKEN_BYTES: Final = 200
_ENTRY_BYTES: Final = 500


@dataclass(frozen=True)
class CachedAnswer:
    """A whole answer as it came."""

    tokens: list[TokenInfo]
    finish: Finish


class AnswerCache:
    """Keep the most recently used answers; `max_bytes` 0 keeps none."""

    def __init__(
        self,
        *,
        max_bytes: int,
        max_age_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_bytes = max_bytes
        self._max_age_seconds = max_age_seconds
        self._clock = clock
        self._bytes = 0
        self._entries: OrderedDict[bytes, tuple[float, int, CachedAnswer]] = OrderedDict()

    def key(self, server: Sequence[str], prompt: str, parameters: dict[str, Any]) -> bytes | None:
        """Return what the answer is kept under; None when chance or settings forbid it."""
        if not self._max_bytes:
            return None
        typed = convert(parameters)
        if samples(typed) and typed.seed is None:
            return None
        return msgspec.json.encode([server, prompt, sorted(parameters.items())])

    def get(self, key: bytes) -> CachedAnswer | None:
        """Return the answer kept under `key`, unless it has become too old."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        kept_at, _, answer = entry
        if self._clock() - kept_at > self._max_age_seconds:
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return answer

    def put(self, key: bytes, answer: CachedAnswer) -> None:
        """Keep an answer; the least recently used ones make room."""
        size = (
            _ENTRY_BYTES
            + len(key)
            + sum(
                len(token.text) + _TOKEN_BYTES * (1 + len(token.top or ()))
                for token in answer.tokens
            )
        )
        if size > self._max_bytes:
            return
        if key in self._entries:
            self._drop(key)
        self._entries[key] = (self._clock(), size, answer)
        self._bytes += size
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: bytes) -> None:
        _, size, _ = self._entries.pop(key)
        self._bytes -= size
