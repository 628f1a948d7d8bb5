"""Have a model judge the answers of a run, or go on with one that has not judged all."""

import argparse
import asyncio
import sys
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

from server.evaluate.asking import Api
from server.evaluate.halting import pause, unbroken
from server.evaluate.showing import Bar


async def judged(options: argparse.Namespace, api: Api, run: Any, bar: Bar) -> list[Any]:
    """Have the answers judged, and return what the judgements come to: nothing if it was deleted.

    Interrupted, the judge is paused. Raises `Refused`.
    """
    judge = await _begun(options, api, run)
    print(f"{options.judge} judges by {options.judge_by}", file=sys.stderr)
    try:
        async with aclosing(api.follow(run["id"], with_judges=True)) as states:
            async for state in states:
                own = next((one for one in state["judges"] if one["id"] == judge["id"]), None)
                if own is not None:
                    bar.show_judge(own)
                if own is None or own["state"] != "running":
                    break
    except asyncio.CancelledError:
        bar.end()
        await pause(api, run["id"], judge)
        raise
    bar.end()
    listing = await api.ask_patiently("GET", f"/runs/{run['id']}/judges")
    return [one for one in listing["judges"] if one["judge"]["id"] == judge["id"]]


async def _begun(options: argparse.Namespace, api: Api, run: Any) -> Any:
    """Return the judge, which is at work: one that has not judged all yet, or a new one."""
    address = f"/runs/{run['id']}/judges"
    given = {"model": options.judge, "criteria": options.criteria, "mode": options.judge_by}
    listing = await api.ask_patiently("GET", address)
    known = [one["judge"] for one in listing["judges"]]
    unfinished = [one for one in known if _is_of(one, given) and _has_more(one)]
    if unfinished:
        begin = api.ask("POST", f"{address}/{unfinished[-1]['id']}/continue")
    else:
        begin = api.ask("POST", address, given)
    judge, is_interrupted = await unbroken(begin)
    if is_interrupted:
        await pause(api, run["id"], judge)
        raise asyncio.CancelledError
    return judge


def _is_of(judge: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    """Tell whether a judge was begun as this one would be: with nothing else that is its own."""
    plain = {"grades": 5, "parameters": {}, **given}
    return plain.items() <= judge.items()


def _has_more(judge: Mapping[str, Any]) -> bool:
    """Tell whether a judge has more to judge, be it of answers that came since."""
    is_done: bool = judge["state"] == "done" and judge["judged"] >= (judge["total"] or 0)
    return not is_done


async def why_unreadable(api: Api, run_id: str, found: Mapping[str, Any]) -> list[str]:
    """Return a sentence if none of a judge's replies can be read, else none; raises `Refused`."""
    judge = found["judge"]
    if not judge["judged"] or judge["unreadable"] < judge["judged"]:
        return []
    address = f"/runs/{run_id}/judges/{judge['id']}"
    said = (await api.ask_patiently("GET", address, count=1))["judgements"]
    reason = next((f"; the first: {one['reason']}" for one in said if one["reason"]), "")
    return [f"no reply of the judge {judge['model']} can be read{reason}"]
