"""Answers that are determined by their request, cached to be given again.

Only an answer without chance is cached: not sampled or, on a server that is greedy by default, with
a seed. The key is everything that determines the answer, the model server's identity included. A
cached answer is written into a log like one that is being generated. If the server did not take the
temperature that removes chance, nothing is cached. Bounded by bytes and by age.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from server.core.parameters import is_sampled
from server.core.protocol import Notice, TokenInfo
from server.dialects.base import Ask, EngineInfo, Finish

# Memory of a token beside its text: the struct, its numbers, its entry in a list.
_TOKEN_BYTES: Final = 200
_ENTRY_BYTES: Final = 500


@dataclass(frozen=True)
class CachedAnswer:
    """The tokens of a whole answer and how it finished."""

    tokens: list[TokenInfo]
    finish: Finish


class AnswerCache:
    """Cache the most recently used answers; `max_bytes` 0 caches none."""

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

    def key(self, server_id: str, info: EngineInfo, ask: Ask) -> bytes | None:
        """Return the key of an answer; None if it cannot be cached.

        A seed makes an answer repeatable only on servers that are greedy by default: on others only
        within one batch, on one machine, or not at all.
        """
        if not self._max_bytes:
            return None
        is_random = is_sampled(ask.parameters, unset_is_greedy=info.unset_is_greedy)
        if is_random and not (info.unset_is_greedy and "seed" in ask.parameters):
            return None
        return msgspec.json.encode(
            [
                [server_id, info.model_id, info.version, ask.model],
                ask.prompt.content,
                sorted(ask.parameters.items()),
                sorted(ask.extra.items()),
                ask.wants_tokens and not info.always_tells_tokens,
                ask.is_lenient,
            ]
        )

    def get(self, key: bytes) -> CachedAnswer | None:
        """Return the cached answer, unless it is too old."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        cached_at, _, answer = entry
        if self._clock() - cached_at > self._max_age_seconds:
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return answer

    def put(self, key: bytes, answer: CachedAnswer) -> None:
        """Cache an answer; the least recently used ones make room."""
        if any(map(_adds_chance, answer.finish.notices)):
            return
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


def _adds_chance(notice: Notice) -> bool:
    about = notice.details or {}
    return notice.code == "parameter_left_out" and about.get("parameter") == "temperature"
