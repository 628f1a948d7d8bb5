"""The list of models: found, started, stopped, and their logs."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.gateway import Gateway
from tests.browser.helpers import open_card, open_page, row
from tests.browser.watch import Watch

pytestmark = pytest.mark.needs_chromium


def test_models_are_found_by_any_of_their_words(
    page: Page, eight_models: Gateway, watch: Watch, artifacts: Path
) -> None:
    open_page(page, eight_models.url)
    search = page.get_by_role("searchbox", name="Find a model")
    rows = page.locator("model-row:visible")
    expect(rows).to_have_count(8)
    search.fill("preset 3")
    expect(rows).to_have_count(1)
    expect(page.locator("model-picker").get_by_role("status")).to_have_text("1 of 8 models")
    search.press("ArrowDown")
    expect(page.get_by_role("checkbox", name="Preset 3")).to_be_focused()
    page.keyboard.press("Space")
    expect(page.get_by_role("checkbox", name="Preset 3")).to_be_checked()
    expect(page.locator(".picker-count")).to_have_text("3 of 8")
    page.keyboard.press("ArrowUp")
    expect(search).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Escape")
    expect(search).to_be_focused()
    expect(search).to_have_value("")
    expect(rows).to_have_count(8)
    # Those that are called so come before those of which it is said, whatever their group.
    search.fill("5")
    expect(rows.first.locator(".model-name")).to_have_text("Preset 5")
    # Enter chooses what is left, and does not take it back.
    search.fill("preset 5")
    for _ in range(2):
        search.press("Enter")
        expect(page.get_by_role("checkbox", name="Preset 5")).to_be_checked()
    search.fill("preset")
    search.press("Enter")
    expect(page.locator(".picker-count")).to_have_text("4 of 8")
    search.fill("nothing of this")
    expect(page.get_by_text("No model has all these words.")).to_be_visible()
    page.screenshot(path=artifacts / "search.png")
    search.press("Escape")
    expect(rows).to_have_count(8)
    assert watch.complaints == []


def test_few_models_need_no_search(page: Page, gateway: Gateway) -> None:
    open_page(page, gateway.url)
    expect(page.get_by_role("searchbox", name="Find a model")).to_be_hidden()
    page.get_by_role("checkbox", name="Small").focus()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("checkbox", name="Brief")).to_be_focused()


def test_a_models_log_is_followed_in_a_drawer(
    page: Page, own_gateway: Gateway, watch: Watch, artifacts: Path
) -> None:
    open_page(page, own_gateway.url)
    log = page.get_by_role("region", name="Log: Small")
    open_card(page, "Small").get_by_role("button", name="Log: Small").click()
    expect(log).to_contain_text("Nothing was written yet.")
    open_card(page, "Small").get_by_role("button", name="Start: Small").click()
    page.keyboard.press("Escape")
    expect(row(page, "Small")).to_have_attribute("data-state", "ready")
    expect(page.locator("model-picker").get_by_role("log")).to_contain_text("Small: Ready.")
    expect(log.locator(".log-line").first).to_have_text(re.compile(r"^\d\d:\d\d:\d\d .+"))
    expect(log.locator(".log-line", has_text='"level"')).to_have_count(0)
    page.screenshot(path=artifacts / "log.png")
    log.get_by_role("log").press("Escape")
    expect(log).to_be_hidden()
    expect(page.get_by_role("button", name="About Small")).to_be_focused()
    assert '"unsubscribe"' in "".join(watch.sent)
    assert watch.complaints == []


def test_why_a_model_cannot_start_is_said_with_what_to_do(
    page: Page, gateway: Gateway, artifacts: Path
) -> None:
    open_page(page, gateway.url)
    open_card(page, "Broken").get_by_role("button", name="Start: Broken").click()
    page.keyboard.press("Escape")
    broken = row(page, "Broken")
    expect(broken.locator(".notice")).to_contain_text("/nowhere/at-all.gguf")
    expect(broken.get_by_role("button", name="Start: Broken")).to_be_visible()
    heard = page.locator("model-picker").get_by_role("log")
    expect(heard).to_contain_text(re.compile(r"Broken: Failed\. .*nowhere"))
    page.screenshot(path=artifacts / "broken.png")
