"""A list of many chats: shown, gone through to its end, searched and chosen."""

import asyncio
import time

from playwright.async_api import Page

from benchmarks.page.visit import Task, Visit
from tests.browser.many_chats import ages, chat, give

_COUNT = "() => document.querySelectorAll('chat-list li').length"
_IS_MORE = "(than) => document.querySelectorAll('chat-list li').length > than"
_IS_WHOLE = (
    "() => document.querySelector('chat-list li') && !document.querySelector('chat-list mark')"
)


async def measure_chats(visit: Visit, url: str, count: int) -> tuple[list[Task], float]:
    """Return the page's tasks, and after how many milliseconds the first chats were shown."""
    several = [chat(number, age) for number, age in enumerate(ages(count))]
    await asyncio.to_thread(give, url, several)
    began = time.monotonic()
    listed: list[float] = []

    async def use() -> None:
        await visit.page.get_by_role("tab", name="Chats").click()
        await visit.page.locator("chat-list li").first.wait_for()
        listed.append((time.monotonic() - began) * 1000)
        await _use(visit.page, count)

    tasks = await visit.tasks_while(use())
    return tasks, round(listed[0], 1)


async def _use(page: Page, count: int) -> None:
    rows = page.locator("chat-list .chat")
    await rows.first.focus()
    while (shown := await page.evaluate(_COUNT)) < count:
        await page.keyboard.press("End")
        await page.wait_for_function(_IS_MORE, arg=shown)
    await rows.last.focus()
    await page.locator("chat-list li").last.hover()
    await page.locator("chat-list li").last.get_by_role("checkbox").check()
    bar = page.get_by_role("toolbar", name="Chosen chats")
    await bar.get_by_role("button", name="All").click()
    await bar.get_by_role("button", name="Choose none").click()
    search = page.get_by_role("searchbox", name="Search chats")
    await search.fill("京都")
    await page.locator("chat-list mark").first.wait_for()
    await search.fill("")
    await page.wait_for_function(_IS_WHOLE)
    await rows.first.click()
    await page.locator(".answer").first.wait_for()
