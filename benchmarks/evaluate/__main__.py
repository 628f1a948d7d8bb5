"""Measure a run of many prompts: `python3 run.py bench evaluate`.

A gateway of its own asks a fake server, of which it sees several models that each write a few
answers at once. An answer is a few tokens at a steady pace, the same for all. Told are which part
of the slots' time was used while prompts waited, and the gateway's CPU time and memory meanwhile.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
from aiohttp import web

from benchmarks.relay.processes import cpu_seconds, machine, memory_bytes
from benchmarks.relay.relays import gateway_with

_MODEL: Final = """
[model m{number}]
runner = remote
url = {url}
dialect = openai
flavour = plain
max_concurrent = {slots}
"""
_SHARES: Final = (0.1, 0.5, 1.0)


class Slots:
    """A fake server, and how many answers it writes at each moment."""

    def __init__(self, tokens: int, pause_seconds: float) -> None:
        self._tokens = tokens
        self._pause_seconds = pause_seconds
        self._busy = 0
        self._changed = 0.0
        self.answers = 0
        self.began: float | None = None
        self.ended = 0.0
        self.busy_seconds = 0.0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Write an answer in OpenAI's form."""
        self._count(1)
        try:
            await request.read()
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            for number in range(self._tokens):
                await asyncio.sleep(self._pause_seconds)
                is_last = number + 1 == self._tokens
                await response.write(_CHUNKS[is_last])
            await response.write(b"data: [DONE]\n\n")
            return response
        finally:
            self.answers += 1
            self._count(-1)

    def _count(self, change: int) -> None:
        now = time.monotonic()
        if self.began is None:
            self.began = self._changed = now
        self.busy_seconds += self._busy * (now - self._changed)
        self._busy += change
        self._changed = self.ended = now

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Listen on loopback while the context lasts; yields the address."""
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self.answer)
        app.router.add_get("/v1/models", _models)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        finally:
            await runner.cleanup()


def _chunk(text: str, reason: str | None) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": reason}
    body = {"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


_CHUNKS: Final = {False: _chunk(" word", None), True: _chunk(" end", "stop")}


async def _models(_: web.Request) -> web.StreamResponse:
    return web.json_response({"object": "list", "data": [{"id": "m", "object": "model"}]})


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run the prompts and return the figures."""
    slots = Slots(options.tokens, options.answer_ms / 1000 / options.tokens)
    async with slots.listening() as url:
        sections = "".join(
            _MODEL.format(number=number, url=url, slots=options.slots)
            for number in range(options.targets)
        )
        async with (
            gateway_with(sections) as relay,
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
    """Run what the command line says; return 1 if less than 97 % of the slots' time was used."""
    parser = argparse.ArgumentParser(prog="bench evaluate", description=__doc__)
    parser.add_argument("--prompts", type=int, default=10_000)
    parser.add_argument("--targets", type=int, default=4)
    parser.add_argument("--slots", type=int, default=8, help="answers of a model at once")
    parser.add_argument("--answer-ms", type=float, default=500.0, help="length of an answer")
    parser.add_argument("--tokens", type=int, default=10, help="tokens of an answer")
    figures = asyncio.run(measure(parser.parse_args()))
    print(json.dumps(figures, indent=2))
    return int(figures["slots_busy"] < 0.97)


if __name__ == "__main__":
    sys.exit(main())
