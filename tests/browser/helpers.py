"""Actions and expectations of a user of the page."""

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

from playwright.sync_api import Error, Locator, Page, expect
from websockets.sync.client import connect

from tests.browser.gateway import ROOT, Gateway
from tests.browser.watch import NETWORK_CHANGED, Watch

# The prompt is long-winded so that the answer is.
PROMPT = "Write a very long story about a river, a lighthouse and a cat. Go on and on."


def open_page(page: Page, url: str) -> None:
    """Open the page and wait until it is connected.

    Chromium drops what it is loading when the machine's network changes, for which a container
    that starts somewhere is enough; then the page is opened again.
    """
    dropped: list[str | None] = []
    page.on("requestfailed", lambda request: dropped.append(request.failure))
    for _ in range(10):
        dropped.clear()
        try:
            page.goto(url)
        except Error as error:
            if NETWORK_CHANGED not in error.message:
                raise
        else:
            if NETWORK_CHANGED not in dropped:
                break
    expect(page.locator("connection-state")).to_have_attribute("data-state", "connected")


def choose(page: Page, *names: str) -> None:
    """Select exactly these models."""
    # By name: rows change places as they are chosen.
    for name in dict.fromkeys(page.locator("#models .model-name").all_inner_texts()):
        for box in page.locator("#models").get_by_role("checkbox", name=name, exact=True).all():
            box.set_checked(name in names)


def row(page: Page, name: str) -> Locator:
    """Return a model's row in the picker."""
    box = page.get_by_role("checkbox", name=name, exact=True)
    return page.locator("#models model-row").filter(has=box)


def open_card(page: Page, name: str) -> Locator:
    """Open a model's card, which is a dialog."""
    page.get_by_role("button", name=f"About {name}", exact=True).click()
    return page.get_by_role("dialog", name=name, exact=True)


def ask(page: Page, prompt: str = PROMPT) -> None:
    page.get_by_role("textbox", name="Prompt").fill(prompt)
    page.keyboard.press("Enter")


def limit(page: Page, tokens: int) -> None:
    """Let no answer be longer than this."""
    page.get_by_role("button", name="Parameters").click()
    page.get_by_label("Max tokens").fill(str(tokens))
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def begin(page: Page, url: str, *names: str, tokens: int) -> None:
    """Open the page, select exactly these models, and let no answer be longer than this."""
    open_page(page, url)
    choose(page, *names)
    limit(page, tokens)


def act(page: Page, name: str, item: str) -> None:
    """Choose an item of a column's menu."""
    column(page, name).get_by_role("button", name=f"More: {name}").click()
    page.get_by_role("menuitem", name=item).click()


def column(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name=name, exact=True)


def answer(column: Locator) -> Locator:
    return column.locator(".answer").last


def turn(column: Locator) -> Locator:
    return column.locator("answer-turn").last


def strip(page: Page) -> Locator:
    """Return what stands above all columns: the prompt that they answer."""
    return page.locator("turn-strip")


def edit(page: Page, prompt: str) -> None:
    """Ask another prompt in place of the one that is shown."""
    strip(page).get_by_role("button", name="Edit this prompt").click()
    strip(page).get_by_label("Edit the prompt").fill(prompt)
    page.keyboard.press("Enter")


def expect_writing(column: Locator) -> None:
    """Wait until there is text and more is to come."""
    expect(answer(column)).to_have_class(re.compile("is-growing"))


def expect_end(column: Locator, how: str = "Complete|Length limit reached|Stopped") -> None:
    expect(column.locator(".footnote").last).to_contain_text(re.compile(f"^{how}"))


def expect_longer(column: Locator, than: int) -> None:
    """Wait until the answer has more than `than` characters."""
    expect(answer(column)).to_have_text(re.compile(rf"^[\s\S]{{{than + 1},}}$"))


def length(column: Locator) -> int:
    return len(answer(column).text_content() or "")


# Writes a text into a page of its own, whole, as answers are written while they come.
RENDER = """async (markdown) => {
  const { src } = document.querySelector('script[src*="/main.js"]');
  const { MarkdownWriter } = await import(new URL('view/markdown-writer.js', src));
  const answer = document.createElement('div');
  const writer = new MarkdownWriter(answer);
  writer.append(markdown);
  writer.end();
  return answer;
}"""


def rendered(page: Page, markdown: str) -> str:
    """Return the words of a text without its signs, as the page shows them."""
    words: str = page.evaluate_handle(RENDER, markdown).evaluate("(answer) => answer.textContent")
    return words


# Notes each time that an answer grows, and which.
RECORD_GROWTH = """() => {
  window.growth = [];
  const columns = document.querySelector('.columns');
  new MutationObserver((records) => {
    for (const { target } of records) {
      const column = target.parentElement?.closest('answer-column');
      if (column) window.growth.push(column.getAttribute('aria-label'));
    }
  }).observe(columns, { subtree: true, characterData: true });
}"""


def turns_taken(growth: list[str]) -> int:
    """Count how often the writing passed from one answer to another."""
    return sum(before != after for before, after in pairwise(growth))


def assert_fits(page: Page, selector: str = "html") -> None:
    """Assert that nothing overflows sideways, and that the page itself never scrolls."""
    hidden = page.locator(selector).evaluate("(one) => one.scrollWidth - one.clientWidth")
    below = page.evaluate("document.documentElement.scrollHeight - innerHeight")
    assert (hidden, below) == (0, 0), selector


def schemes(page: Page) -> Iterator[Literal["light", "dark"]]:
    """Show the page as it is in light colours, then in dark ones, and leave it in light ones."""
    scheme: Literal["light", "dark"]
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        yield scheme
    page.emulate_media(color_scheme="light")


def axe_violations(page: Page) -> list[str]:
    """Return what axe-core finds in the page as it is, each as its rule and the element."""
    if not page.evaluate("'axe' in window"):
        page.evaluate((ROOT / "node_modules/axe-core/axe.min.js").read_text())
    found = page.evaluate("async () => (await axe.run()).violations")
    return [f"{one['id']}: {node['html']}" for one in found for node in one["nodes"]]


def answers_of(watch: Watch, gateway: Gateway) -> list[tuple[str, str]]:
    """Ask the server for all answers of the page's session: text, and how it ended."""
    texts: dict[str, str] = {}
    ends: dict[str, str] = {}
    known: set[str] | None = None
    with connect(f"ws://127.0.0.1:{gateway.port}/ws") as socket:
        socket.send(json.dumps({"id": 1, "type": "hello", "session": watch.session, "cursors": {}}))
        while known is None or known - ends.keys():
            for event in json.loads(socket.recv(timeout=10)):
                if event["type"] == "result":
                    assert event["result"]["resumed"]
                    known = {one["id"] for one in event["result"]["generations"]}
                elif event["type"] == "delta":
                    texts[event["generation"]] = texts.get(event["generation"], "") + event["text"]
                elif event["type"] == "end":
                    ends[event["generation"]] = event["finish_reason"]
    return [(texts.get(one, ""), ends[one]) for one in known]
