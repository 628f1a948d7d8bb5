"""Measure long lists of models: `python3 run.py bench models`.

The same fake server stands behind 500 models in the settings and behind one `[upstream]` that
lists 500 or 2,000. Of each gateway is measured what a newcomer waits for, `hello` and the page,
what everybody is told of one answer, and what the server is asked meanwhile. Rounds take turns, and
figures are medians. At last the gateway is started with a hundred servers that are not there.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final

import aiohttp
from playwright.async_api import Browser, async_playwright

from benchmarks.page.visit import visiting
from benchmarks.relay.processes import cpu_seconds, machine, memory_bytes
from benchmarks.relay.relays import Relay, gateway_with
from server.doctor.checks import find_chromium
from tests.browser.conftest import CHROMIUM_FLAGS
from tests.fakes.openai import Fake, serve
from tests.fakes.openai_options import FakeOptions
from tests.support.ports import free_ports
from tests.support.silence import silent_port

FEW, MANY, DEAD = 500, 2000, 100
CEILING_SECONDS: Final = 120.0
_ONE: Final = """
[model m{number}]
runner = remote
url = {url}
dialect = openai
flavour = plain
"""
_SERVER: Final = """
[upstream big]
url = {url}
dialect = openai
flavour = plain
models = *
"""
_ABSENT: Final = "\n[upstream dead{number}]\nurl = http://127.0.0.1:{port}/v1\nmodels = *\n"


class Case:
    """One gateway with its server, and what was measured there."""

    def __init__(self, name: str, count: int, fake: Fake, relay: Relay) -> None:
        self.name = name
        self.count = count
        self.fake = fake
        self.relay = relay
        self.url = f"http://127.0.0.1:{relay.port}"
        self.seen: dict[str, list[float]] = {}

    def note(self, **figures: float) -> None:
        """Keep figures of one round."""
        for name, figure in figures.items():
            self.seen.setdefault(name, []).append(figure)

    def row(self) -> dict[str, Any]:
        """Return the medians."""
        medians = {name: round(median(figures), 2) for name, figures in self.seen.items()}
        return {"case": self.name, "models": self.count, **medians}


@asynccontextmanager
async def case(name: str, count: int, *, is_listed: bool) -> AsyncIterator[Case]:
    """Run a gateway with so many models until the block ends; all of them are there."""
    options = FakeOptions(model_count=count) if is_listed else FakeOptions()
    async with serve(options) as fake:
        sections = [_SERVER.format(url=fake.api)] if is_listed else []
        if not is_listed:
            sections = [_ONE.format(number=n, url=fake.api) for n in range(count)]
        async with gateway_with("".join(sections)) as relay:
            found = Case(name, count, fake, relay)
            async with asyncio.timeout(CEILING_SECONDS):
                await _all_there(found)
            yield found


async def _all_there(case: Case) -> None:
    """Return once a client is told that all models are there and ready."""
    states: dict[str, str] = {}
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{case.url}/ws", max_msg_size=0) as ws,
    ):
        await ws.send_str('{"id": 1, "type": "hello"}')
        while list(states.values()).count("ready") < case.count:
            for event in await ws.receive_json():
                told = event.get("result", event)
                models = told.get("models") or [told[key] for key in ("model",) if key in told]
                states |= {model["id"]: model["state"] for model in models}


async def newcomer(case: Case) -> None:
    """Measure how long a new client waits for `hello`, and `GET /models`."""
    async with aiohttp.ClientSession() as http:
        async with http.ws_connect(f"{case.url}/ws", max_msg_size=0) as ws:
            began, cpu = time.perf_counter(), cpu_seconds(case.relay.pids)
            await ws.send_str('{"id": 1, "type": "hello"}')
            text = await ws.receive_str()
            hello_ms = (time.perf_counter() - began) * 1000
            cpu = cpu_seconds(case.relay.pids) - cpu
        began = time.perf_counter()
        async with http.get(f"{case.url}/models") as response:
            body = await response.read()
        models_ms = (time.perf_counter() - began) * 1000
    case.note(hello_ms=hello_ms, hello_cpu_ms=cpu * 1000, hello_kb=len(text) / 1000)
    case.note(models_ms=models_ms, models_kb=len(body) / 1000)


async def page(case: Case, browser: Browser) -> None:
    """Measure when the page is usable."""
    async with visiting(browser, case.url + "/") as visit:
        case.note(page_ms=await visit.usable_ms(), page_kb=visit.transferred_bytes / 1000)
        case.note(page_heap_mb=(await visit.sample()).heap_mb)


async def answer(case: Case) -> None:
    """Measure what a client that asks nothing is told of another's answer."""
    model = f"big/vendor-7/model-{7:04d}" if "[upstream]" in case.name else "m7"
    command = {
        "id": 2,
        "type": "generate",
        "targets": [{"model": model}],
        "prompt": "Hi",
        "parameters": {"max_new_tokens": 5, "temperature": 0.5},
    }
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{case.url}/ws", max_msg_size=0) as onlooker,
        http.ws_connect(f"{case.url}/ws", max_msg_size=0) as asker,
    ):
        for ws in (onlooker, asker):
            await ws.send_str('{"id": 1, "type": "hello"}')
            await ws.receive_str()
        await asker.send_str(json.dumps(command))
        while '"type":"end"' not in await asker.receive_str():
            pass
        told = ""
        # The onlooker's own command is answered behind all that came before it.
        await onlooker.send_str('{"id": 9, "type": "no such command"}')
        while '"id":9' not in told:
            told += await onlooker.receive_str()
    case.note(told_events=told.count('"type":"model"'), told_kb=len(told) / 1000)


