"""How many wrong keys, tickets or cookies one address may send.

Five at once, then one every ten seconds: enough for somebody who mistypes. Keys are too long to be
guessed anyway; the limit keeps the log readable and protects tickets and cookies.
"""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from server.core.ip import parse_ip
from server.core.rate import TokenBucket

_AT_ONCE: Final = 5
_SECONDS_EACH: Final = 10.0
# Some 300 bytes each.
_MOST_ADDRESSES: Final = 10_000
# The smallest network that one IPv6 customer has.
_IPV6_BITS: Final = 64


class Attempts:
    """Count failed attempts by address."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def seconds_to_wait(self, address: str) -> float:
        """Return how many seconds this address has to wait before its next attempt."""
        bucket = self._buckets.get(neighbourhood(address))
        if bucket is None:
            return 0.0
        bucket.balance(self._clock())
        return bucket.seconds_until()

    def fail(self, address: str) -> None:
        """Count a failed attempt."""
        name = neighbourhood(address)
        bucket = self._buckets.get(name)
        if bucket is None:
            bucket = TokenBucket(rate=1 / _SECONDS_EACH, burst=_AT_ONCE)
            self._buckets[name] = bucket
            if len(self._buckets) > _MOST_ADDRESSES:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(name)
        bucket.take(self._clock())


def neighbourhood(address: str) -> str:
    """Return what counts as one address: for IPv6 the network that one client has."""
    parsed = parse_ip(address)
    if parsed is None or parsed.version == 4:
        return str(parsed or address)
    return str(ipaddress.ip_network((parsed, _IPV6_BITS), strict=False))
