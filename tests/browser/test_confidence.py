"""The confidence in each token, and the differences between two answers."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.gateway import Gateway
from tests.browser.helpers import (
    answer,
    ask,
    axe_violations,
    begin,
    choose,
    column,
    expect_end,
    open_card,
    open_page,
    schemes,
)
from tests.browser.watch import Watch
from tests.browser.wire import FakeWire, Json, model

pytestmark = pytest.mark.needs_chromium
SHORT = "Name three colours of the sea."
# Enough for tokens that the model is sure of and such that it is not.
TOKENS = 40


def look_at_tokens(page: Page, url: str, *names: str) -> Locator:
    """Ask with details; return the tokens of the first model's answer."""
    begin(page, url, *names, tokens=TOKENS)
    page.get_by_role("button", name="How sure", exact=True).click()
    ask(page, SHORT)
    for name in names:
        expect_end(column(page, name))
    column(page, names[0]).get_by_role("button", name="How sure it was").click()
    return column(page, names[0]).locator("token-view")


def test_tokens_show_how_sure_the_model_was_and_what_else_it_weighed(
    page: Page, gateway: Gateway, watch: Watch, artifacts: Path
) -> None:
    tokens = look_at_tokens(page, gateway.url, "Small")
    expect(tokens).to_contain_text(re.compile(r"As if \d+ % sure of every token"))
    expect(tokens.get_by_role("list", name="Tints")).to_contain_text("below 15 %")
    expect(answer(column(page, "Small"))).to_be_hidden()
    assert len(set(re.findall(r"sure-\d", tokens.inner_html()))) >= 3
    tokens.locator(".tokens .token").nth(2).click()
    choices = tokens.locator(".token-choices li")
    expect(choices).to_have_count(5)
    expect(choices.filter(has_text="taken")).to_have_count(1)
    page.screenshot(path=artifacts / "how-sure.png")
    tokens.get_by_role("listbox").press("ArrowRight")
    expect(tokens.get_by_role("option", selected=True)).to_have_attribute("data-at", "3")
    tokens.get_by_role("listbox").press("ArrowDown")
    expect(tokens.get_by_role("option", selected=True)).to_have_class(re.compile("sure-[34]"))
    column(page, "Small").get_by_role("button", name="How sure it was").click()
    expect(tokens).to_have_count(0)
    expect(answer(column(page, "Small"))).to_be_visible()
    assert watch.complaints == []


def told(page: Page, gateway: Gateway, chance: float | None) -> FakeWire:
    """Open the page before a model whose server tells this of each token, or nothing."""
    wire = FakeWire(page, [model("a")])

    def answer(generation: str, command: Json) -> None:
        words = [f"word{at} " for at in range(400)]
        tokens: list[Json] = [
            {"id": -1, "text": word, "logprob": chance, "special": False, "top": []}
            for word in words
        ]
        end = {"finish_reason": "stop", "seq": 400, "usage": None, "timings": None}
        details = {"tokens": tokens} if command.get("details") else {}
        text = "".join(words)
        wire.say({"type": "delta", "generation": generation, "seq": 400, "text": text, **details})
        wire.say({"type": "end", "generation": generation, **end})

    wire.on_generate = answer
    open_page(page, gateway.url)
    choose(page, "a")
    return wire


def how_sure(page: Page) -> Locator:
    return page.get_by_role("button", name="How sure", exact=True)


def test_where_the_server_tells_nothing_only_that_is_said(
    page: Page, gateway: Gateway, watch: Watch, artifacts: Path
) -> None:
    told(page, gateway, None)
    how_sure(page).click()
    ask(page, SHORT)
    column(page, "a").get_by_role("button", name="How sure it was").click()
    tokens = column(page, "a").locator("token-view")
    expect(tokens).to_contain_text("The server does not tell how sure this model was.")
    expect(tokens).to_contain_text("word399")
    expect(tokens.locator("[role], ul, kbd")).to_have_count(0)
    expect(tokens).not_to_contain_text(re.compile("weighed|15 %"))
    page.screenshot(path=artifacts / "how-sure-untold.png")
    assert watch.complaints == []


def test_a_wish_that_comes_late_says_what_it_counts_for(page: Page, gateway: Gateway) -> None:
    told(page, gateway, -0.5)
    hint = page.locator("#composer-hint")
    how_sure(page).click()
    expect(hint).not_to_contain_text("counts from")
    how_sure(page).click()
    ask(page, SHORT)
    expect_end(column(page, "a"))
    how_sure(page).click()
    expect(hint).to_have_text(
        "“How sure” counts from the next prompt on. “Ask again” brings it for these answers."
    )
    how_sure(page).click()
    expect(hint).not_to_contain_text("counts from")
    how_sure(page).click()
    column(page, "a").get_by_role("button", name="Ask again").click()
    expect(column(page, "a").get_by_role("button", name="How sure it was")).to_be_visible()
    ask(page, "And now?")
    expect(hint).not_to_contain_text("counts from")


