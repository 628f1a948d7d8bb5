"""Measure what the gateway costs beside its library's own server: `python3 run.py bench engine`.

llama.cpp's HTTP server out of the pinned wheel answers alone; the embedded engine answers the same
HTTP client; and the gateway answers for that engine through a WebSocket, which costs processor time
on the cores that compute. All have the same weights, threads, slots and context, and the same
questions, each of which is new. They take turns, in an order that alternates; every ratio is the
median of the rounds' ratios to the bare server. Then a prompt that fills the context is cancelled
while it is read, until its slot is free. At last `python3 run.py` is started with its default
model, until the first token (`benchmarks/engine/starts.py`).
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp

from benchmarks.engine.starts import compare_starts
from server.client import connect
from server.client.client import Client
from tests.support.gateway import Gateway, gateway
from tests.support.ports import free_ports
from tests.support.real_servers import llama_cpp, small_model

_QUESTION: Final = "{} is the number of a lighthouse. Write a long story about its keeper."
_CONTEXT_TOKENS: Final = 1024
# Words of a prompt that nearly fills the context, of two tokens each.
_LONG_PROMPT: Final = 450
_LOOK_SECONDS: Final = 0.005
_SETTINGS: Final = """\
[engines]
ports = {first}-{last}
restart_limit = 0

