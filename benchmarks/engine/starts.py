"""How long a start takes from `python3 run.py` to the first token, beside llama.cpp's own servers.

The settings are those that come with the project, and the model is their first one, whose weights
are here already. llama-server, where one is installed, and the server out of the wheel have the
same weights, slots, context and threads. All are asked as soon as they listen, and take turns in
an order that alternates.
"""

import asyncio
import contextlib
import json
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Final

import aiohttp

from benchmarks.relay.processes import start_child
from server.client import connect
from server.settings.files import DEFAULT_SETTINGS
from server.settings.loading import load
from server.settings.models import ModelSettings
from tests.support.ports import free_ports
from tests.support.real_servers import ROOT, SERVERS, has, small_model

GOAL_SECONDS: Final = 1.0
"""How much later than llama-server's the first token may come."""
_LOOK_SECONDS: Final = 0.005

Start = Callable[[], Awaitable[float]]
"""Start a server, ask it, end it; return the seconds until its first token."""


async def compare_starts(rounds: int) -> bool:
    """Print medians and what `run.py` takes more; tell whether the goal is met."""
    name, model = next(iter(load(DEFAULT_SETTINGS, os.environ).models.items()))
    threads = model.threads or os.cpu_count() or 1
    bare_servers = _bare_servers(model, threads)
    starts: dict[str, Start] = {"run.py": partial(_run_py, name)}
    starts |= {which: partial(_bare, words) for which, words in bare_servers.items()}
    print(
        f"{rounds} starts until the first token of {name}: {model.slots} slots of "
        f"{model.context_tokens} tokens, {threads} threads"
    )
    taken: dict[str, list[float]] = {which: [] for which in starts}
    for start in starts.values():
        # Not counted: it brings the files into memory, and Python's bytecode to disk.
        await start()
    for turn in range(rounds):
        for which in list(starts)[:: 1 if turn % 2 else -1]:
            taken[which].append(await starts[which]())
    for which, seconds in taken.items():
        print(
            f"{which:12}: {statistics.median(seconds):.2f} s "
            f"({min(seconds):.2f} to {max(seconds):.2f})"
        )
    is_met = True
    for which in bare_servers:
        pairs = zip(taken["run.py"], taken[which], strict=True)
        more = statistics.median(ours - bare for ours, bare in pairs)
        is_met = is_met and more <= GOAL_SECONDS
        print(
            f"run.py takes {more:.2f} s more than {which}, goal {GOAL_SECONDS:g} s: "
            f"{'met' if more <= GOAL_SECONDS else 'MISSED'}"
        )
    return is_met


def _bare_servers(model: ModelSettings, threads: int) -> dict[str, list[str]]:
    """Return the commands of the servers that can be started here, without their ports."""
    slots, context = str(model.slots), str(model.context_tokens)
    weights = str(small_model())
    servers = {}
    if has("llama-server"):
        program = [str(SERVERS / "llama.cpp/llama-server"), "-m", weights, "--host", "127.0.0.1"]
        whole = str(model.slots * model.context_tokens)
        servers["llama-server"] = [*program, "-np", slots, "-c", whole, "-t", str(threads)]
    wheel = [sys.executable, "-m", "tests.support.llama_program", weights]
    servers["the wheel's"] = [*wheel, "--slots", slots, "--context", context]
    servers["the wheel's"] += ["--threads", str(threads)]
    return servers


async def _run_py(model: str) -> float:
    with tempfile.TemporaryDirectory() as folder:
        # Beside a gateway that may run here.
        ours = {"SIDESTREAM_SERVER__STATE_DIR": folder, "SIDESTREAM_SERVER__INSTANCE": "start"}
        began = time.monotonic()
        async with _program(["python3", "run.py", "--port", "0"], ours) as process:
            assert process.stdout is not None
            found = None
            while found is None and (line := await process.stdout.readline()):
                found = re.search(r"http://(\S+)", line.decode())
            assert found is not None, "the gateway did not start"
            async with connect(f"ws://{found[1]}/ws") as client:
                (answer,) = await client.generate([model], _question())
                async for _ in answer:
                    return time.monotonic() - began
    raise AssertionError("there was no token")


async def _bare(words: list[str]) -> float:
    port, _ = free_ports(1)
    asked = {"messages": [{"role": "user", "content": _question()}], "stream": True}
    began = time.monotonic()
    async with _program([*words, "--port", str(port)], {}), aiohttp.ClientSession() as http:
        while True:
            with contextlib.suppress(aiohttp.ClientConnectionError):
                url = f"http://127.0.0.1:{port}/v1/chat/completions"
                async with http.post(url, json=asked) as response:
                    # It says 503 while it loads.
                    async for line in response.content:
                        if response.ok and _has_text(line):
                            return time.monotonic() - began
            await asyncio.sleep(_LOOK_SECONDS)


def _has_text(line: bytes) -> bool:
    if not line.startswith(b"data: {"):
        return False
    choices = json.loads(line[6:])["choices"]
    return bool(choices and choices[0]["delta"].get("content"))


@contextlib.asynccontextmanager
async def _program(
    words: list[str], environment: dict[str, str]
) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await start_child(
        *words,
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.terminate()
        await process.communicate()


def _question() -> str:
    """Return a question that no server has in its cache."""
    return f"{time.time_ns()} is the number of a lighthouse. Write a long story about its keeper."