def test_on_a_phone_the_view_begins_at_its_head(
    browser: Browser, gateway: Gateway, watch: Watch, artifacts: Path
) -> None:
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    page = context.new_page()
    watch.follow(page)
    told(page, gateway, -0.5)
    page.keyboard.press("Escape")
    how_sure(page).tap()
    ask(page, SHORT)
    button = column(page, "a").get_by_role("button", name="How sure it was")
    button.scroll_into_view_if_needed()
    button.tap()
    head = column(page, "a").locator(".tokens-head")
    expect(head).to_be_in_viewport(ratio=1)
    expect(column(page, "a").locator(".tokens-keys")).to_have_text(
        "Tap a token to see what else the model weighed."
    )
    page.screenshot(path=artifacts / "how-sure-phone.png")
    assert watch.complaints == []
    context.close()


def test_without_the_wish_nothing_is_said_of_sureness(page: Page, gateway: Gateway) -> None:
    begin(page, gateway.url, "Small", tokens=4)
    ask(page, SHORT)
    expect_end(column(page, "Small"))
    expect(column(page, "Small").get_by_role("button", name="Copy this answer")).to_be_visible()
    expect(column(page, "Small").get_by_role("button", name="How sure it was")).to_be_hidden()


def test_differences_between_two_answers_are_marked(
    page: Page, gateway: Gateway, watch: Watch, artifacts: Path
) -> None:
    begin(page, gateway.url, "Small", "Brief", tokens=TOKENS)
    ask(page, SHORT)
    for name in ("Small", "Brief"):
        expect_end(column(page, name))
    page.get_by_role("button", name="More: Brief").click()
    page.get_by_role("menuitem", name="Compare the answers…").click()
    dialog = page.get_by_role("dialog", name="Differences")
    expect(dialog.get_by_role("combobox", name="Left answer")).to_have_value("0")
    expect(dialog.get_by_role("region", name="Brief")).to_be_visible()
    assert dialog.locator("mark").count() > 0
    page.screenshot(path=artifacts / "differences.png")
    dialog.get_by_role("combobox", name="Right answer").select_option("Brief")
    expect(dialog).to_contain_text("They are the same.")
    expect(dialog.locator("mark")).to_have_count(0)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert watch.complaints == []


@pytest.mark.needs_node
def test_axe_finds_nothing_in_tokens_differences_and_log(
    page: Page, gateway: Gateway, artifacts: Path
) -> None:
    tokens = look_at_tokens(page, gateway.url, "Small", "Brief")
    tokens.get_by_role("listbox").press("ArrowDown")
    for scheme in schemes(page):
        page.screenshot(path=artifacts / f"how-sure-{scheme}.png")
        assert axe_violations(page) == [], scheme
    page.get_by_role("button", name="More: Brief").click()
    page.get_by_role("menuitem", name="Compare the answers…").click()
    for scheme in schemes(page):
        page.screenshot(path=artifacts / f"differences-{scheme}.png")
        assert axe_violations(page) == [], scheme
    page.keyboard.press("Escape")
    open_card(page, "Small").get_by_role("button", name="Log: Small").click()
    expect(page.locator(".log-line").first).to_be_visible()
    for scheme in schemes(page):
        page.screenshot(path=artifacts / f"log-{scheme}.png")
        assert axe_violations(page) == [], scheme


def test_after_a_reload_and_from_the_list_the_tokens_are_still_there(
    page: Page, gateway: Gateway, watch: Watch
) -> None:
    look_at_tokens(page, gateway.url, "Small")
    small = column(page, "Small")
    shown = small.locator("token-view .tokens").text_content()
    open_page(page, gateway.url)
    small.get_by_role("button", name="How sure it was").click()
    tokens = small.locator("token-view .tokens")
    expect(tokens).to_have_text(shown or "", use_inner_text=False)
    page.get_by_role("button", name="New chat").click()
    page.get_by_role("tab", name="Chats").click()
    page.locator("chat-list .chat").first.click()
    small.get_by_role("button", name="How sure it was").click()
    expect(tokens).to_have_text(shown or "")
    tokens.press("ArrowRight")
    expect(small.locator(".token-choices li")).to_have_count(5)
    assert watch.complaints == []


def test_where_the_tokens_are_gone_it_is_said(page: Page, gateway: Gateway) -> None:
    look_at_tokens(page, gateway.url, "Small")
    page.route("**/tokens", lambda route: route.fulfill(json={"tokens": []}))
    open_page(page, gateway.url)
    column(page, "Small").get_by_role("button", name="How sure it was").click()
    expect(page.get_by_text("The tokens of this answer were not kept.")).to_be_visible()
    expect(answer(column(page, "Small"))).to_be_visible()
    again = column(page, "Small").get_by_role("button", name="How sure it was")
    expect(again).to_have_attribute("aria-pressed", "false")
