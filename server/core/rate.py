"""A token bucket; the time is passed in."""


class TokenBucket:
    """Allow `rate` actions a second on average and `burst` of them at once."""

    def __init__(self, *, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._filled_at: float | None = None

    def take(self, now: float, *, amount: float = 1.0) -> bool:
        """Take from the bucket at `now` (seconds); tell whether there was enough."""
        if self.balance(now) < amount:
            return False
        self._tokens -= amount
        return True

    def charge(self, amount: float, now: float) -> None:
        """Take from the bucket what is used already, even more than it holds."""
        self.balance(now)
        self._tokens -= amount

    def balance(self, now: float) -> float:
        """Return what is in the bucket at `now` (seconds); less than nothing is a debt."""
        if self._filled_at is not None:
            elapsed = max(now - self._filled_at, 0.0)
            self._tokens = min(self._tokens + elapsed * self._rate, self._burst)
        self._filled_at = now
        return self._tokens

    def seconds_until(self, amount: float = 1.0) -> float:
        """Return how long after the last `take` there will be enough."""
        return max(amount - self._tokens, 0.0) / self._rate
