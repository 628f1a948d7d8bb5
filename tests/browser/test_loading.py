"""What the browser loads, and that it is the same program as its source."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from server.web.files.folder import Folder
from server.web.page import STATIC
from tests.browser.gateway import Gateway
from tests.browser.helpers import PROMPT, answer, ask, begin, column, expect_end, open_page
from tests.browser.watch import Watch

pytestmark = pytest.mark.needs_chromium

# Everything that the page loads until it can be used, with the heads of the answers, as it goes
# over the wire; and what comes then, so that it is there before the first answer.
MOST_BYTES = 62_000
MOST_LATER = 32_000
AT_ONCE = {"", "main.js", "page.css", "favicon.svg"}
SHEETS = sorted((STATIC / "css").glob("*.css"))

# The rules of a style sheet as the browser understands them.
RULES = """(text) => {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(text);
  return [...sheet.cssRules].map(({ cssText }) => cssText);
}"""


def test_the_page_takes_no_more_than_62_kilobytes(
    page: Page, context: BrowserContext, gateway: Gateway, watch: Watch
) -> None:
    wire = context.new_cdp_session(page)
    wire.send("Network.enable")
    loaded: dict[str, float] = {}
    names: dict[str, str] = {}
    wire.on(
        "Network.responseReceived",
        lambda event: names.update({event["requestId"]: event["response"]["url"]}),
    )
    wire.on(
        "Network.loadingFinished",
        lambda event: loaded.update({event["requestId"]: event["encodedDataLength"]}),
    )
    open_page(page, gateway.url)
    page.wait_for_load_state("networkidle")
    bytes_of = {names[one].rpartition("/")[2]: size for one, size in loaded.items()}
    assert bytes_of.keys() == AT_ONCE | {"turn-views.js", "structured.js", "later.css"}
    assert sum(bytes_of[name] for name in AT_ONCE) < MOST_BYTES, bytes_of
    assert sum(bytes_of.values()) < MOST_BYTES + MOST_LATER, bytes_of
    assert watch.complaints == []


def test_text_is_plain_until_the_rest_of_the_page_can_be_loaded(
    page: Page, gateway: Gateway
) -> None:
    tried: list[str] = []

    def refuse(route: Route) -> None:
        tried.append(route.request.url)
        route.abort()

    page.route("**/turn-views.js", refuse)
    begin(page, gateway.url, "Small", tokens=20)
    ask(page)
    plain = page.locator("plain-turn")
    expect(plain).to_contain_text(re.compile(rf"loaded\.{re.escape(PROMPT)}.+", re.DOTALL))
    expect(page.get_by_role("button", name="Stop: Small")).to_be_hidden()
    with page.expect_event("requestfailed", lambda one: one.url.endswith("turn-views.js")):
        pass  # it is tried again
    page.unroute("**/turn-views.js")
    expect_end(column(page, "Small"), "Length limit reached")
    expect(answer(column(page, "Small"))).not_to_be_empty()
    expect(plain).to_have_count(0)
    assert len(tried) > 1


def test_a_second_visit_loads_only_what_may_have_changed(
    page: Page, context: BrowserContext, gateway: Gateway
) -> None:
    open_page(page, gateway.url)
    page.wait_for_load_state("networkidle")  # with what comes after the page
    statuses: list[tuple[str, int]] = []
    page.on("response", lambda response: statuses.append((response.url, response.status)))
    wire = context.new_cdp_session(page)
    wire.send("Network.enable")
    sent: list[float] = []
    wire.on("Network.loadingFinished", lambda event: sent.append(event["encodedDataLength"]))
    open_page(page, gateway.url)
    assert sum(sent) < 1000, statuses


def test_style_sheets_without_their_comments_have_the_same_rules(page: Page) -> None:
    def written(path: Path) -> str:
        lines = path.read_text().split("\n")
        return "\n".join(
            written(path.with_name(line.split("'")[1])) if line.startswith("@import") else line
            for line in lines
        )

    assert SHEETS
    for path in SHEETS:
        sent = page.evaluate(RULES, Folder(STATIC).sent(f"css/{path.name}").decode())
        assert sent, path
        assert sent == page.evaluate(RULES, written(path)), path
