"""What the browser loads for the page, and that it is the page as it was written."""

from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page

from server.web.files.folder import Folder
from server.web.page import STATIC
from tests.browser.gateway import Gateway
from tests.browser.helpers import open_page
from tests.browser.watch import Watch

pytestmark = pytest.mark.needs_chromium

# Everything that the page loads, with the heads of the answers, as it goes over the wire.
MOST_BYTES = 60_000
SHEETS = sorted(path.name for path in (STATIC / "css").glob("*.css"))

# The rules of a style sheet as the browser understands them.
RULES = """(text) => {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(text);
  return [...sheet.cssRules].map(({ cssText }) => cssText);
}"""


def test_the_page_takes_no_more_than_sixty_kilobytes(
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
    assert {"", "main.js", "page.css", "favicon.svg"} == bytes_of.keys()
    assert sum(bytes_of.values()) < MOST_BYTES, bytes_of
    assert watch.complaints == []


def test_a_second_visit_loads_only_what_may_have_changed(
    page: Page, context: BrowserContext, gateway: Gateway
) -> None:
    open_page(page, gateway.url)
    statuses: list[tuple[str, int]] = []
    page.on("response", lambda response: statuses.append((response.url, response.status)))
    wire = context.new_cdp_session(page)
    wire.send("Network.enable")
    sent: list[float] = []
    wire.on("Network.loadingFinished", lambda event: sent.append(event["encodedDataLength"]))
    open_page(page, gateway.url)
    assert sum(sent) < 1000, statuses


@pytest.mark.parametrize("name", SHEETS)
def test_a_style_sheet_without_its_comments_has_the_same_rules(
    page: Page, gateway: Gateway, name: str
) -> None:
    def written(path: Path) -> str:
        lines = path.read_text().split("\n")
        return "\n".join(
            written(path.with_name(line.split("'")[1])) if line.startswith("@import") else line
            for line in lines
        )

    open_page(page, gateway.url)
    sent = page.evaluate(RULES, Folder(STATIC).sent(f"css/{name}").decode())
    assert len(sent) > 3
    assert sent == page.evaluate(RULES, written(STATIC / "css" / name))
