"""The page without and around answers."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.gateway import Gateway
from tests.browser.helpers import (
    PROMPT,
    act,
    answer,
    answers_of,
    ask,
    axe_violations,
    choose,
    column,
    expect_end,
    expect_longer,
    expect_writing,
    length,
    open_card,
    open_page,
    rendered,
    row,
    schemes,
    strip,
)
from tests.browser.watch import Watch
from tests.browser.wire import FakeWire, model

pytestmark = pytest.mark.needs_chromium


def test_the_first_visit_says_what_to_do(
    page: Page, gateway: Gateway, watch: Watch, artifacts: Path
) -> None:
    open_page(page, gateway.url)
    expect(page).to_have_title("Sidestream")
    expect(page.get_by_role("heading", name="Ask once, compare the answers")).to_be_visible()
    expect(page.get_by_role("checkbox", checked=True)).to_have_count(2)
    expect(page.get_by_role("textbox", name="Prompt")).to_be_focused()
    expect(page.get_by_role("button", name="Send")).to_be_disabled()
    page.screenshot(path=artifacts / "first-visit.png")
    example = page.locator(".example").first
    text = example.inner_text()
    example.click()
    for name in ("Small", "Brief"):
        expect(strip(page).locator(".prompt")).to_have_text(text)
        expect_longer(column(page, name), 0)
    page.keyboard.press("Escape")
    assert watch.complaints == []


def test_nothing_is_asked_of_anybody_else(page: Page, gateway: Gateway, watch: Watch) -> None:
    open_page(page, gateway.url)
    ask(page)
    expect_longer(column(page, "Small"), 20)
    page.keyboard.press("Escape")
    expect_end(column(page, "Small"), "Stopped")
    assert len(watch.requests) >= 4
    assert {urlsplit(url).netloc for url in watch.requests} == {f"127.0.0.1:{gateway.port}"}
    assert watch.complaints == []


def test_prompts_and_answers_are_never_parsed_as_html(
    page: Page, gateway: Gateway, watch: Watch
) -> None:
    open_page(page, gateway.url)
    choose(page, "Small")
    prompt = "<img src=x onerror=alert(1)><script>alert(2)</script> <b>Repeat this.</b>"
    ask(page, prompt)
    expect(strip(page).locator(".prompt")).to_have_text(prompt)
    expect_longer(column(page, "Small"), 20)
    page.keyboard.press("Escape")
    expect_end(column(page, "Small"))
    expect(column(page, "Small").locator("img, script, b")).to_have_count(0)
    expect(answer(column(page, "Small")).locator("p").first).to_be_visible()
    assert watch.complaints == []


def test_choice_and_draft_outlive_a_reload(page: Page, gateway: Gateway, watch: Watch) -> None:
    open_page(page, gateway.url)
    choose(page, "Brief")
    prompt = page.get_by_role("textbox", name="Prompt")
    prompt.click()
    page.keyboard.type("A first line")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("and a second")
    open_page(page, gateway.url)
    expect(page.get_by_role("checkbox", checked=True)).to_have_count(1)
    expect(page.get_by_role("checkbox", name="Brief")).to_be_checked()
    expect(prompt).to_have_value("A first line\nand a second")
    prompt.press("Enter")
    expect(strip(page).locator(".prompt")).to_have_text("A first line\nand a second")
    expect(prompt).to_have_value("")
    expect_longer(column(page, "Brief"), 0)
    page.keyboard.press("Escape")
    assert watch.complaints == []


def test_a_reload_goes_on_with_every_answer_where_it_was(
    page: Page, gateway: Gateway, watch: Watch
) -> None:
    open_page(page, gateway.url)
    choose(page, "Small", "Brief")
    ask(page)
    for name in ("Small", "Brief"):
        expect_longer(column(page, name), 50)
    open_page(page, gateway.url)
    small, brief = column(page, "Small"), column(page, "Brief")
    expect(strip(page).locator(".prompt")).to_have_text(PROMPT)
    for one in (small, brief):
        expect_longer(one, length(one) + 50)
        expect_writing(one)
    page.keyboard.press("Escape")
    for one in (small, brief):
        expect_end(one, "Stopped")
    shown = {answer(one).text_content() for one in (small, brief)}
    assert shown == {rendered(page, text) for text, _ in answers_of(watch, gateway)}
    open_page(page, gateway.url)
    assert shown == {answer(one).text_content() for one in (small, brief)}, "also what had ended"
    assert len(watch.sent_of("generate")) == 2, "nothing was asked again"
    assert watch.complaints == []


def test_nothing_can_be_sent_without_a_model(page: Page, gateway: Gateway) -> None:
    open_page(page, gateway.url)
    choose(page)
    ask(page, "Is anybody there?")
    expect(page.get_by_text("Pick one or more models first")).to_be_visible()
    expect(page.get_by_role("button", name="Send")).to_be_disabled()
    expect(page.get_by_role("textbox", name="Prompt")).to_have_value("Is anybody there?")


@pytest.mark.parametrize("width", [320, 500, 900, 1440])
def test_the_hint_below_the_prompt_is_one_line(page: Page, gateway: Gateway, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 700})
    open_page(page, gateway.url)
    hint = page.locator("prompt-composer .hint")
    expect(hint).to_have_text("Press ? for help")
    assert hint.evaluate("(one) => one.clientHeight") < 24
    if width >= 900:
        foot = page.locator("prompt-composer .composer-foot")
        assert foot.evaluate("(one) => one.clientHeight") < 40, "beside the buttons"


def test_where_all_columns_are_hidden_it_says_so(
    page: Page, gateway: Gateway, watch: Watch, artifacts: Path
) -> None:
    wire = FakeWire(page, [model("a"), model("b")])
    wire.on_generate = lambda generation, _: wire.answer(generation, "Rain.")
    open_page(page, gateway.url)
    words = page.get_by_text("All columns are hidden.")
    ask(page, "What is the weather?")
    for name in ("a", "b"):
        expect_end(column(page, name))
        act(page, name, "Hide")
    expect(words).to_be_in_viewport()
    expect(page.locator("prompt-composer .hint")).to_have_text("All columns are hidden")
    expect(page.get_by_role("textbox", name="Prompt")).to_have_attribute("placeholder", "Ask")
    page.screenshot(path=artifacts / "all-hidden.png")
    assert axe_violations(page) == []
    page.get_by_role("button", name="New chat").click()
    expect(words).to_be_in_viewport()
    expect(page.get_by_text("Pick one or more models")).to_be_hidden()
    page.screenshot(path=artifacts / "all-hidden-welcome.png")
    page.get_by_role("button", name="Show them").click()
    expect(words).to_be_hidden()
    expect(page.get_by_role("textbox", name="Prompt")).to_be_focused()
    expect(page.locator(".welcome-models .chip")).to_have_text(["a", "b"])
    assert watch.complaints == []


def test_a_model_that_is_deselected_stops_and_comes_back_as_it_was(
    page: Page, gateway: Gateway
) -> None:
    open_page(page, gateway.url)
    choose(page, "Small", "Brief")
    ask(page)
    expect_longer(column(page, "Brief"), 20)
    choose(page, "Small")
    expect(column(page, "Brief")).to_have_count(0)
    expect_longer(column(page, "Small"), 20)
    choose(page, "Small", "Brief")
    expect_end(column(page, "Brief"), "Stopped")
    page.get_by_role("button", name="New chat").click()
    expect(page.get_by_role("heading", name="Ask once, compare the answers")).to_be_visible()


def test_a_model_is_started_and_stopped_in_the_picker(page: Page, own_gateway: Gateway) -> None:
    open_page(page, own_gateway.url)
    small = row(page, "Small")
    expect(small).to_have_attribute("data-state", "stopped")
    card = open_card(page, "Small")
    card.get_by_role("button", name="Start: Small").click()
    expect(small).to_have_attribute("data-state", "ready")
    expect(card.get_by_role("status")).to_have_text("Ready")
    expect(card).to_contain_text("135M")  # as its server says
    card.get_by_role("button", name="Stop running: Small").click()
    expect(small).to_have_attribute("data-state", "stopped")


def test_eight_models_are_all_on_the_screen(
    page: Page, eight_models: Gateway, artifacts: Path
) -> None:
    open_page(page, eight_models.url)
    names = ["Small", *(f"Preset {n}" for n in range(2, 9))]
    choose(page, *names)
    ask(page, "Write about the sea.")
    for name in names:
        expect_longer(column(page, name), 10)
    page.screenshot(path=artifacts / "eight-models.png")
    for name in names:
        box = column(page, name).bounding_box()
        assert box is not None
        assert box["width"] >= 240
        assert box["x"] + box["width"] <= 1440
        assert box["y"] + box["height"] <= 900
    page.keyboard.press("Escape")


@pytest.mark.needs_node
@pytest.mark.parametrize("width", [1440, 390])
def test_axe_finds_nothing(page: Page, gateway: Gateway, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    open_page(page, gateway.url)
    if width < 800:
        page.get_by_role("button", name="Models and chats").click()
    choose(page, "Small", "Broken")
    for scheme in schemes(page):
        assert axe_violations(page) == [], f"with the models open, {scheme}"
    page.get_by_role("tab", name="Chats").click()
    expect(page.locator("chat-list").get_by_role("listitem").first).to_be_visible()
    for scheme in schemes(page):
        assert axe_violations(page) == [], f"with the chats open, {scheme}"
    page.get_by_role("tab", name="Models").click()
    if width < 800:
        page.keyboard.press("Escape")
    ask(page)
    expect(column(page, "Broken").get_by_role("alert")).to_be_attached()
    expect_longer(column(page, "Small"), 20)
    page.keyboard.press("Escape")
    expect_end(column(page, "Small"))
    for scheme in schemes(page):
        assert axe_violations(page) == [], f"with an answer and an error, {scheme}"
    column(page, "Small").get_by_role("button", name="More: Small").click()
    expect(page.get_by_role("menu", name="More: Small")).to_be_visible()
    assert axe_violations(page) == [], "with a menu open"
    page.keyboard.press("Escape")


def test_a_phone_shows_one_column_at_a_time(
    browser: Browser, gateway: Gateway, watch: Watch, artifacts: Path
) -> None:
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    page = context.new_page()
    watch.follow(page)
    open_page(page, gateway.url)
    models = page.get_by_role("button", name="Models and chats")
    expect(page.locator("model-picker")).to_be_hidden()
    models.click()
    expect(page.get_by_role("checkbox", name="Small")).to_be_focused()
    page.screenshot(path=artifacts / "phone-models.png")
    page.keyboard.press("Escape")
    expect(page.locator("model-picker")).to_be_hidden()
    expect(models).to_be_focused()
    ask(page)
    expect_longer(column(page, "Small"), 200)
    page.screenshot(path=artifacts / "phone.png")
    expect(page.get_by_text("Esc stops all")).to_have_count(0)  # there is no such key
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    expect(column(page, "Small")).to_be_in_viewport(ratio=0.9)
    expect(column(page, "Brief")).not_to_be_in_viewport(ratio=0.5)
    page.locator(".columns").evaluate("(columns) => columns.scrollBy(300, 0)")
    expect(column(page, "Brief")).to_be_in_viewport(ratio=0.9)
    page.get_by_role("button", name="Stop all").click()
    assert watch.complaints == []
    context.close()


def test_a_dark_page_for_a_dark_system(page: Page, gateway: Gateway, artifacts: Path) -> None:
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    open_page(page, gateway.url)
    ask(page)
    for name in ("Small", "Brief"):
        expect_longer(column(page, name), 200)
    page.screenshot(path=artifacts / "two-models-dark.png")
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert all(int(part) < 60 for part in re.findall(r"\d+", background)[:3])
    page.keyboard.press("Escape")
