"""An answer is read from its top; a column follows its text once the user has gone to the end."""

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.gateway import Gateway
from tests.browser.helpers import (
    ask,
    choose,
    column,
    expect_end,
    expect_longer,
    expect_writing,
    length,
    limit,
    open_page,
)

pytestmark = pytest.mark.needs_chromium


# Ticks a box while the event of the page's own last scrolling is still to come: the column is back
# at its beginning by then, with the size it had.
TICK = """(box) => {
  const log = document.querySelector('.log');
  box.click();
  log.dispatchEvent(new Event('scroll'));
}"""


def gap(column: Locator) -> float:
    """Return how many px are below the part in sight."""
    to_end = "(log) => log.scrollHeight - log.scrollTop - log.clientHeight"
    pixels: float = column.locator(".log").evaluate(to_end)
    return pixels


def top(column: Locator) -> float:
    """Return how many px are above the part in sight."""
    pixels: float = column.locator(".log").evaluate("(log) => log.scrollTop")
    return pixels


def go_to_newest(column: Locator) -> None:
    """Go where the text grows, which is below what is in sight."""
    column.get_by_role("button", name="Newest").click()
    expect(column.get_by_role("button", name="Newest")).to_have_count(0)


def expect_following(column: Locator) -> None:
    """Wait for more text and see that its end is in sight."""
    expect_longer(column, length(column) + 40)
    assert gap(column) <= 1
    assert top(column) > 0
    expect_writing(column)


def turn_wheel(page: Page, column: Locator, pixels: int) -> None:
    """Scroll over `column`; downwards if positive."""
    column.locator(".log").hover(position={"x": 8, "y": 8})  # beside the button “Newest”
    page.mouse.wheel(0, pixels)


def test_a_column_that_follows_its_text_does_so_through_every_change_of_layout(
    page: Page, gateway: Gateway
) -> None:
    page.set_viewport_size({"width": 880, "height": 500})
    open_page(page, gateway.url)
    choose(page, "Small", "Brief")
    ask(page)
    small, brief = column(page, "Small"), column(page, "Brief")
    for one in (small, brief):
        expect_longer(one, 400)
        assert top(one) == 0, "what comes first is read first"
        go_to_newest(one)
        expect_following(one)
    page.set_viewport_size({"width": 880, "height": 450})
    for one in (small, brief):
        expect_following(one)
    page.get_by_role("checkbox", name="Broken").evaluate(TICK)
    expect(column(page, "Broken")).to_be_attached()
    for one in (small, brief):
        expect_following(one)
    page.keyboard.press("Escape")


def test_a_little_turn_of_the_wheel_leaves_the_end_until_the_user_comes_back(
    page: Page, gateway: Gateway
) -> None:
    open_page(page, gateway.url)
    choose(page, "Small")
    limit(page, 1500)
    page.set_viewport_size({"width": 880, "height": 360})
    ask(page)
    small = column(page, "Small")
    go_to_newest(small)
    expect_following(small)
    turn_wheel(page, small, -30)
    expect_longer(small, length(small) + 150)
    assert gap(small) >= 30
    page.set_viewport_size({"width": 880, "height": 340})
    expect_longer(small, length(small) + 40)
    assert gap(small) >= 30, "a change of layout does not bring back the end"
    turn_wheel(page, small, 10_000)
    expect_longer(small, length(small) + 150)
    expect_following(small)
    page.keyboard.press("Escape")


def test_scroll_position_is_kept_while_text_streams_and_after_a_column_is_hidden(
    page: Page, gateway: Gateway
) -> None:
    page.set_viewport_size({"width": 880, "height": 360})
    open_page(page, gateway.url)
    choose(page, "Small")
    ask(page)
    small = column(page, "Small")
    expect_longer(small, 350)
    small.locator(".log").evaluate("(log) => { log.scrollTop = 7; }")
    expect_longer(small, 500)
    assert top(small) == 7
    choose(page, "Brief")
    expect(small).to_have_count(0)
    choose(page, "Small")
    expect_end(small, "Stopped")
    assert top(small) == 7


def test_a_tall_error_is_read_from_its_beginning(page: Page, gateway: Gateway) -> None:
    page.set_viewport_size({"width": 880, "height": 360})
    open_page(page, gateway.url)
    choose(page, "Broken")
    ask(page)
    broken = column(page, "Broken")
    expect_end(broken, "Failed")
    assert gap(broken) > 0, "the error is taller than its column"
    assert top(broken) == 0
