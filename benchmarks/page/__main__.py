"""Measure the page in Chromium: `python3 run.py bench page`.

A gateway with a fast fake model server behind it; the page is opened a few times in a browser that
does not know it, then eight columns write at 50 tokens a second each for a minute, and for another
while the reader follows their ends; then a list of a thousand chats is gone through, searched and
chosen. Main-thread time is all of it: scripts, layout, painting. What is measured of the columns
begins when all of them have begun.
`--profile` lists the functions that took most, too.
"""

import argparse
import asyncio
import json
import sys
from pathlib import Path
from statistics import median
from typing import Any, Final

import aiohttp
from playwright.async_api import Browser, async_playwright

from benchmarks.page.chats import measure_chats
from benchmarks.page.visit import Task, Visit, visiting
from benchmarks.relay.processes import machine
from benchmarks.relay.relays import RelayError, gateway, upstream
from server.doctor.checks import find_chromium
from tests.browser.conftest import CHROMIUM_FLAGS

# What is asked of the page.
GOALS: Final = {
    "usable_ms": 300.0,
    "transferred_kb": 62.0,
    "main_thread_ms_per_token": 0.4,
    "long_tasks": 0.0,
    "heap_growth_mb": 8.0,
    "chats_long_tasks": 0.0,
}

_OF_FOLLOWING: Final = (
    "main_thread_ms_per_token",
    "script_ms_per_token",
    "layout_ms_per_token",
    "style_ms_per_token",
    "heap_growth_mb",
)
_LONG_TASK_MS: Final = 50.0
# Each task is looked at, and the profile made, after the measurement: both cost time themselves,
# and the columns are at their longest then.
_LOOKED_AT_SECONDS: Final = 15.0


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run everything; return the figures."""
    names = [f"m{number}" for number in range(1, options.columns + 1)]
    # More than can be used up, so that none ends before the measurement does.
    tokens = round(options.rate * (2 * options.seconds + 60))
    source = ("benchmarks.page.upstream", str(options.rate), str(tokens))
    async with (
        upstream(*source) as upstream_port,
        gateway(upstream_port, models=names) as relay,
        async_playwright() as playwright,
    ):
        browser = await playwright.chromium.launch(
            executable_path=find_chromium(), args=CHROMIUM_FLAGS
        )
        url = f"http://127.0.0.1:{relay.port}/"
        opened = await _open_often(browser, url, options.visits)
        async with visiting(browser, url) as visit:
            await visit.usable_ms()
            written = await _minute(visit, names, upstream_port, options)
        async with visiting(browser, url) as visit:
            await visit.usable_ms()
            tasks, listed_ms = await measure_chats(visit, url, options.chats)
        listed = {f"chats_{name}": value for name, value in _long_tasks(tasks).items()}
        await browser.close()
    return (
        {"machine": machine(""), "columns": options.columns, "rate": options.rate}
        | opened
        | written
        | {"chats": options.chats, "chats_listed_ms": listed_ms}
        | listed
    )


async def _open_often(browser: Browser, url: str, visits: int) -> dict[str, Any]:
    usable: list[float] = []
    for _ in range(visits):
        async with visiting(browser, url) as visit:
            usable.append(await visit.usable_ms())
            requests, transferred = visit.requests, visit.transferred_bytes
    return {
        "usable_ms": round(median(usable), 1),
        "usable_ms_worst": round(max(usable), 1),
        "requests": requests,
        "transferred_kb": round(transferred / 1000, 1),
    }


async def _minute(
    visit: Visit, names: list[str], upstream_port: int, options: argparse.Namespace
) -> dict[str, Any]:
    page = visit.page
    for name in names:
        await page.get_by_role("checkbox", name=name, exact=True).check()
    await page.get_by_role("textbox", name="Prompt").fill("Why does the sea look blue?")
    await page.keyboard.press("Enter")
    for name in names:
        column = page.get_by_role("region", name=name, exact=True)
        await column.locator(".answer", has_text="light").wait_for()
    written = await _figures(visit, upstream_port, options.seconds)
    for name in names:
        column = page.get_by_role("region", name=name, exact=True)
        await column.get_by_role("button", name="Newest").click()
    following = await _figures(visit, upstream_port, options.seconds)
    tasks = await visit.tasks(_LOOKED_AT_SECONDS)
    top = await visit.profile(_LOOKED_AT_SECONDS) if options.profile else []
    if options.picture:
        await page.screenshot(path=options.picture)
    await page.keyboard.press("Escape")
    followed = {f"following_{name}": following[name] for name in _OF_FOLLOWING}
    return written | followed | _long_tasks(tasks) | {"top": top[:25]}


async def _written(port: int) -> int:
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"http://127.0.0.1:{port}/bench/written") as response,
    ):
        tokens: int = await response.json()
        return tokens


async def _figures(visit: Visit, upstream_port: int, wait_seconds: float) -> dict[str, Any]:
    first, first_tokens = await visit.sample(), await _written(upstream_port)
    await visit.page.wait_for_timeout(wait_seconds * 1000)
    tokens, last = await _written(upstream_port) - first_tokens, await visit.sample()
    seconds = last.at_seconds - first.at_seconds

    def per_token(name: str) -> float:
        return round(last.since(first, name) * 1000 / tokens, 3)

    return {
        "seconds": round(seconds, 1),
        "tokens": tokens,
        "tokens_per_second": round(tokens / seconds, 1),
        "main_thread_ms_per_token": per_token("TaskDuration"),
        "script_ms_per_token": per_token("ScriptDuration"),
        "layout_ms_per_token": per_token("LayoutDuration"),
        "style_ms_per_token": per_token("RecalcStyleDuration"),
        "main_thread_busy": round(last.since(first, "TaskDuration") / seconds, 3),
        "heap_mb_at_start": round(first.heap_mb, 2),
        "heap_mb_at_end": round(last.heap_mb, 2),
        "heap_growth_mb": round(last.heap_mb - first.heap_mb, 2),
        "nodes_at_start": round(first.counters["Nodes"]),
        "nodes_at_end": round(last.counters["Nodes"]),
    }


def _long_tasks(tasks: list[Task]) -> dict[str, Any]:
    return {
        "long_tasks": sum(task.cpu_ms > _LONG_TASK_MS for task in tasks),
        "longest_task_ms": round(max((task.cpu_ms for task in tasks), default=0), 1),
        "long_tasks_by_the_clock": sum(task.clock_ms > _LONG_TASK_MS for task in tasks),
    }


def table(report: dict[str, Any]) -> str:
    """Return the figures, a line each, with what is asked beside them."""
    lines = []
    for name, value in report.items():
        if not isinstance(value, int | float):
            continue
        goal = GOALS.get(name)
        verdict = "" if goal is None else f"  goal {goal:g}: {'met' if value <= goal else 'MISSED'}"
        lines.append(f"{name.replace('_', ' '):36} {value:>10,}{verdict}")
    lines += [f"{milliseconds:10.1f} ms  {name}" for name, milliseconds in report["top"]]
    return "\n".join(lines)


def main() -> int:
    """Measure, print the table, and return 1 if a goal is missed."""
    parser = argparse.ArgumentParser(prog="run.py bench page", description=__doc__.split("\n")[0])
    parser.add_argument("--columns", type=int, default=8)
    parser.add_argument("--rate", type=float, default=50, help="tokens a second of each column")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--visits", type=int, default=7, help="how often the page is opened")
    parser.add_argument("--chats", type=int, default=1_000, help="how many chats are listed")
    parser.add_argument("--profile", action="store_true", help="list what took the time")
    parser.add_argument("--picture", type=Path, help="write how it looks at the end")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    if find_chromium() is None:
        print("Chromium is not installed (Debian: apt-get install chromium)")
        return 1
    try:
        report = asyncio.run(measure(options))
    except RelayError as error:
        print(error)
        return 1
    print(table(report))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    return 1 if any(report[name] > goal for name, goal in GOALS.items()) else 0


if __name__ == "__main__":
    sys.exit(main())
