"""How often one address may try what turns out wrong.

Five at once, then one in ten seconds: nobody who mistypes meets this, and a log stays readable.
Keys cannot be guessed anyway; this is against the noise, and for a cookie's or a ticket's sake.
"""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from server.core.rate import TokenBucket

_AT_ONCE: Final = 5
_SECONDS_EACH: Final = 10.0
# Some 300 bytes each.
_MOST_ADDRESSES: Final = 10_000
# What one customer of an IPv6 network has at the least.
_IPV6_BITS: Final = 64


class Attempts:
    """Count failed attempts by address."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def seconds_to_wait(self, address: str) -> float:
        """Return how long this address has to wait before it may fail again; 0 if not at all."""
        bucket = self._buckets.get(neighbourhood(address))
        if bucket is None:
            return 0.0
        bucket.balance(self._clock())
        return bucket.seconds_until()

    def fail(self, address: str) -> None:
        """Take note of an attempt that has failed."""
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
    """Return what counts as one address: of IPv6 a whole network, which one client has."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4:
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, _IPV6_BITS), strict=False))
