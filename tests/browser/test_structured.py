"""Tool calls as cards, JSON that folds, the source of an answer, and a context that fills up."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.gateway import Gateway
from tests.browser.helpers import (
    answer,
    ask,
    axe_violations,
    column,
    expect_end,
    open_page,
    schemes,
    strip,
    turn,
)
from tests.browser.thinker import thinking
from tests.browser.watch import Watch
from tests.browser.wire import FakeWire, Json, model

pytestmark = pytest.mark.needs_chromium

WEATHER = '{"city":"Bergen","days":[1,2],"id":12345678901234567890}'
TIDY = """{
  "city": "Bergen",
  "days": [
    1,
    2
  ],
  "id": 12345678901234567890
}
"""
LIMITS = {"max_total_tokens": 8192}


def said(
    page: Page, url: str, text: str, *, calls: dict[str, str] | None = None, **end: Any
) -> Locator:
    """Have one model answer this; return its turn."""
    wire = FakeWire(page, [model("a", limits=LIMITS)])

    def write(generation: str, _: Json) -> None:
        seq = 0
        for index, (name, arguments) in enumerate((calls or {}).items()):
            for piece in (arguments[:9], arguments[9:]):
                seq += 1
                call = {"index": index, "name": name, "id": f"call_{index}"}
                wire.say(
                    {
                        "type": "delta",
                        "generation": generation,
                        "seq": seq,
                        "text": piece,
                        "kind": "tool_call",
                        "call": call,
                    }
                )
        wire.answer(generation, text, before=seq, **end)

    wire.on_generate = write
    open_page(page, url)
    ask(page, "What is the weather?")
    one = column(page, "a")
    expect(one.locator(".footnote").last).to_have_text(re.compile(r"\S"))
    return turn(one)


def copied(page: Page, button: Locator) -> str:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    button.click()
    expect(page.locator(".copy.is-done, .icon-button.is-done")).to_have_count(1)
    text: str = page.evaluate("navigator.clipboard.readText()")
    return text


def test_a_tool_call_is_a_card_with_tidy_arguments(
    page: Page, gateway: Gateway, watch: Watch, artifacts: Path
) -> None:
    own = {"details": {"finish_reason": "tool_calls"}}
    one = said(page, gateway.url, "Let me see.", calls={"get_weather": WEATHER, "now": ""}, **own)
    expect(one.locator(".footnote")).not_to_contain_text("calls it")
    card = one.get_by_role("group", name="Tool call: get_weather")
    expect(card.locator(".tool-name")).to_have_text("get_weather")
    expect(card.locator("code")).to_have_text(TIDY, use_inner_text=False)
    expect(card.locator("details")).to_have_count(2)
    page.screenshot(path=artifacts / "tool-call.png")
    assert copied(page, card.get_by_role("button", name="Copy arguments")) == TIDY.rstrip()
    bare = one.get_by_role("group", name="Tool call: now")
    expect(bare).to_be_visible()
    expect(bare.locator("pre")).to_be_hidden()
    page.reload()
    expect(card.locator("code")).to_have_text(TIDY, use_inner_text=False)
    assert watch.complaints == []


def test_a_turn_with_a_tool_call_is_left_at_once(
    page: Page, gateway: Gateway, watch: Watch
) -> None:
    said(page, gateway.url, "Let me see.\n\n" * 30, calls={"get_weather": WEATHER})
    ask(page, "And tomorrow?")
    expect(strip(page)).to_contain_text("2 of 2")
    expect_end(column(page, "a"), "Complete")
    expect(column(page, "a").locator("details")).to_have_count(4)
    strip(page).get_by_role("button", name="Turn before").click()
    expect(strip(page)).to_contain_text("1 of 2")
    strip(page).get_by_role("button", name="Turn after").click()
    expect(strip(page)).to_contain_text("2 of 2")
    strip(page).get_by_role("button", name="Turn before").click()
    expect(strip(page)).to_contain_text("1 of 2")
    assert watch.complaints == []


@pytest.mark.parametrize(
    "form", ["{}", "Here it is:\n\n```json\n{}\n```\n"], ids=["bare", "fenced"]
)
def test_json_is_indented_and_folds(
    page: Page, gateway: Gateway, watch: Watch, artifacts: Path, form: str
) -> None:
    one = said(page, gateway.url, form.replace("{}", WEATHER))
    code = one.locator(".answer code")
    expect(code).to_have_text(TIDY, use_inner_text=False)
    end = one.locator(".json-close").last
    expect(end).to_be_visible()
    page.screenshot(path=artifacts / "json.png")
    whole = one.locator("summary").first
    whole.focus()
    page.keyboard.press("Enter")
    expect(end).to_be_hidden()
    expect(one.locator(".code-key").first).to_be_hidden()
    page.screenshot(path=artifacts / "json-folded.png")
    button = one.get_by_role("button", name="Copy code")
    assert copied(page, button) == TIDY.rstrip(), "whatever is folded"
    assert watch.complaints == []


def test_an_answer_is_shown_as_it_was_written(page: Page, gateway: Gateway, watch: Watch) -> None:
    text = "**Blue**, as\n\n- the sea\n\n```json\n[1]\n```"
    one = said(page, gateway.url, text)
    toggle = one.get_by_role("button", name="As it was written")
    toggle.click()
    expect(toggle).to_have_attribute("aria-pressed", "true")
    expect(one.locator(".source")).to_have_text(text, use_inner_text=False)
    expect(one.locator(".answer")).to_be_hidden()
    toggle.click()
    expect(one.locator(".source")).to_have_count(0)
    expect(one.locator(".answer strong")).to_have_text("Blue")
    assert watch.complaints == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('{"a": 1} is what *you* want.', '{"a": 1} is what you want.'),
        ("[1] A book", "[1] A book"),
        ("{", "{"),
    ],
)
def test_text_that_only_begins_like_json_is_shown_as_text(
    page: Page, gateway: Gateway, text: str, shown: str
) -> None:
    one = said(page, gateway.url, text)
    expect(one.locator(".answer")).to_have_text(shown)
    expect(one.locator(".code")).to_have_count(0)


def usage(prompt: int, completion: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": completion}


def test_the_gauge_tells_how_full_the_context_is(
    page: Page, gateway: Gateway, watch: Watch, artifacts: Path
) -> None:
    left_out = {"code": "turns_left_out", "message": "the 2 oldest turns were left out"}
    said(page, gateway.url, "Rain.", usage=usage(6100, 4), notices=[left_out])
    gauge = column(page, "a").locator(".gauge")
    expect(gauge).to_have_text("6.1k of 8.2k")
    expect(gauge).to_have_attribute("title", "Context: 6,104 of 8,192 tokens")
    expect(gauge).not_to_have_class(re.compile("is-nearly-full"))
    expect(column(page, "a").locator(".remarks")).to_have_text("The 2 oldest turns were left out.")
    page.screenshot(path=artifacts / "gauge.png")
    assert watch.complaints == []


def full_context(page: Page, url: str) -> FakeWire:
    """Have the second answer end since the context is full."""
    wire = FakeWire(page, [model("a", limits=LIMITS)])
    full = {"code": "context_full", "message": "the model's context is full"}

    def write(generation: str, command: Json) -> None:
        if len(command["messages"]) == 1:
            wire.answer(generation, "Rain.", usage=usage(100, 1))
        elif "trim" in command:
            wire.answer(generation, "Again: rain.", usage=usage(4000, 3))
        else:
            end: Json = {"finish_reason": "length", "notices": [full]}
            wire.answer(generation, "It", usage=usage(8191, 1), **end)

    wire.on_generate = write
    open_page(page, url)
    ask(page, "What is the weather?")
    expect_end(column(page, "a"))
    ask(page, "And tomorrow?")
    expect_end(column(page, "a"), "Context full after 2.31 s")
    return wire


def test_a_full_context_is_an_end_of_its_own(
    page: Page, gateway: Gateway, watch: Watch, artifacts: Path
) -> None:
    wire = full_context(page, gateway.url)
    one = column(page, "a")
    expect(one.locator(".gauge")).to_have_class(re.compile("is-nearly-full"))
    expect(one.locator(".gauge")).to_have_text("8.2k of 8.2k")
    expect(one.get_by_role("group", name="Context full")).to_be_visible()
    page.screenshot(path=artifacts / "context-full.png")
    one.get_by_role("button", name="Leave out the oldest turns").click()
    expect(answer(one)).to_have_text("Again: rain.")
    expect_end(one)
    expect(one.get_by_role("group", name="Context full")).to_be_hidden()
    ask(page, "And then?")
    expect(one.locator("answer-turn")).to_have_count(3)
    expect_end(one)
    trims = [command.get("trim") for command in wire.commands("generate")]
    assert trims == [None, None, "oldest_turns", "oldest_turns"]
    assert watch.complaints == []


def test_a_new_chat_helps_too(page: Page, gateway: Gateway) -> None:
    full_context(page, gateway.url)
    column(page, "a").get_by_role("button", name="New chat").click()
    expect(page.locator("answer-column:visible")).to_have_count(0)


def test_a_prompt_that_is_too_long_offers_the_same(page: Page, gateway: Gateway) -> None:
    wire = FakeWire(page, [model("a", limits=LIMITS)])
    wire.on_generate = lambda generation, _: wire.answer(generation, "Rain.")
    open_page(page, gateway.url)
    ask(page, "What is the weather?")
    one = column(page, "a")
    expect_end(one)
    details = {"prompt_tokens": 9000, "max_total_tokens": 8192, "over_by": 808}
    message = "the prompt has 9,000 tokens, 808 too many"
    wire.refusals["generate"] = {
        "code": "prompt_too_long",
        "message": message,
        "hint": "have the oldest turns left out with `trim`, or take another model",
        "details": details,
    }
    ask(page, "And tomorrow?")
    expect(one.get_by_role("alert")).to_contain_text("808 too many")
    expect(one.locator(".notice-hint")).to_have_text(["Take another model."])
    expect(one.locator(".gauge")).to_have_text("9.0k of 8.2k")
    wire.refusals.clear()
    one.get_by_role("button", name="Leave out the oldest turns").click()
    expect(answer(one)).to_have_text("Rain.")
    assert wire.commands("generate")[-1]["trim"] == "oldest_turns"


@pytest.mark.needs_node
def test_axe_finds_nothing(page: Page, gateway: Gateway, artifacts: Path) -> None:
    text = f"So:\n\n```json\n{WEATHER}\n```"
    full = {"code": "context_full", "message": "the model's context is full"}
    end: Json = {"finish_reason": "length", "notices": [full], "usage": usage(8000, 192)}
    calls = {"get_weather": WEATHER, "get_weather ": "{}"}  # the name is there twice
    one = said(page, gateway.url, text, calls=calls, **end)
    expect(one.locator("details")).to_have_count(4)
    one.locator(".tool-call summary").last.click()
    expect(one.get_by_role("group", name="Context full")).to_be_hidden()  # nothing to leave out
    for scheme in schemes(page):
        page.screenshot(path=artifacts / f"structured-{scheme}.png")
        assert axe_violations(page) == [], scheme
    page.set_viewport_size({"width": 390, "height": 844})
    for scheme in schemes(page):
        page.screenshot(path=artifacts / f"structured-phone-{scheme}.png")
        assert axe_violations(page) == [], scheme
    one.get_by_role("button", name="As it was written").click()
    for scheme in schemes(page):
        assert axe_violations(page) == [], scheme


def with_thoughts(change: Callable[[Json], None]) -> Callable[[Any], None]:
    """Return a handler of a route that changes what the server has stored of the answers."""

    def handle(route: Any) -> None:
        response = route.fetch()
        stored = response.json()
        for one in stored["answers"]:
            change(one)
        route.fulfill(response=response, body=json.dumps(stored))

    return handle


def test_run_again_compares_answers_and_apart_thinking(
    page: Page, tmp_path: Path, watch: Watch, artifacts: Path
) -> None:
    thought, text = "Blue or red?", "Blue."
    with thinking(tmp_path, f"--reasoning={thought}", f"--text={text}") as (gateway, _):
        open_page(page, gateway.url)
        ask(page, "Name a colour.")
        expect_end(column(page, "Thinker"))
        before = {"text": text, "reasoning": "Red or blue?"}
        page.route("**/conversations/*?full=1", with_thoughts(lambda one: one.update(before)))
        page.get_by_role("tab", name="Chats").click()
        page.get_by_role("button", name="More: Name a colour.").click()
        page.get_by_role("menuitem", name="Run again and compare…").click()
        dialog = page.get_by_role("dialog", name="Run again")
        dialog.get_by_role("button", name="Run again").click()
        expect(dialog.get_by_role("status")).to_have_text("1 the same.")
        page.screenshot(path=artifacts / "run-again-thinking.png")
        dialog.get_by_role("button", name="Thinking different").click()
        both = page.get_by_role("dialog", name="Differences")
        expect(both.get_by_role("region", name="Now")).to_have_text(thought)
        assert both.locator("mark").count() > 0
    assert watch.complaints == []
