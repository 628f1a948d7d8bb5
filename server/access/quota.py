"""How much one key, and one address, may ask: requests, and tokens that are generated, a minute.

Rules:

1. Both count where callers can be told apart or are strangers: where there are keys, or others
   reach the server. On a machine of one's own there is nothing to share out.
2. What a minute allows may be had at once, and comes back evenly.
3. How long an answer will be, nobody knows before; it is let through while anything is left, and
   then counts in full. What is being written counts already.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Final

from server.access.attempts import neighbourhood
from server.access.principal import LOCAL, Caller
from server.core.errors import RateLimited
from server.core.generation import Generation
from server.core.rate import TokenBucket
from server.settings import AccessSettings

# Some 400 bytes each. Who is forgotten begins anew, so it takes that many addresses to gain a
# minute's worth.
_MOST_PAYERS: Final = 20_000


class Quota:
    """Count what callers ask, and refuse what is too much."""

    def __init__(
        self,
        access: AccessSettings,
        *,
        applies: Callable[[], bool],
        clock: Callable[[], float],
    ) -> None:
        self._applies = applies
        self._clock = clock
        self._requests = {
            "key": _Account("requests", access.requests_per_minute),
            "address": _Account("requests", access.requests_per_minute_per_address),
        }
        self._tokens = {
            "key": _Account("generated tokens", access.tokens_per_minute),
            "address": _Account("generated tokens", access.tokens_per_minute_per_address),
        }

    def take_request(self, caller: Caller) -> None:
        """Count a request; raises `RateLimited`."""
        if not self._applies():
            return
        now = self._clock()
        for kind, payer in _payers(caller):
            self._requests[kind].check(payer, kind, now)
        for kind, payer in _payers(caller):
            self._requests[kind].charge(payer, 1, now)

    def check_tokens(self, caller: Caller) -> None:
        """Raise `RateLimited` if nothing is left for another answer."""
        if not self._applies():
            return
        now = self._clock()
        for kind, payer in _payers(caller):
            self._tokens[kind].check(payer, kind, now)

    def begin(self, caller: Caller, generation: Generation) -> Callable[[], None]:
        """Count what an answer's tokens are from now on; returns what to call when it has ended."""
        payers = list(_payers(caller)) if self._applies() else []
        for kind, payer in payers:
            self._tokens[kind].watch(payer, generation)

        def end() -> None:
            for kind, payer in payers:
                self._tokens[kind].settle(payer, generation, self._clock())

        return end


class _Account:
    """What everybody of one kind has left of one thing; a limit of 0 is none."""

    def __init__(self, what: str, per_minute: float) -> None:
        self._what = what
        self._per_minute = per_minute
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()
        self._live: dict[str, set[Generation]] = {}

    def check(self, payer: str, kind: str, now: float) -> None:
        if not self._per_minute:
            return
        pending = sum(generation.seq for generation in self._live.get(payer, ()))
        lacking = 1 + pending - self._bucket(payer).balance(now)
        if lacking > 0:
            raise RateLimited(
                f"no more than {self._per_minute:g} {self._what} a minute for one {kind}",
                details={"retry_after_seconds": math.ceil(lacking * 60 / self._per_minute)},
            )

    def charge(self, payer: str, amount: float, now: float) -> None:
        if self._per_minute:
            self._bucket(payer).charge(amount, now)

    def watch(self, payer: str, generation: Generation) -> None:
        self._live.setdefault(payer, set()).add(generation)

    def settle(self, payer: str, generation: Generation, now: float) -> None:
        live = self._live[payer]
        live.discard(generation)
        if not live:
            del self._live[payer]
        self.charge(payer, generation.seq, now)

    def _bucket(self, payer: str) -> TokenBucket:
        bucket = self._buckets.get(payer)
        if bucket is None:
            bucket = TokenBucket(rate=self._per_minute / 60, burst=self._per_minute)
            self._buckets[payer] = bucket
            if len(self._buckets) > _MOST_PAYERS:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(payer)
        return bucket


def _payers(caller: Caller) -> Iterator[tuple[str, str]]:
    if caller.principal is not LOCAL:
        yield "key", caller.principal.id
    if caller.address:
        yield "address", neighbourhood(caller.address)
