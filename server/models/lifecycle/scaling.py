"""How many replicas a model has within its range: more for a queue, fewer when they are idle.

Rules:

1. The number wanted is the least that can write all answers asked for at once. It follows only
   where the servers tell how many answers one writes at once, or `max_concurrent` does.
2. A queue that has stood for a while has as many replicas started as it needs. That it goes on
   while they start changes nothing.
3. Replicas go one at a time, each after a while in which one fewer would have been enough.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Decision:
    """How many replicas there are to be, and in how many seconds to decide again, None for never.

    Without a change of the demand nothing is decided before that.
    """

    count: int
    seconds: float | None = None


class Scaling:
    """Decide the number of replicas; times in seconds on one clock."""

    def __init__(self) -> None:
        self._more_since: float | None = None
        self._fewer_since: float | None = None

    def decide(
        self,
        *,
        count: int,
        least: int,
        most: int,
        answers: int,
        capacity: int | None,
        grow_after: float,
        shrink_after: float,
        now: float,
    ) -> Decision:
        """Return the number for so many `answers`, written and waiting.

        `count` is the number now, `capacity` how many answers one replica writes at once, None if
        that is not known.
        """
        if not least <= count <= most:
            self._more_since = self._fewer_since = None
            return Decision(min(max(count, least), most))
        wanted = count
        if capacity:
            wanted = min(max(math.ceil(answers / capacity), least), most)
        self._more_since = (self._more_since or now) if wanted > count else None
        self._fewer_since = (self._fewer_since or now) if wanted < count else None
        if self._more_since is not None:
            left = self._more_since + grow_after - now
            return Decision(count, left) if left > 0 else Decision(wanted)
        if self._fewer_since is not None:
            left = self._fewer_since + shrink_after - now
            if left > 0:
                return Decision(count, left)
            self._fewer_since = now
            return Decision(count - 1, shrink_after if count - 1 > wanted else None)
        return Decision(count)
