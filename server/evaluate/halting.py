"""What an interrupt does: the run, or its judge, is paused.

A first Ctrl-C pauses, and waits for the answers that are being written. A second one no longer
waits; the pause stands all the same, since the gateway has been asked for it by then.
"""

import asyncio
import sys
from collections.abc import Coroutine
from contextlib import aclosing
from typing import Any, Final

from server.evaluate.asking import Api
from server.evaluate.refused import Refused

_ASKING_SECONDS: Final = 10.0


async def unbroken(asking: Coroutine[Any, Any, Any]) -> tuple[Any, bool]:
    """Return what a request answers, and whether it was interrupted, which waits for the answer.

    Raises what it raises, and `CancelledError` if interrupted once more, or for long.
    """
    task = asyncio.create_task(asking)
    try:
        return await asyncio.shield(task), False
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=_ASKING_SECONDS)
        if not task.done():
            task.cancel()
            raise
        return task.result(), True


async def pause(api: Api, run_id: str, judge: Any = None) -> None:
    """Pause a run, or a judge of it, and wait until what is being written is complete.

    Cancelled, it stops waiting, and says so. Raises nothing: whoever calls it is about to end.
    """
    print("pausing… (Ctrl-C again does not wait for what is being written)", file=sys.stderr)
    address = f"/runs/{run_id}" if judge is None else f"/runs/{run_id}/judges/{judge['id']}"
    what = "the run" if judge is None else f"the judge {judge['id']}"
    more = f"--run {run_id}" if judge is None else f"--run {run_id} --judge {judge['model']}"
    try:
        _, is_interrupted = await unbroken(api.ask("POST", f"{address}/pause", wait="0"))
        state = "running" if is_interrupted else await _state_after(api, run_id, judge)
    except asyncio.CancelledError:
        state = "running"
    except Refused as error:
        print(f"{what} is not paused: {error}", file=sys.stderr)
        return
    if state == "running":
        print(f"not waited for; {what} is paused once that is complete", end="", file=sys.stderr)
    else:
        print(f"{what} is {state}", end="", file=sys.stderr)
    print(f"; go on with {more}", file=sys.stderr)


async def _state_after(api: Api, run_id: str, judge: Any) -> str:
    """Return the state of a run or a judge once it is not at work any more."""
    state = "running"
    async with aclosing(api.follow(run_id, with_judges=judge is not None)) as told:
        async for run in told:
            found = run if judge is None else _by_id(run["judges"], judge["id"])
            state = "deleted" if found is None else found["state"]
            if state != "running":
                break
    return state


def _by_id(judges: Any, judge_id: str) -> Any:
    return next((one for one in judges if one["id"] == judge_id), None)
