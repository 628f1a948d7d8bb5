"""Measure a run of many prompts: `python3 run.py bench evaluate`.

A gateway of its own asks a fake server, of which it sees several models that each write a few
answers at once. An answer is a few tokens at a steady pace, the same for all. Told are which part
of the slots' time was used while prompts waited, and the gateway's CPU time and memory meanwhile.
With `--reading` a run that is complete is read instead (`reading.py`); with `--page` the page shows
one in Chromium (`page.py`).
"""

import argparse
import asyncio
import json
import sys
from typing import Any, Final

import aiohttp

from benchmarks.evaluate import reading
from benchmarks.evaluate.slots import Slots, sections
from benchmarks.relay.processes import cpu_seconds, machine, memory_bytes
from benchmarks.relay.relays import gateway_with

_SHARES: Final = (0.1, 0.5, 1.0)
_MOST_MS: Final = 50.0


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run the prompts and return the figures."""
    slots = Slots(options.tokens, options.answer_ms / 1000 / options.tokens)
    async with (
        slots.listening() as url,
        gateway_with(sections(url, options.targets, options.slots)) as relay,
        aiohttp.ClientSession(f"http://127.0.0.1:{relay.port}") as http,
    ):
        given = {"prompts": [f"Question {number}?" for number in range(options.prompts)]}
        kept = await _ask(http, "/prompt-sets", given)
        targets = [{"model": f"m{number}"} for number in range(options.targets)]
        cpu = cpu_seconds(relay.pids)
        run = await _ask(http, "/runs", {"prompt_set": kept["id"], "targets": targets})
        memory = await _memory_until_done(http, run, relay.pids)
        cpu = cpu_seconds(relay.pids) - cpu
    seconds = slots.ended - (slots.began or 0.0)
    answers = options.prompts * options.targets
    return {
        "answers": answers,
        "slots": options.slots * options.targets,
        "answer_ms": options.answer_ms,
        "tokens": options.tokens,
        "seconds": round(seconds, 1),
        "slots_busy": round(slots.busy_seconds / seconds / options.slots / options.targets, 4),
        "asked": slots.answers,
        "gateway_cpu_us_per_token": round(cpu / answers / options.tokens * 1e6, 1),
        "memory_mib": {f"{share:.0%}": round(size / 2**20, 1) for share, size in memory.items()},
        "machine": machine(""),
    }


async def _ask(http: aiohttp.ClientSession, path: str, body: Any) -> Any:
    async with http.post(path, json=body) as response:
        if response.status >= 300:
            raise SystemExit(await response.text())
        return await response.json()


async def _memory_until_done(
    http: aiohttp.ClientSession, run: Any, pids: list[int]
) -> dict[float, int]:
    """Follow a run to its end; return the gateway's memory at some of its shares."""
    seen: dict[float, int] = {}
    timeout = aiohttp.ClientTimeout(total=None)
    async with http.get(f"/runs/{run['id']}/events", timeout=timeout) as followed:
        async for line in followed.content:
            if not line.startswith(b"data: "):
                continue
            state = json.loads(line.removeprefix(b"data: "))
            for share in _SHARES:
                if share not in seen and state["answered"] >= share * state["total"]:
                    seen[share] = memory_bytes(pids)
    return seen


def main() -> int:
    """Run what the command line says; return 1 if less than 97 % of the slots' time was used.

    Or, with `--reading` or `--page`, if the loop or the page was held up for more than 50 ms.
    """
    parser = argparse.ArgumentParser(prog="bench evaluate", description=__doc__)
    parser.add_argument("--prompts", type=int, default=10_000)
    parser.add_argument("--targets", type=int, default=4)
    parser.add_argument("--slots", type=int, default=8, help="answers of a model at once")
    parser.add_argument("--answer-ms", type=float, default=500.0, help="length of an answer")
    parser.add_argument("--tokens", type=int, default=10, help="tokens of an answer")
    parser.add_argument(
        "--reading", action="store_true", help="measure how a run is read, in place of how it asks"
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often it is read")
    parser.add_argument(
        "--page", action="store_true", help="measure the page that shows a run while it asks"
    )
    options = parser.parse_args()
    if options.page:
        # Chromium and its driver are not needed for the rest.
        from benchmarks.evaluate import page

        seen = asyncio.run(page.measure())
        print(json.dumps(seen, indent=2))
        return int(seen["longest_task_ms"] > _MOST_MS)
    if options.reading:
        found = asyncio.run(reading.measure(options.prompts, options.targets, options.rounds))
        print(json.dumps(found, indent=2))
        return int(reading.longest_ms(found) > _MOST_MS)
    figures = asyncio.run(measure(options))
    print(json.dumps(figures, indent=2))
    return int(figures["slots_busy"] < 0.97)


if __name__ == "__main__":
    sys.exit(main())