[model m]
weights = {weights}
slots = {slots}
context_tokens = {context}
threads = {threads}
"""

Ask = Callable[[str], Coroutine[Any, Any, tuple[float, int]]]
"""Put a question; return when the first token came (monotonic seconds), and how many came."""


@dataclass(frozen=True)
class Sample:
    """One turn: tokens a second of all streams, and until the last of them has begun."""

    tokens_per_second: float
    last_first_seconds: float


def main() -> int:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(prog="bench engine", description=__doc__)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=128, help="of each answer")
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--details", action="store_true", help="ask for probabilities, too")
    parser.add_argument("--options", default="", help="`engine_options` of ours")
    parser.add_argument("--starts", type=int, default=11)
    parser.add_argument("--only-starts", action="store_true")
    options = parser.parse_args()
    if not options.only_starts:
        asyncio.run(_measure(options))
    return 0 if asyncio.run(compare_starts(options.starts)) else 1


async def _measure(options: argparse.Namespace) -> None:
    print(
        f"{options.threads} threads, {options.slots} slots, {options.tokens} tokens an answer, "
        f"{options.rounds} rounds{', with probabilities' if options.details else ''}"
    )
    async with contextlib.AsyncExitStack() as stack:
        ours = await stack.enter_async_context(_gateway(options))
        bare = await stack.enter_async_context(_bare(options))
        await ours.ask(_question())
        engine = await stack.enter_async_context(_over_http(*ours.running.embedded("m"), options))
        for ask in (engine, bare.ask):
            await ask(_question())
        for streams in options.streams:
            rounds = []
            for turn in range(options.rounds):
                order = [("bare", bare.ask), ("engine", engine), ("gateway", ours.ask)]
                taken = {}
                for name, ask in order if turn % 2 else reversed(order):
                    # Of its own: what a server has read before is not read again.
                    taken[name] = await _turn(ask, [_question() for _ in range(streams)])
                rounds.append(taken)
            _print(streams, rounds)
        cancels = [await _cancel(ours) for _ in range(options.rounds)]
    print(
        f"a long prompt is cancelled: its slot is free after "
        f"{1000 * statistics.median(cancels):.0f} ms, at most {1000 * max(cancels):.0f} ms"
    )


async def _turn(ask: Ask, questions: list[str]) -> Sample:
    began = time.monotonic()
    answers = await asyncio.gather(*map(ask, questions))
    took = time.monotonic() - began
    tokens = sum(count for _, count in answers)
    return Sample(tokens / took, max(first for first, _ in answers) - began)


def _print(streams: int, rounds: list[dict[str, Sample]]) -> None:
    for name in ("engine", "gateway"):
        speed = statistics.median(
            one[name].tokens_per_second / one["bare"].tokens_per_second for one in rounds
        )
        begin = statistics.median(
            one[name].last_first_seconds / one["bare"].last_first_seconds for one in rounds
        )
        shown = [
            statistics.median(one[which].tokens_per_second for one in rounds)
            for which in (name, "bare")
        ]
        print(
            f"{streams:3} streams, {name:7}: {shown[0]:6.1f} tokens/s beside {shown[1]:6.1f}, "
            f"ratio {speed:.3f}; last first token, ratio {begin:.3f}"
        )


@dataclass(frozen=True)
class Served:
    """A server that runs, and how it is asked; the gateway and its client where it is that."""

    ask: Ask
    running: Gateway
    client: Client


@dataclass(frozen=True)
class Bare:
    """The bare server that runs, and how it is asked."""

    ask: Ask


@contextlib.asynccontextmanager
async def _gateway(options: argparse.Namespace) -> AsyncIterator[Served]:
    first, last = free_ports(2)
    settings = _SETTINGS.format(
        first=first,
        last=last,
        weights=small_model(),
        slots=options.slots,
        context=_CONTEXT_TOKENS,
        threads=options.threads,
    )
    if options.options:
        settings += f"engine_options = {options.options}\n"
    parameters = {"max_new_tokens": options.tokens, "temperature": 0}
    with tempfile.TemporaryDirectory() as name:
        async with (
            gateway(settings, Path(name)) as running,
            connect(f"ws://{running.address}/ws") as client,
        ):

            async def ask(question: str) -> tuple[float, int]:
                (answer,) = await client.generate(
                    ["m"], question, parameters=parameters, details=options.details
                )
                first_seconds = 0.0
                async for _ in answer:
                    first_seconds = first_seconds or time.monotonic()
                return first_seconds, answer.usage.completion_tokens or 0

            yield Served(ask, running, client)


@contextlib.asynccontextmanager
async def _bare(options: argparse.Namespace) -> AsyncIterator[Bare]:
    async with (
        llama_cpp(slots=options.slots, context=_CONTEXT_TOKENS, threads=options.threads) as server,
        _over_http(server.url, "", options) as ask,
    ):
        yield Bare(ask)


@contextlib.asynccontextmanager
async def _over_http(url: str, key: str, options: argparse.Namespace) -> AsyncIterator[Ask]:
    body = {
        "max_tokens": options.tokens,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
        **({"logprobs": True, "top_logprobs": 1} if options.details else {}),
    }
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    headers = {"Authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as http:

        async def ask(question: str) -> tuple[float, int]:
            asked = {**body, "messages": [{"role": "user", "content": question}]}
            first_seconds, tokens = 0.0, 0
            async with http.post(f"{url}/v1/chat/completions", json=asked) as response:
                async for line in response.content:
                    if not line.startswith(b"data: {"):
                        continue
                    chunk = json.loads(line[6:])
                    if chunk.get("usage"):
                        tokens = chunk["usage"]["completion_tokens"]
                    if chunk["choices"] and chunk["choices"][0]["delta"].get("content"):
                        first_seconds = first_seconds or time.monotonic()
            return first_seconds, tokens

        yield ask


async def _cancel(ours: Served) -> float:
    """Cancel a prompt while it is read; return the seconds until its slot is free."""
    url, key = ours.running.embedded("m")
    headers = {"Authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(url, headers=headers) as http:
        prompt = " ".join(str(random.randrange(10)) for _ in range(_LONG_PROMPT))
        (answer,) = await ours.client.generate(["m"], prompt)
        while not await _busy(http):  # noqa: ASYNC110  another process's state
            await asyncio.sleep(_LOOK_SECONDS)
        began = time.monotonic()
        await ours.client.cancel([answer])
        while await _busy(http):  # noqa: ASYNC110  another process's state
            await asyncio.sleep(_LOOK_SECONDS)
        return time.monotonic() - began


async def _busy(http: aiohttp.ClientSession) -> bool:
    async with http.get("/slots") as response:
        return any(slot["is_processing"] for slot in await response.json())


_numbers = itertools.count(random.randrange(10**6))


def _question() -> str:
    """Return a new question, which no server has in its cache."""
    return _QUESTION.format(next(_numbers))


if __name__ == "__main__":
    sys.exit(main())
