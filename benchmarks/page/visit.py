"""What a browser tells of a page: when it was usable, what it loaded, what its main thread did.

All of it comes from Chromium itself over its DevTools protocol; only an observer of the
connection's state is put beside the page. Times of the main thread are processor time, so that
what else the machine does is not counted as the page's; how many tasks were long by the clock is
told as well.
"""

import json
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from playwright.async_api import Browser, CDPSession, Page

WIDTH, HEIGHT = 1920, 1080
# Usable is a page that is connected and takes a prompt.
_BESIDE: Final = """
globalThis.bench = { usableMs: null };
new MutationObserver((_, observer) => {
  const isConnected = document.querySelector('connection-state[data-state="connected"]');
  const field = document.querySelector('prompt-composer textarea');
  if (!isConnected || !field || field.disabled) return;
  bench.usableMs = performance.now();
  observer.disconnect();
}).observe(document, { attributes: true, childList: true, subtree: true });
"""


# What comes after the page, once it is there.
_LATER: Final = ("turn-views.js", "structured.js", "later.css")


@dataclass(frozen=True)
class Task:
    """One task of the main thread."""

    cpu_ms: float
    clock_ms: float


@dataclass
class Visit:
    """One page, and what went over the wire for it."""

    page: Page
    wire: CDPSession
    loaded_bytes: dict[str, float] = field(default_factory=dict)
    """By request, without what comes after the page."""
    later: set[str] = field(default_factory=set)

    @property
    def requests(self) -> int:
        return len(self.loaded_bytes)

    @property
    def transferred_bytes(self) -> int:
        return round(sum(self.loaded_bytes.values()))

    async def usable_ms(self) -> float:
        """Return how long it took from the navigation to where a prompt can be sent."""
        await self.page.locator("connection-state[data-state=connected]").wait_for()
        found: float = await self.page.evaluate("bench.usableMs")
        return found

    async def sample(self) -> "Sample":
        """Collect garbage and look at the counters; both are outside of what is measured."""
        await self.wire.send("HeapProfiler.collectGarbage")
        answer = await self.wire.send("Performance.getMetrics")
        counters = {metric["name"]: metric["value"] for metric in answer["metrics"]}
        return Sample(time.monotonic(), counters)

    async def tasks(self, seconds: float) -> list[Task]:
        """Return every task of the page's main thread for a while."""
        return await self.tasks_while(self.page.wait_for_timeout(seconds * 1000))

    async def tasks_while(self, doing: Awaitable[object]) -> list[Task]:
        """Return every task of the page's main thread while something is done with it."""
        browser = self.page.context.browser
        assert browser is not None
        await browser.start_tracing(page=self.page, categories=["toplevel"])
        await doing
        events = json.loads(await browser.stop_tracing())["traceEvents"]
        named = [event for event in events if event.get("name") == "thread_name"]
        mains = {
            (event["pid"], event["tid"])
            for event in named
            if event["args"]["name"] == "CrRendererMain"
        }
        busy: dict[tuple[int, int], list[Task]] = {}
        for event in events:
            thread = (event["pid"], event["tid"])
            if thread in mains and event["name"].endswith("RunTask") and "tdur" in event:
                task = Task(event["tdur"] / 1000, event["dur"] / 1000)
                busy.setdefault(thread, []).append(task)
        # Others belong to pages that are kept for speed, and do nothing.
        return max(busy.values(), key=lambda tasks: sum(task.cpu_ms for task in tasks))

    async def profile(self, seconds: float) -> list[tuple[str, float]]:
        """Return the functions that took most of the main thread, with their own milliseconds."""
        await self.wire.send("Profiler.enable")
        await self.wire.send("Profiler.start")
        await self.page.wait_for_timeout(seconds * 1000)
        profile = (await self.wire.send("Profiler.stop"))["profile"]
        names = {
            node["id"]: "{functionName}:{lineNumber}".format(**node["callFrame"])
            for node in profile["nodes"]
        }
        own: dict[str, float] = {}
        for node, delta_us in zip(profile["samples"], profile["timeDeltas"], strict=True):
            own[names[node]] = own.get(names[node], 0) + delta_us / 1000
        return sorted(own.items(), key=lambda entry: -entry[1])


@dataclass(frozen=True)
class Sample:
    """Counters at one moment; durations are in seconds since the page began."""

    at_seconds: float
    counters: dict[str, float]

    @property
    def heap_mb(self) -> float:
        return self.counters["JSHeapUsedSize"] / 2**20

    def since(self, earlier: "Sample", name: str) -> float:
        """Return by how much a counter has grown."""
        return self.counters[name] - earlier.counters[name]


@asynccontextmanager
async def visiting(browser: Browser, url: str) -> AsyncIterator[Visit]:
    """Open the page in a browser that has never seen it."""
    context = await browser.new_context(viewport={"width": WIDTH, "height": HEIGHT})
    page = await context.new_page()
    await page.add_init_script(_BESIDE)
    wire = await context.new_cdp_session(page)
    # The thread's own processor time: what else the machine does is not the page's.
    await wire.send("Performance.enable", {"timeDomain": "threadTicks"})
    await wire.send("Network.enable")
    await wire.send("HeapProfiler.enable")
    visit = Visit(page, wire)

    def note_later(event: dict[str, Any]) -> None:
        if event["request"]["url"].endswith(_LATER):
            visit.later.add(event["requestId"])

    def note(event: dict[str, Any]) -> None:
        if event["requestId"] not in visit.later:
            visit.loaded_bytes[event["requestId"]] = event["encodedDataLength"]

    wire.on("Network.requestWillBeSent", note_later)
    wire.on("Network.loadingFinished", note)
    await page.goto(url)
    try:
        yield visit
    finally:
        await context.close()
