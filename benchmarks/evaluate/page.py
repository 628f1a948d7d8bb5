"""How long the page is busy at once while it shows a run in which eight cells stream.

Main-thread time is Chromium's own, processor time: what else the machine does is not the page's.
"""

from typing import Any, Final

import aiohttp
from playwright.async_api import async_playwright

from benchmarks.evaluate.slots import Slots, sections
from benchmarks.page.visit import Task, visiting
from benchmarks.relay.processes import machine
from benchmarks.relay.relays import gateway_with
from server.doctor.checks import find_chromium
from tests.browser.conftest import CHROMIUM_FLAGS

_TARGETS: Final = 8
_PROMPTS: Final = 1000
# Fifty tokens a second, and a new answer in each column every two seconds.
_TOKENS: Final = 100
_PAUSE_SECONDS: Final = 0.02
_SECONDS: Final = 20.0


async def measure() -> dict[str, Any]:
    """Show a run for a while, scroll through it for another, and return the figures."""
    async with (
        Slots(_TOKENS, _PAUSE_SECONDS).listening() as url,
        gateway_with(sections(url, _TARGETS, 1)) as relay,
        aiohttp.ClientSession(f"http://127.0.0.1:{relay.port}") as http,
        async_playwright() as playwright,
    ):
        given = {"prompts": [f"Question {number}?" for number in range(_PROMPTS)], "name": "Large"}
        async with http.post("/prompt-sets", json=given) as response:
            kept = (await response.json())["id"]
        targets = [{"model": f"m{number}"} for number in range(_TARGETS)]
        async with http.post("/runs", json={"prompt_set": kept, "targets": targets}) as response:
            run = await response.json()
        browser = await playwright.chromium.launch(
            executable_path=find_chromium(), args=CHROMIUM_FLAGS
        )
        async with visiting(browser, f"http://127.0.0.1:{relay.port}/") as visit:
            await visit.usable_ms()
            page = visit.page
            await page.get_by_role("button", name="Runs", exact=True).click()
            await page.get_by_role("dialog").get_by_text(run["set_name"]).first.click()
            grid = page.get_by_role("grid", name="Answers")
            await grid.locator(".is-asking").first.wait_for()
            streaming = await visit.tasks(_SECONDS)
            await grid.hover()
            scrolling = await visit.tasks_while(_scroll(page))
        await browser.close()
    return {
        "prompts": _PROMPTS,
        "targets": _TARGETS,
        "seconds": _SECONDS,
        **_figures(streaming, ""),
        **_figures(scrolling, "scrolling_"),
        "machine": machine(""),
    }


async def _scroll(page: Any) -> None:
    for _ in range(60):
        await page.mouse.wheel(0, 700)
        await page.wait_for_timeout(100)


def _figures(tasks: list[Task], name: str) -> dict[str, Any]:
    return {
        f"{name}longest_task_ms": round(max(task.cpu_ms for task in tasks), 1),
        f"{name}longest_task_ms_by_the_clock": round(max(task.clock_ms for task in tasks), 1),
        f"{name}main_thread_ms": round(sum(task.cpu_ms for task in tasks)),
    }
