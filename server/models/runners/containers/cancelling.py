"""Let a request to an engine finish although whoever made it was cancelled.

What an engine has begun can be undone only once it has answered.
"""

import asyncio
from typing import TypeVar

T = TypeVar("T")


async def end_of(task: "asyncio.Future[T]") -> BaseException | None:
    """Wait until `task` has ended, however often this is cancelled; return its error."""
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            continue
    return asyncio.CancelledError() if task.cancelled() else task.exception()
