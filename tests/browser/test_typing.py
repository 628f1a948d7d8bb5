"""What is typed and pasted: input methods, very long prompts, and prompts that are refused."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.gateway import Gateway
from tests.browser.helpers import answer, ask, column, expect_end, open_page
from tests.browser.thinker import thinking
from tests.browser.watch import Watch
from tests.browser.wire import FakeWire, model

pytestmark = pytest.mark.needs_chromium

LINES = "\n".join(f"line {number} of a log, with some words" for number in range(20_000))

# Presses the keys of an input method in each field that is seen: as most browsers tell them, and as
# Safari does, behind the composition. Returns the fields' names, and those that took a key.
COMPOSE = """() => {
  const fields = [...document.querySelectorAll('input, textarea')].filter((field) =>
    field.checkVisibility() && !['checkbox', 'radio', 'range', 'file'].includes(field.type));
  const named = (field) => field.ariaLabel ?? field.labels[0]?.textContent ?? '';
  const names = fields.map(named);
  const taken = fields.filter((field) => {
    const { value } = field;
    return ['Enter', 'Escape'].some((key) =>
      [{ isComposing: true }, { keyCode: 229 }].some((how) => {
        const options = { key, bubbles: true, cancelable: true, ...how };
        const isLeft = field.dispatchEvent(new KeyboardEvent('keydown', options));
        return !isLeft || !field.isConnected || !field.checkVisibility() || field.value !== value;
      }));
  });
  return [names, taken.map(named)];
}"""


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Gateway]:
    """Run a model that answers at once."""
    with thinking(tmp_path, "--text=Well.") as (gateway, _):
        yield gateway


def ask_and_wait(page: Page, prompt: str) -> None:
    ask(page, prompt)
    expect_end(column(page, "Thinker"))
    expect(answer(column(page, "Thinker"))).to_have_text("Well.")


def test_keys_of_an_input_method_reach_no_field(page: Page, quick: Gateway, watch: Watch) -> None:
    open_page(page, quick.url)
    ask_and_wait(page, "Why?")
    seen: set[str] = set()

    def compose() -> None:
        names, taken = page.evaluate(COMPOSE)
        assert taken == []
        seen.update(names)

    page.get_by_role("textbox", name="Prompt").fill("東京")
    page.get_by_role("button", name="Edit this prompt").click()
    compose()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("tab", name="Chats").click()
    page.get_by_role("button", name="More: Why?").click()
    page.get_by_role("menuitem", name="Rename").click()
    compose()
    page.get_by_label("Title").press("Escape")
    page.get_by_role("tab", name="Models").click()
    compose()
    for opener in ("Parameters", "Add a model…"):
        page.get_by_role("button", name=opener).first.click()
        expect(page.get_by_role("dialog")).to_be_visible()
        compose()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
    assert {
        *("Prompt", "Edit the prompt", "Title", "Search chats"),
        *("System prompt", "Temperature", "Stop sequences"),
    } <= seen
    assert len(watch.sent_of("generate")) == 1


@pytest.mark.timeout(300)
def test_twenty_thousand_lines_are_pasted_sent_shown_and_stored(
    page: Page, quick: Gateway, watch: Watch
) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    open_page(page, quick.url)
    page.evaluate("(text) => navigator.clipboard.writeText(text)", LINES)
    field = page.get_by_role("textbox", name="Prompt")
    field.press("Control+V")
    expect(field).to_have_js_property("value", LINES)
    # To find the direction by `dir` takes the square of the lines.
    expect(field).to_have_css("unicode-bidi", "plaintext")
    assert field.get_attribute("dir") is None
    field.press("Enter")
    expect(answer(column(page, "Thinker"))).to_have_text("Well.")
    (sent,) = watch.sent_of("generate")
    assert sent["messages"] == [{"role": "user", "content": LINES}]

    page.reload()
    expect(answer(column(page, "Thinker"))).to_have_text("Well.")
    page.get_by_role("button", name="Edit this prompt").click()
    edited = page.get_by_role("textbox", name="Edit the prompt")
    expect(edited).to_have_css("unicode-bidi", "plaintext")
    assert edited.get_attribute("dir") is None
    expect(edited).to_have_js_property("value", LINES)
    edited.press("Escape")
    ask_and_wait(page, "And?")
    conversation = sent["record"]["conversation"]
    with urllib.request.urlopen(f"{quick.url}conversations/{conversation}") as reply:
        stored = json.load(reply)
    assert [turn["text"] for turn in stored["turns"]] == [LINES, "And?"]


def test_half_a_character_is_sent_as_a_sign_in_its_place(
    page: Page, quick: Gateway, watch: Watch
) -> None:
    open_page(page, quick.url)
    field = page.get_by_role("textbox", name="Prompt")
    field.evaluate("(field) => { field.value = 'cut \\ud83d here'; }")
    field.dispatch_event("input")
    field.press("Enter")
    expect(answer(column(page, "Thinker"))).to_have_text("Well.")
    (sent,) = watch.sent_of("generate")
    assert sent["messages"][0]["content"] == "cut \ufffd here"


def test_a_prompt_that_closes_the_socket_is_not_sent_again(page: Page, quick: Gateway) -> None:
    wire = FakeWire(page, [model("m")])
    wire.closes["generate"] = 4400
    wire.on_generate = lambda generation, _: wire.answer(generation, "Well.")
    open_page(page, quick.url)
    page.get_by_role("checkbox", name="m", exact=True).check()
    ask(page, "refused")
    expect(page.get_by_text("The server takes it for no command.")).to_be_visible()
    field = page.get_by_role("textbox", name="Prompt")
    field.fill("This stays.")
    expect(page.locator("connection-state")).to_have_attribute("data-state", "connected")
    wire.closes.clear()
    field.press("Enter")
    expect(answer(column(page, "m"))).to_have_text("Well.")
    prompts = [command["messages"][-1]["content"] for command in wire.commands("generate")]
    assert prompts == ["refused", "This stays."]
