"""A connection to a model server broke: wait until it is known whether the server is gone.

A broken connection and the exit behind it are seen by two tasks, so the one waits for the other.
It ends as soon as the server proves to be well; and where nobody can tell how the server ended,
as soon as a look at it fails and that has been taken note of.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from server.dialects.base import Upstream
from server.models.demand import Demand

_CAUSE_SECONDS: Final = 10.0
_SECOND_LOOK_SECONDS: Final = 0.5
# A server that somebody else runs answers a look within this time, or is gone for our purposes.
_LOOK_SECONDS: Final = 5.0


async def until_explained(
    upstream: Upstream, is_gone: Callable[[], bool], demand: Demand, *, may_be_told: bool
) -> None:
    """Return once the server is known to be gone, proves to be well, or it has taken too long.

    `may_be_told` is whether the server's end is seen as such, with its cause.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(_CAUSE_SECONDS):
            while not is_gone():
                if may_be_told:
                    await _until(is_gone, demand)
                if is_gone() or await upstream.is_healthy(timeout_seconds=_LOOK_SECONDS):
                    return
                if not may_be_told:
                    await _until(is_gone, demand)


async def _until(is_gone: Callable[[], bool], demand: Demand) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(_SECOND_LOOK_SECONDS):
            await demand.until(is_gone)
