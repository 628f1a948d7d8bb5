"""What the engine says of a container's end a little after that: why, or that it runs again.

Rules:

1. That memory ran out and that a container has ended the engine hears at the same moment, by two
   ways. One that is busy passes them on apart. So it is with what somebody had it send.
2. To restart a container is to stop it and to start it: whoever does that does not want it
   stopped.
3. An engine that goes down stops its containers, which is nobody's wish either.
"""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from server.models.runners.base import Condition, Observation, Replica
from server.models.runners.docker.events import Events

logger = logging.getLogger(__name__)

_LATE_WORD_SECONDS: Final = 1.0
_UNASKED: Final[frozenset[int]] = frozenset()


async def with_late_word(
    seen: Observation,
    count: int,
    inspect: Callable[[Replica], Awaitable[Observation]],
    events: Events,
) -> Observation:
    """Look again at an ended container of whose end more may be said, for a second at most."""
    is_running_again = False
    try:
        async with asyncio.timeout(_LATE_WORD_SECONDS):
            while _may_be_told_of(seen):
                await events.after(count)
                count = events.count
                again = await inspect(seen.replica)
                if again.condition is not Condition.EXITED:
                    is_running_again = again.condition is Condition.RUNNING
                    break
                seen = again
    except TimeoutError:
        logger.debug("no more is said of the end of %s", seen.replica.model)
    if is_running_again or not events.is_connected:
        return replace(seen, sent_signals=_UNASKED)
    return seen


def _may_be_told_of(seen: Observation) -> bool:
    if seen.ended_by == signal.SIGKILL:
        return not seen.was_out_of_memory
    return seen.was_told_to_stop or seen.exit_code == 0 or seen.ended_by == signal.SIGTERM
