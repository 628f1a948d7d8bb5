"""Wait briefly for the engine's reports after a container's end: its cause, or a restart.

Rules:

1. The engine learns in two ways that memory ran out and that the container has ended; if it is
   busy, it reports one of them later. The same is true of the signals that it sent.
2. A restart of a container is a stop and a start, so the stop is not a request to stop the model.
3. Neither is the stop of all containers by an engine that shuts down.
"""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from server.engines.cause import Cause
from server.models.runners.base import Condition, Observation, Replica
from server.models.runners.docker.events import Events

logger = logging.getLogger(__name__)

_LATE_REPORT_SECONDS: Final = 1.0
_NO_SIGNALS: Final[frozenset[int]] = frozenset()

RESTARTED: Final = Cause(
    "gone", "somebody else restarted the model server's container", "start it again"
)
"""Why a server ended whose container runs again, and whose end nobody saw."""


async def with_late_reports(
    seen: Observation,
    count: int,
    inspect: Callable[[Replica], Awaitable[Observation]],
    events: Events,
) -> Observation:
    """Inspect an ended container again while its cause may still arrive, for a second at most."""
    is_running_again = False
    try:
        async with asyncio.timeout(_LATE_REPORT_SECONDS):
            while _may_get_reports(seen):
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
        return replace(seen, sent_signals=_NO_SIGNALS)
    return seen


def _may_get_reports(seen: Observation) -> bool:
    if seen.ended_by == signal.SIGKILL:
        return not seen.was_out_of_memory
    return seen.was_told_to_stop or seen.exit_code == 0 or seen.ended_by == signal.SIGTERM
