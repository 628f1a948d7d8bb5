"""How long the gateway's loop is held up while a large run is read, and a large set is added.

The run is not asked but written into the file, so that only the reading is measured. Beside it a
process asks for the gateway's health all the time: its longest wait is the loop's, and a little
more. What else the machine does makes it wait too: so all is done a few times, and the smallest of
the longest waits is told. Answers come as files and are thrown away.
"""

import asyncio
import json
import math
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import aiohttp

from benchmarks.relay.processes import machine, memory_bytes, start_child
from benchmarks.relay.relays import gateway_with
from server.core.protocol import Timings, Usage
from server.evaluation.files.building import PromptLimits
from server.runs.judge_shapes import JudgeGiven, Judgement
from server.runs.sets import SetGiven, SetLibrary
from server.runs.shapes import CheckOutcome, RunAnswer, RunVote, Target
from server.runs.store import Store, StoreLimits

_OWNER: Final = "local"
_PART: Final = 1000
_VOTES: Final = 400
_JUDGED: Final = 2_000
_SET_BYTES: Final = 16 * 1024 * 1024 - 4096
_VOTE: Final = b'{"among": [0, 1], "winners": [1], "blind": true}'
_RUNS: Final = """
[runs]
file = {path}
"""
_MODEL: Final = """
[model m{number}]
runner = remote
url = http://127.0.0.1:9/v1
dialect = openai
flavour = plain
"""


