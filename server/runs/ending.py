"""Let tasks end by themselves for a while."""

import asyncio
from collections.abc import Collection


async def end_within(tasks: Collection[asyncio.Task[None]], grace_seconds: float) -> None:
    """Wait so long until all of the tasks have ended, then cancel those that have not."""
    if not tasks:
        return
    _, late = await asyncio.wait(tasks, timeout=grace_seconds)
    for task in late:
        task.cancel()
    if late:
        await asyncio.wait(late)
