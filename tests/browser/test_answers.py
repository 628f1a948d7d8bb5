"""Two real models answer side by side in a real browser."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.gateway import Gateway, Wire
from tests.browser.helpers import (
    RECORD_GROWTH,
    answer,
    answers_of,
    ask,
    choose,
    column,
    expect_end,
    expect_longer,
    expect_writing,
    length,
    open_page,
    rendered,
    turns_taken,
)
from tests.browser.watch import Watch

pytestmark = pytest.mark.needs_chromium


def test_two_models_stream_at_once(
    page: Page, gateway: Gateway, watch: Watch, artifacts: Path
) -> None:
    open_page(page, gateway.url)
    choose(page, "Small", "Brief")
    page.evaluate(RECORD_GROWTH)
    ask(page)
    for name in ("Small", "Brief"):
        expect_longer(column(page, name), 200)
    for name in ("Small", "Brief"):
        expect_writing(column(page, name))
    page.screenshot(path=artifacts / "two-models.png")
    page.keyboard.press("Escape")
    for name in ("Small", "Brief"):
        expect_end(column(page, name), "Stopped")
        expect(column(page, name)).to_contain_text(re.compile(r"Speed\d+\.\d /s"))
        expect(column(page, name)).to_contain_text(re.compile(r"First token(\d+ ms|\d+\.\d+ s)"))
    heard = page.get_by_role("log", name="Answers")
    expect(heard).to_contain_text("Brief: Stopped after")
    expect(heard.locator("p").first).to_have_text(re.compile(r"^[A-Z].*\.$"))
    growth = page.evaluate("window.growth")
    assert {"Small", "Brief"} == set(growth)
    assert turns_taken(growth) > 20
    assert (
        answer(column(page, "Small")).text_content() != answer(column(page, "Brief")).text_content()
    )
    assert watch.complaints == []


def test_one_is_stopped_while_the_other_goes_on(page: Page, gateway: Gateway) -> None:
    open_page(page, gateway.url)
    choose(page, "Small", "Brief")
    ask(page)
    small, brief = column(page, "Small"), column(page, "Brief")
    expect_longer(small, 20)
    expect_longer(brief, 20)
    small.get_by_role("button", name="Stop: Small").click()
    expect_end(small, "Stopped")
    expect(small.get_by_role("button", name="Stop: Small")).to_be_hidden()
    stopped_at = length(small)
    expect_longer(brief, length(brief) + 50)
    expect_writing(brief)
    assert length(small) == stopped_at
    page.keyboard.press("Escape")
    expect_end(brief, "Stopped")


@pytest.mark.parametrize("how", ["button", "key"])
def test_all_are_stopped(page: Page, gateway: Gateway, how: str) -> None:
    open_page(page, gateway.url)
    choose(page, "Small", "Brief")
    ask(page)
    for name in ("Small", "Brief"):
        expect_longer(column(page, name), 20)
    if how == "button":
        page.get_by_role("button", name="Stop all").click()
    else:
        page.keyboard.press("Escape")
    for name in ("Small", "Brief"):
        expect_end(column(page, name), "Stopped")
    expect(page.get_by_role("button", name="Send")).to_be_visible()


def test_an_error_stands_in_the_column_it_belongs_to(
    page: Page, gateway: Gateway, watch: Watch, artifacts: Path
) -> None:
    open_page(page, gateway.url)
    choose(page, "Small", "Broken")
    ask(page)
    broken = column(page, "Broken")
    expect(broken.get_by_role("alert").locator(".notice-title")).to_have_attribute(
        "title", "model_failed"
    )
    expect(broken.get_by_role("alert")).to_contain_text("/nowhere/at-all.gguf")
    expect_longer(column(page, "Small"), 100)
    expect(column(page, "Small").get_by_role("alert")).to_have_count(0)
    page.screenshot(path=artifacts / "error-in-its-column.png")
    expect(page.locator("model-row", has_text="Broken")).to_have_attribute("data-state", "failed")
    page.keyboard.press("Escape")
    assert watch.complaints == []


def test_a_first_prompt_that_is_too_long_is_to_be_shortened(
    page: Page, gateway: Gateway, watch: Watch
) -> None:
    open_page(page, gateway.url)
    choose(page, "Small")
    ask(page, "word " * 4000)
    alert = column(page, "Small").get_by_role("alert")
    expect(alert.locator(".notice-title")).to_have_attribute("title", "prompt_too_long")
    expect(alert.locator(".notice-hint")).to_contain_text([re.compile("^Shorten it.*context")])
    expect(alert).not_to_contain_text("`")
    expect(alert).not_to_contain_text("said before")
    page.get_by_role("button", name="New chat").click()
    expect(alert).to_have_count(0)
    assert watch.complaints == []


def test_each_model_goes_on_with_its_own_conversation(
    page: Page, gateway: Gateway, watch: Watch
) -> None:
    open_page(page, gateway.url)
    choose(page, "Small", "Brief")
    ask(page)
    for name in ("Small", "Brief"):
        expect_longer(column(page, name), 20)
    page.keyboard.press("Escape")
    own = {}
    for name in ("Small", "Brief"):
        expect_end(column(page, name), "Stopped")
        own[name.lower()] = answer(column(page, name)).text_content()
    ask(page, "And another?")
    for name in ("Small", "Brief"):
        expect(column(page, name).locator("answer-turn")).to_have_count(2)
        expect_longer(column(page, name), 0)
    page.keyboard.press("Escape")
    second = [json.loads(frame) for frame in watch.sent if "And another?" in frame]
    assert {command["targets"][0]["model"] for command in second} == {"small", "brief"}
    for command in second:
        roles = [message["role"] for message in command["messages"]]
        assert roles == ["user", "assistant", "user"]
        said = command["messages"][1]["content"]
        assert rendered(page, said) == own[command["targets"][0]["model"]]


def test_a_cut_wire_costs_no_word(page: Page, gateway: Gateway, watch: Watch) -> None:
    with Wire(gateway.port) as wire:
        open_page(page, wire.url)
        choose(page, "Small", "Brief")
        ask(page)
        for characters in (50, 200, 400):
            expect_longer(column(page, "Small"), characters)
            with page.expect_websocket():  # a cut while there is none would be no cut
                wire.cut()
        expect_longer(column(page, "Small"), length(column(page, "Small")) + 50)
        page.keyboard.press("Escape")
        for name in ("Small", "Brief"):
            expect_end(column(page, name))
        shown = {answer(column(page, name)).text_content() for name in ("Small", "Brief")}
        hellos = [frame for frame in watch.sent if '"hello"' in frame]
        assert len(hellos) == 4
        written = answers_of(watch, gateway)
        assert shown == {rendered(page, text) for text, _ in written}


def test_a_killed_server_is_waited_for(page: Page, own_gateway: Gateway, artifacts: Path) -> None:
    open_page(page, own_gateway.url)
    choose(page, "Small", "Brief")
    ask(page)
    small = column(page, "Small")
    expect_longer(small, 50)
    own_gateway.stop(9)
    state = page.locator("connection-state")
    expect(state).to_contain_text(re.compile(r"Reconnecting ?in \d+ s"))
    expect(page.get_by_role("button", name="Send")).to_have_count(0)
    page.screenshot(path=artifacts / "reconnecting.png")
    own_gateway.start()
    expect(state).to_have_attribute("data-state", "connected")
    expect_end(small, "Interrupted")
    expect(small.get_by_role("alert").locator(".notice-title")).to_have_attribute(
        "title", "session_lost"
    )
    assert length(small) > 50, "what had been written is kept"
    ask(page, "Say hello.")
    expect(small.locator("answer-turn")).to_have_count(2)
    expect_longer(small, 0)
    page.keyboard.press("Escape")