@dataclass
class Probe:
    """A process that waits for the gateway, and how long it had to, by what was done meanwhile."""

    process: asyncio.subprocess.Process
    pids: list[int]
    phases: list[tuple[str, float, float, int, int]] = field(default_factory=list)

    @classmethod
    async def started(cls, port: int, pids: list[int]) -> "Probe":
        """Return a probe of the gateway at a port, which is these processes."""
        process = await start_child(
            *(sys.executable, "-m", "benchmarks.evaluate.probe", str(port)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 26,
        )
        assert process.stdout is not None
        await process.stdout.readline()
        return cls(process, pids)

    async def during(self, name: str, work: Callable[[], Awaitable[int]]) -> None:
        """Note how long something takes, how many bytes it is, and the memory in use then."""
        began = time.monotonic()
        size = await work()
        self.phases.append((name, began, time.monotonic(), size, memory_bytes(self.pids)))

    async def found(self) -> dict[str, dict[str, float]]:
        """Return the figures of each phase: of several rounds the shortest, and the last memory."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.stdout is not None
        seen = json.loads(await self.process.stdout.readline())
        await self.process.wait()
        found: dict[str, dict[str, float]] = {}
        for name, began, ended, size, memory in self.phases:
            longest = max(s for at, s in seen if at + s >= began and at <= ended)
            before = found.get(name, {"longest_ms": math.inf, "seconds": math.inf})
            found[name] = {
                "longest_ms": min(round(longest * 1000, 1), before["longest_ms"]),
                "seconds": min(round(ended - began, 2), before["seconds"]),
                "mib": round(size / 2**20, 1),
                "memory_mib": round(memory / 2**20, 1),
            }
        return found


async def measure(prompts: int, targets: int, rounds: int) -> dict[str, Any]:
    """Read a run of so many prompts and targets in all ways, and return the figures."""
    with tempfile.TemporaryDirectory(prefix="bench-runs-") as folder:
        path = Path(folder, "runs")
        run = await _written(path, prompts, targets)
        async with AsyncExitStack() as stack:
            models = "".join(_MODEL.format(number=number) for number in range(targets))
            settings = _RUNS.format(path=path) + models
            relay = await stack.enter_async_context(gateway_with(settings))
            http = await stack.enter_async_context(
                aiohttp.ClientSession(
                    f"http://127.0.0.1:{relay.port}", timeout=aiohttp.ClientTimeout(total=None)
                )
            )
            probe = await Probe.started(relay.port, relay.pids)
            await probe.during("nothing", partial(_waited, 2.0))
            for number in range(rounds):
                # So that the results and the leaderboard are not known already.
                await _asked(http, "PUT", f"/runs/{run}/prompts/{number}/vote", _VOTE)
                for name, way, address, body in _requests(run):
                    await probe.during(name, partial(_asked, http, way, address, body))
                await probe.during("a run of it begins", partial(_begun, http))
            phases = await probe.found()
    return {
        "answers": prompts * targets,
        "rounds": rounds,
        "phases": phases,
        "machine": machine(""),
    }


def longest_ms(figures: dict[str, Any]) -> float:
    """Return the longest wait of all phases, in milliseconds."""
    return max(float(phase["longest_ms"]) for phase in figures["phases"].values())


def _requests(run: str) -> list[tuple[str, str, str, bytes | None]]:
    lines = _lines()
    given = b'{"prompts": [' + b", ".join(lines) + b"]}"
    exports = [
        (form, "GET", f"/runs/{run}/export?form={form}", None) for form in ("csv", "jsonl", "html")
    ]
    return [
        ("results", "GET", f"/runs/{run}/results", None),
        ("results again", "GET", f"/runs/{run}/results", None),
        ("leaderboard", "GET", "/leaderboard", None),
        ("leaderboard again", "GET", "/leaderboard", None),
        *exports,
        ("rows", "GET", f"/runs/{run}/rows?first=100&count=200", None),
        ("judges", "GET", f"/runs/{run}/judges", None),
        ("set as a file", "PUT", "/prompt-sets?form=jsonl&name=Large", b"\n".join(lines)),
        ("set as a body", "POST", "/prompt-sets", given),
    ]


def _lines() -> list[bytes]:
    """Return prompts as JSON, as many and as long as a set may have."""
    count = 15_000
    words = "word " * (_SET_BYTES // count // 5 - 8)
    return [
        json.dumps({"prompt": f"Question {number}: {words}"}).encode() for number in range(count)
    ]


async def _asked(http: aiohttp.ClientSession, way: str, address: str, body: bytes | None) -> int:
    headers = {"Content-Type": "text/plain" if "form=" in address else "application/json"}
    size = 0
    async with http.request(way, address, data=body, headers=headers if body else {}) as response:
        async for piece in response.content.iter_any():
            size += len(piece)
            shown = piece
        if response.status >= 300:
            raise SystemExit(shown.decode())
    return size or len(body or b"")


async def _begun(http: aiohttp.ClientSession) -> int:
    """Begin a run of the last set; its model is none that answers."""
    async with http.get("/prompt-sets") as response:
        kept = (await response.json())["sets"][0]
    body = json.dumps({"prompt_set": kept["id"], "targets": [{"model": "m0"}]}).encode()
    return await _asked(http, "POST", "/runs", body)


async def _waited(seconds: float) -> int:
    await asyncio.sleep(seconds)
    return 0


async def _written(path: Path, prompts: int, targets: int) -> str:
    """Write a run that is done into a new file; return its id."""
    store = await Store.open(path, StoreLimits(100, 100, 8 << 30))
    try:
        check = {"type": "contains", "value": "word"}
        given = SetGiven([f"Question {number}?" for number in range(prompts)], checks=[check])
        kept = await SetLibrary(store, PromptLimits()).add(_OWNER, given)
        run = await store.add_run(
            _OWNER,
            name="Large",
            set_id=kept.id,
            version=kept.version,
            targets=[Target(f"m{number}", name=f"target {number}") for number in range(targets)],
            repeats=1,
        )
        for first in range(0, prompts, _PART):
            numbers = range(first, min(first + _PART, prompts))
            await store.answers.add(
                (run.number, _answer(prompt, target))
                for prompt in numbers
                for target in range(targets)
            )
        for prompt in range(min(_VOTES, prompts)):
            winner = (prompt * 7) % 3 % targets
            vote = RunVote(
                [*range(targets)], [winner], blind=True, prompt=prompt, voter="me", created=1.0
            )
            await store.votes.give(run.number, vote)
        judge = await store.judges.add(run.number, JudgeGiven("m0", "Is it well written?"))
        for prompt in range(min(_JUDGED, prompts)):
            await store.judges.keep(judge.number, _judgement(prompt, prompt % targets))
        await store.judges.set_state(judge.number, "done", None)
        await store.set_state(run.number, "done", None)
        return run.id
    finally:
        await store.close()


def _judgement(prompt: int, target: int) -> Judgement:
    return Judgement(
        prompt=prompt,
        repeat=0,
        first=target,
        second=None,
        grade=1 + (prompt * 7) % 5,
        better=None,
        reason="It is",
        reply='{"reason": "It is", "grade": 3}',
        asked=[{"role": "user", "content": "Is it well written? " * 40}],
        usage=Usage(200, 12),
        timings=Timings(1.0, 40.0, 300.0, 80.0),
    )


def _answer(prompt: int, target: int) -> RunAnswer:
    passed = (prompt * 31 + target * 17) % 10 > target
    outcome = CheckOutcome(
        {"type": "contains", "value": "word"}, passed, "The answer contains this text"
    )
    return RunAnswer(
        prompt=prompt,
        target=target,
        repeat=0,
        ended=1_000.0 + prompt,
        text=f"The **answer** to question {prompt} is a `word`:\n\n- " + "word and word " * 30,
        finish_reason="stop",
        usage=Usage(12, 90),
        timings=Timings(1.0, 40.0 + prompt % 50, 900.0, 80.0 + prompt % 9),
        parameters={"temperature": 0.7, "max_new_tokens": 256, "seed": prompt},
        checks=[outcome],
        passed=passed,
    )
