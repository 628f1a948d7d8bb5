"""Wait for the first of several servers that is ready."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from server.models.lifecycle.deployment import Deployment
from server.models.lifecycle.ready_server import ReadyServer


async def first_ready(
    several: Sequence[Deployment], ready: Callable[[Deployment], Awaitable[ReadyServer]]
) -> tuple[Deployment, ReadyServer]:
    """Return the first server for which `ready` returns, with what it returns.

    If it raises for all, the error of the lowest number is raised. Cancelled, it waits for none,
    and cancels no start.
    """
    waits = {asyncio.ensure_future(ready(one)): one for one in several}
    failures: dict[int, BaseException] = {}
    pending = set(waits)
    try:
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            errors = {task: task.exception() for task in done}
            for task, error in errors.items():
                if error is None:
                    return waits[task], task.result()
                failures[waits[task].number] = error
    finally:
        for task in pending:
            task.cancel()
    raise failures[min(failures)]
