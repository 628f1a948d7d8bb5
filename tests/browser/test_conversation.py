"""Working with answers: ask again, branch, queue, compare blind, store and return."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.gateway import Gateway
from tests.browser.helpers import (
    PROMPT,
    act,
    answer,
    ask,
    begin,
    choose,
    column,
    edit,
    expect_end,
    expect_longer,
    expect_writing,
    length,
    limit,
    open_page,
    strip,
    turn,
)
from tests.browser.watch import Watch

pytestmark = pytest.mark.needs_chromium

SHORT = "Say hello."
THREE = ("Small", "Preset 2", "Preset 3")


def names(page: Page) -> list[str]:
    # A name may be in two parts, each of which has a line of its own in the inner text.
    return page.locator("answer-column h2").all_text_contents()


def test_a_prompt_that_is_edited_makes_a_branch(page: Page, gateway: Gateway) -> None:
    begin(page, gateway.url, "Small", tokens=8)
    small = column(page, "Small")
    ask(page, SHORT)
    expect_end(small)
    ask(page, "And again.")
    expect(small.locator("answer-turn")).to_have_count(2)
    expect_end(small)
    strip(page).get_by_role("button", name="Turn before").click()
    edit(page, "Say good-bye.")
    expect(small.locator("answer-turn")).to_have_count(1)
    expect(strip(page).locator(".prompt")).to_have_text("Say good-bye.")
    expect(strip(page).get_by_role("group", name="Branch")).to_contain_text("2 of 2")
    expect_end(small)
    strip(page).get_by_role("button", name="Branch before").click()
    expect(small.locator("answer-turn")).to_have_count(2)
    expect(strip(page).locator(".prompt")).to_have_text(SHORT)


def test_an_answer_is_asked_again_and_gone_on_with(
    page: Page, gateway: Gateway, watch: Watch
) -> None:
    begin(page, gateway.url, "Small", tokens=8)
    small = column(page, "Small")
    ask(page)
    expect_end(small, "Length limit")
    before = length(small)
    turn(small).get_by_role("button", name="Go on with this answer").click()
    expect_longer(small, before)
    expect_end(small, "Length limit")
    turn(small).get_by_role("button", name="Ask again").click()
    expect(turn(small).get_by_role("group", name="Answer")).to_contain_text("2 of 2")
    expect_end(small, "Length limit")
    assert watch.complaints == []


def test_one_model_twice_with_other_parameters(page: Page, gateway: Gateway, watch: Watch) -> None:
    begin(page, gateway.url, "Small", tokens=6)
    ask(page, SHORT)
    expect_end(column(page, "Small"))
    act(page, "Small", "Same model")
    page.get_by_label("Temperature").fill("9")
    page.get_by_label("Seed").click()
    expect(page.get_by_text("Expected a number from 0 to 5.")).to_be_visible()
    page.get_by_label("Temperature").fill("0.5")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    other = column(page, "Small (Temperature 0.5)")
    expect(other.locator(".column-own")).to_have_text("Temperature 0.5")
    expect(turn(other)).to_contain_text("Not asked here.")
    turn(other).get_by_role("button", name="Ask this column too").click()
    expect_end(other)
    sent = watch.sent_of("generate")[-1]["targets"][0]
    assert sent["parameters"] == {"max_new_tokens": 6, "temperature": 0.5}
    other.locator(".log").focus()
    page.keyboard.press("Alt+Shift+ArrowLeft")
    assert names(page) == ["Small (Temperature 0.5)", "Small (1)"]
    page.get_by_role("textbox", name="Prompt").focus()
    open_page(page, gateway.url)
    assert names(page) == ["Small (Temperature 0.5)", "Small (1)"]
    assert watch.complaints == []


def test_prompts_queue_and_columns_take_turns(page: Page, gateway: Gateway) -> None:
    open_page(page, gateway.url)
    choose(page, "Small", "Brief")
    page.get_by_label("How the models are asked").select_option("One after the other")
    ask(page)
    small, brief = column(page, "Small"), column(page, "Brief")
    expect_longer(small, 20)
    expect(brief.locator(".waiting")).to_contain_text("Waiting for its turn")
    ask(page, SHORT)
    ask(page, "Never mind.")
    waiting = page.get_by_role("list", name="Prompts that wait").get_by_role("listitem")
    expect(waiting).to_have_text([SHORT, "Never mind."])
    waiting.last.get_by_role("button").click()
    expect(waiting).to_have_text([SHORT])
    small.get_by_role("button", name="Stop: Small").click()
    expect_writing(brief)
    page.keyboard.press("Escape")
    expect_end(brief, "Stopped")
    page.get_by_role("button", name="Go on", exact=True).click()
    expect(strip(page).locator(".prompt")).to_have_text(SHORT)
    page.keyboard.press("Escape")


def test_chat_with_the_latest_prompt_is_listed_first(page: Page, gateway: Gateway) -> None:
    open_page(page, gateway.url)
    choose(page, "Small", "Brief")
    open_page(page, gateway.url)
    expect(page.locator(".welcome-models .chip")).to_have_text(["Small", "Brief"])
    limit(page, 4)
    chats = page.locator("chat-list")
    for prompt in ("An older one.", "A newer one."):
        page.get_by_role("button", name="New chat").click()
        ask(page, prompt)
        expect_end(column(page, "Small"))
        expect_end(column(page, "Brief"))
    page.get_by_role("tab", name="Chats").click()
    expect(chats.get_by_role("listitem").first).to_contain_text("A newer one.")
    chats.get_by_role("button", name="An older one.", exact=True).click()
    expect(strip(page).locator(".prompt")).to_have_text("An older one.")
    ask(page, "Once more.")
    expect(chats.get_by_role("listitem").first).to_contain_text("An older one.")


def test_the_keyboard_does_it_all(page: Page, gateway: Gateway) -> None:
    open_page(page, gateway.url)
    page.get_by_role("button", name="New chat").focus()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Help")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    expect(page.get_by_role("textbox", name="Prompt")).to_be_focused()
    page.keyboard.type("What / is ? this")
    expect(page.get_by_role("textbox", name="Prompt")).to_have_value("What / is ? this")
    page.get_by_role("textbox", name="Prompt").fill("")
    theme = page.get_by_role("button", name=re.compile("^Theme"))
    for scheme in ("light", "dark"):
        theme.press("Enter")
        expect(theme).to_have_attribute("aria-label", f"Theme: {scheme}")
        found = page.evaluate("getComputedStyle(document.documentElement).colorScheme")
        assert found == scheme


@pytest.mark.timeout(400)
def test_the_whole_journey(
    page: Page, eight_models: Gateway, watch: Watch, artifacts: Path, tmp_path: Path
) -> None:
    open_page(page, eight_models.url)
    expect(page.get_by_role("heading", name="Ask once, compare the answers")).to_be_visible()
    choose(page, *THREE)
    ask(page)
    columns = [column(page, name) for name in THREE]
    for one in columns:
        expect_longer(one, 30)
    columns[1].get_by_role("button", name="Stop: Preset 2").click()
    expect_end(columns[1], "Stopped")
    page.keyboard.press("Escape")
    for one in columns:
        expect_end(one, "Stopped")
    limit(page, 8)
    turn(columns[1]).get_by_role("button", name="Ask again").click()
    expect_end(columns[1], "Length limit")
    edit(page, SHORT)
    expect(strip(page).get_by_role("group", name="Branch")).to_contain_text("2 of 2")
    for one in columns:
        expect_end(one)

    page.get_by_role("button", name="Blind").click()
    ask(page, "Name a colour.")
    for letter in "ABC":
        expect_end(column(page, f"Model {letter}"))
    page.get_by_role("group", name="Vote").get_by_role("button", name="Tie").click()
    page.get_by_role("button", name="Blind").click()

    page.get_by_role("tab", name="Chats").click()
    chats = page.locator("chat-list")
    expect(chats.get_by_role("listitem")).to_have_count(1)
    more = chats.get_by_role("button", name=f"More: {PROMPT[:20]}")
    page.screenshot(path=artifacts / "chats.png")
    more.click()
    with page.expect_download() as download:
        page.get_by_role("menuitem", name="Export as JSON").click()
    file = tmp_path / "chat.json"
    download.value.save_as(file)
    kept = json.loads(file.read_text())["conversation"]
    assert len(kept["turns"]) == 3
    assert kept["turns"][-1]["vote"]["verdict"] == "tie"
    chats.get_by_label("File to import").set_input_files(file)
    expect(chats.get_by_role("listitem")).to_have_count(2)
    expect(page.locator(".prompt").first).to_have_text("Name a colour.")
    assert sorted(names(page)) == sorted(THREE)
    more.first.click()
    page.get_by_role("menuitem", name="Rename").click()
    page.get_by_label("Title").fill("The river")
    page.keyboard.press("Enter")
    chats.get_by_role("button", name="More: The river").click()
    page.get_by_role("menuitem", name="Delete").click()
    expect(chats.get_by_role("listitem")).to_have_count(1)
    chats.get_by_role("button", name="Undo").click()
    expect(chats.get_by_role("listitem")).to_have_count(2)
    chats.get_by_label("Search chats").fill("river lighthouse")
    expect(chats.locator("mark").first).to_be_visible()
    chats.get_by_role("button", name=re.compile("^The river")).click()
    page.get_by_role("tab", name="Models").click()

    limit(page, 400)
    ask(page)
    for one in columns:
        expect_longer(one, 30)
    open_page(page, eight_models.url)
    for one in columns:
        expect_longer(one, length(one) + 30)
    eight_models.stop(9)
    eight_models.start()
    expect(page.locator("connection-state")).to_have_attribute("data-state", "connected")
    for one in columns:
        expect_end(one, "Interrupted")
        assert length(one) > 30, "what had been written is kept"
    limit(page, 8)
    before = length(columns[0])
    turn(columns[0]).get_by_role("button", name="Go on with this answer").click()
    expect_longer(columns[0], before)
    expect_end(columns[0])
    shown = [answer(one).text_content() for one in columns]
    page.get_by_role("button", name="New chat").click()
    page.get_by_role("tab", name="Chats").click()
    chats.get_by_role("button", name=re.compile("^The river")).click()
    for one, text in zip(columns, shown, strict=True):
        expect(answer(one)).not_to_be_empty()
        assert (answer(one).text_content() or "")[:30] == (text or "")[:30]
    # While the server goes and is away, the browser itself says so.
    away = ("CONNECTION_REFUSED", "CONNECTION_RESET")
    assert [one for one in watch.complaints if not any(word in one for word in away)] == []
