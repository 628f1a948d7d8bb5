"""Limits for one key and for one address: requests and generated tokens per minute.

Rules:

1. The limits apply if there are keys or other machines reach the server, and not to a private
   server on one's own machine.
2. They are token buckets: a minute's worth may be used at once, and refills evenly.
3. The length of an answer is not known in advance: it may start while anything is left, and then
   counts in full. Answers that are still being generated count with the tokens they have.
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
from server.settings.access import AccessSettings

# Some 400 bytes each. A dropped bucket starts full again, so an attacker needs as many addresses
# to gain a minute's worth.
_MOST_PAYERS: Final = 20_000


class Quota:
    """Count what callers use, and refuse what exceeds the limits."""

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
        """Raise `RateLimited` if no tokens are left for another answer."""
        if not self._applies():
            return
        now = self._clock()
        for kind, payer in _payers(caller):
            self._tokens[kind].check(payer, kind, now)

    def begin(self, caller: Caller, generation: Generation) -> Callable[[], None]:
        """Count an answer's tokens from now on; the returned function is called at its end."""
        payers = list(_payers(caller)) if self._applies() else []
        for kind, payer in payers:
            self._tokens[kind].watch(payer, generation)

        def end() -> None:
            for kind, payer in payers:
                self._tokens[kind].settle(payer, generation, self._clock())

        return end


class _Account:
    """The buckets of one limit, by key or by address; 0 means no limit."""

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