async def looks(cases: list[Case], seconds: float) -> None:
    """Count the requests to each server while no client does anything."""
    before = [sum(case.fake.state.routes.values()) for case in cases]
    await asyncio.sleep(seconds)
    for case, count in zip(cases, before, strict=True):
        case.note(looks_a_minute=(sum(case.fake.state.routes.values()) - count) * 60 / seconds)
        case.note(gateway_mb=memory_bytes(case.relay.pids) / 2**20)


async def start_ms(sections: str) -> float:
    """Return how long a gateway takes from its process's start to its answer to `hello`."""
    began = time.perf_counter()
    async with (
        gateway_with(sections, log_level="error") as relay,
        aiohttp.ClientSession() as http,
        http.ws_connect(f"http://127.0.0.1:{relay.port}/ws", max_msg_size=0) as ws,
    ):
        await ws.send_str('{"id": 1, "type": "hello"}')
        await ws.receive_str()
        return (time.perf_counter() - began) * 1000


async def starts(rounds: int) -> dict[str, float]:
    """Return the medians of starts without servers, and with a hundred that are not there."""
    first, last = free_ports(DEAD)
    refused = "".join(
        _ABSENT.format(number=n, port=port) for n, port in enumerate(range(first, last + 1))
    )
    with silent_port() as port:
        silent = "".join(_ABSENT.format(number=n, port=port) for n in range(DEAD))
        settings = {"none": "", "refused": refused, "silent": silent}
        seen: dict[str, list[float]] = {name: [] for name in settings}
        for _ in range(rounds):
            for name, sections in settings.items():
                seen[name].append(await start_ms(sections))
    return {name: round(median(figures)) for name, figures in seen.items()}


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run everything; return the figures."""
    async with AsyncExitStack() as stack:
        cases = [
            await stack.enter_async_context(case(name, count, is_listed="[" in name))
            for name, count in (
                ("in the settings", FEW),
                ("of an [upstream]", FEW),
                ("of an [upstream]", MANY),
            )
        ]
        playwright = await stack.enter_async_context(async_playwright())
        browser = await playwright.chromium.launch(
            executable_path=find_chromium(), args=CHROMIUM_FLAGS
        )
        for _ in range(options.rounds):
            for one in cases:
                await newcomer(one)
                await page(one, browser)
                await answer(one)
        await browser.close()
        await looks(cases, options.seconds)
    rows = [one.row() for one in cases]
    return {"machine": machine(""), "rows": rows, "start_ms": await starts(options.rounds)}


def table(report: dict[str, Any]) -> str:
    """Return the figures, a line each."""
    names = list(report["rows"][0])
    width = max(map(len, names))
    lines = [
        f"{name.replace('_', ' '):{width}}"
        + "".join(f"{row[name]!s:>18}" for row in report["rows"])
        for name in names
    ]
    lines.append(f"from the start to hello, ms: {report['start_ms']}")
    return "\n".join(lines)


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="run.py bench models", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=60, help="how long looks are counted")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    if find_chromium() is None:
        print("Chromium is not installed (Debian: apt-get install chromium)")
        return 1
    report = asyncio.run(measure(options))
    print(table(report))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
