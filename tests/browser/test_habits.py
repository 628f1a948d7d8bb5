"""Dragging, large text, other scripts, and screen readers."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, WebSocket, expect

from tests.browser.gateway import Gateway
from tests.browser.helpers import (
    PROMPT,
    RENDER,
    act,
    answer,
    answers_of,
    ask,
    assert_fits,
    column,
    expect_end,
    expect_longer,
    limit,
    open_page,
    rendered,
    strip,
    turn,
)
from tests.browser.watch import Watch

pytestmark = pytest.mark.needs_chromium

NAMES = ["Small", "Brief"]
SHORT = "Say hello."
HEBREW = "ספר לי סיפור ארוך על נהר, מגדלור וחתול, ואל תפסיק. " * 4

# Text twice as large, by a setting of the browser; what has it look again at the sizes follows.
LARGE = "document.documentElement.style.fontSize = '200%'; dispatchEvent(new Event('resize'))"

# Notes in every frame what moves.
RECORD_MOTION = """() => {
  window.motion = [];
  requestAnimationFrame(function note() {
    window.motion.push(...document.getAnimations().map((one) => one.animationName ?? 'other'));
    requestAnimationFrame(note);
  });
}"""

# Notes each line that is read aloud, and the most that there were at once.
RECORD_SPEECH = """(log) => {
  Object.assign(window, { spoken: [], most: 0 });
  new MutationObserver((records) => {
    const lines = records.flatMap(({ addedNodes }) => [...addedNodes]);
    window.spoken.push(...lines.map(({ textContent }) => textContent));
    window.most = Math.max(window.most, log.childElementCount);
  }).observe(log, { childList: true });
}"""

# How far from the left and from the right the text of each of two lines is, in a picture.
MEASURE_GAPS = """async (png) => {
  const source = Uint8Array.from(atob(png), (character) => character.charCodeAt(0));
  const picture = await createImageBitmap(new Blob([source]));
  const { width, height } = picture;
  const context = new OffscreenCanvas(width, height).getContext('2d');
  context.drawImage(picture, 0, 0);
  return [0, 1].map((line) => {
    const rows = Math.floor(height / 2);
    const { data } = context.getImageData(0, line * rows, width, rows);
    const isInk = (at) => [0, 1, 2].some((part) => Math.abs(data[at + part] - data[part]) > 64);
    const columns = Array.from({ length: width }, (_, column) => column);
    const pixels = (x) => Array.from({ length: rows }, (_, y) => 4 * (y * width + x));
    const inked = columns.filter((x) => pixels(x).some(isInk));
    return [inked[0], width - 1 - inked.at(-1)];
  });
}"""


def gaps(field: Locator) -> list[list[int]]:
    """Return how far from the left and the right of a field its two lines are, in pixels."""
    field.blur()  # a caret is no text
    png = base64.b64encode(field.screenshot()).decode()
    found: list[list[int]] = field.page.evaluate(MEASURE_GAPS, png)
    return found


def ask_briefly(page: Page, gateway: Gateway, prompt: str = SHORT, tokens: int = 6) -> None:
    """Open the page and have two models answer."""
    open_page(page, gateway.url)
    limit(page, tokens)
    go_on(page, prompt)


def go_on(page: Page, prompt: str) -> None:
    """Ask all columns and wait for their answers."""
    ask(page, prompt)
    expect(strip(page).locator(".prompt")).to_have_text(prompt)
    for one in page.locator("answer-column").all():
        expect_end(one)


def expect_columns(page: Page, names: list[str]) -> None:
    expect(page.locator("answer-column h2")).to_have_text(names)


def said(command: dict[str, Any]) -> list[str]:
    """Return the messages of a command as texts."""
    return [message["content"] for message in command["messages"]]


def test_a_column_is_dragged_to_where_another_is(page: Page, gateway: Gateway) -> None:
    ask_briefly(page, gateway)
    grip = column(page, "Small").locator(".grip")
    expect_columns(page, NAMES)
    grip.drag_to(column(page, "Brief").locator(".log"))
    expect_columns(page, NAMES[::-1])
    expect(page.locator(".is-target")).to_have_count(0)
    open_page(page, gateway.url)
    expect_columns(page, NAMES[::-1])


def test_together_nobody_is_asked_before_all_are_ready(page: Page, own_gateway: Gateway) -> None:
    wire: list[dict[str, Any]] = []  # both ways, in the order in which it went

    def follow(socket: WebSocket) -> None:
        socket.on("framesent", lambda frame: wire.append(json.loads(frame)))
        socket.on("framereceived", lambda frame: wire.extend(json.loads(frame)))

    page.on("websocket", follow)
    open_page(page, own_gateway.url)
    page.get_by_label("How the models are asked").select_option("Together when ready")
    ask(page)
    for name in NAMES:
        expect(column(page, name).locator(".column-state")).to_have_text("Waiting")
    for name in NAMES:
        expect_longer(column(page, name), 20)
    page.keyboard.press("Escape")
    kinds = [one["type"] for one in wire]
    before = wire[: kinds.index("generate")]
    states = [one["model"] for one in before if one["type"] == "model"]
    assert {one["id"] for one in states if one["state"] == "ready"} == {"small", "brief"}
    assert kinds.count("generate") == 2


def test_one_answer_is_what_all_go_on_from(page: Page, gateway: Gateway, watch: Watch) -> None:
    ask_briefly(page, gateway, PROMPT, 24)
    shown = [answer(column(page, one)).text_content() for one in NAMES]
    assert shown[0] != shown[1], "which of them is common could not be told"
    all_go_on = "Have all columns go on from this answer"
    common = [turn(column(page, one)).get_by_role("button", name=all_go_on) for one in NAMES]
    common[1].click()
    expect(common[1]).to_have_attribute("aria-pressed", "true")
    expect(common[0]).to_have_attribute("aria-pressed", "false")
    field = page.get_by_role("textbox", name="Prompt")
    words = "Ask Brief and Small, from the answer of Brief on"
    expect(field).to_have_attribute("placeholder", words)
    go_on(page, SHORT)
    expect(field).to_have_attribute("placeholder", "Ask Brief and Small")
    small, brief = (said(command) for command in watch.sent_of("generate")[-2:])
    assert small == brief == [PROMPT, small[1], SHORT]
    assert rendered(page, small[1]) == shown[1]
    common[0].dblclick()
    expect(common[0]).to_have_attribute("aria-pressed", "false")
    shown = [answer(column(page, one)).text_content() for one in NAMES]
    assert shown[0] != shown[1]
    go_on(page, "And on.")
    for command, own in zip(watch.sent_of("generate")[-2:], shown, strict=True):
        assert said(command)[:3] == small, "what was said before stays said"
        assert rendered(page, said(command)[3]) == own


def test_a_column_is_hidden_another_replaced(page: Page, gateway: Gateway, watch: Watch) -> None:
    ask_briefly(page, gateway)
    shown = answer(column(page, "Small")).text_content() or ""
    act(page, "Small", "Hide")
    act(page, "Brief", "Replace the model")
    page.get_by_role("radio", name="Broken").click()
    expect(column(page, "Broken").locator(".footnote")).to_contain_text("by Brief")
    ask(page, "And again.")
    expect_end(column(page, "Broken"), "Failed")
    asked = watch.sent_of("generate")
    assert [one["targets"][0]["model"] for one in asked] == ["small", "brief", "broken"]
    assert len(said(asked[2])) == 3, "it goes on from what the other said"
    footnotes = column(page, "Broken").locator(".footnote")
    expect(footnotes.first).to_contain_text("by Brief")
    expect(footnotes.last).not_to_contain_text("by ")
    open_page(page, gateway.url)
    expect_columns(page, ["Broken"])
    expect(page.get_by_role("checkbox", name="Brief")).not_to_be_checked()
    page.get_by_role("button", name="Show 1 hidden column").click()
    expect_columns(page, ["Small", "Broken"])
    expect(column(page, "Small").locator(".answer")).to_have_text([shown])
    expect(turn(column(page, "Small"))).to_contain_text("Not asked here.")


def test_hebrew_runs_from_right_to_left(page: Page, gateway: Gateway, artifacts: Path) -> None:
    ask_briefly(page, gateway, HEBREW.strip())
    answered = answer(column(page, "Small"))
    text = page.evaluate_handle(RENDER, f"{HEBREW}\n\n```js\nrun(1)\n```")
    answered.evaluate("(answer, { children }) => answer.replaceChildren(...children)", text)
    composer = page.get_by_role("textbox", name="Prompt")
    for part in (page.locator(".prompt").first, answered.locator("p")):
        expect(part).to_have_css("direction", "rtl")
    expect(answered.locator("pre")).to_have_css("direction", "ltr")
    for width, whole_page in ((1440, "ltr"), (1440, "rtl"), (390, "ltr"), (390, "rtl")):
        page.set_viewport_size({"width": width, "height": 844})
        page.evaluate("(direction) => { document.documentElement.dir = direction }", whole_page)
        composer.fill(f"{HEBREW.split(maxsplit=1)[0]}\nHello")
        (hebrew_left, hebrew_right), (latin_left, latin_right) = gaps(composer)
        assert hebrew_right < 30 < hebrew_left, "each line begins at its script's side"
        assert latin_left < 30 < latin_right
        composer.fill(HEBREW)
        assert_fits(page)
        expect(page.locator("prompt-composer form")).to_be_in_viewport(ratio=1)
        page.screenshot(path=artifacts / f"right-to-left-{width}-{whole_page}.png")


@pytest.mark.parametrize(
    ("what", "width", "height", "how"),
    [("text", 1280, 800, LARGE), ("text-phone", 390, 844, LARGE), ("page", 640, 400, "")],
)
def test_twice_as_large_everything_is_in_sight(
    page: Page, gateway: Gateway, artifacts: Path, what: str, width: int, height: int, how: str
) -> None:
    page.set_viewport_size({"width": width, "height": height})
    open_page(page, gateway.url)
    page.evaluate(how)
    assert_fits(page, "chat-welcome")
    ask(page)
    small, form = column(page, "Small"), page.locator("prompt-composer form")
    for one in NAMES:
        expect_longer(column(page, one), 200)
    stop = page.get_by_role("button", name="Stop all")
    for seen in (form, stop, small.locator("h2"), small.get_by_label("Stop: Small")):
        expect(seen).to_be_in_viewport(ratio=1)
    page.screenshot(path=artifacts / f"large-{what}.png")
    for part in ("html", "[aria-label=Small] .figures", "[aria-label=Small] .log"):
        assert_fits(page, part)
    assert small.locator(".log").evaluate("(log) => log.clientHeight") >= 100
    stop.click()
    page.get_by_role("textbox", name="Prompt").fill("A long prompt, and longer. " * 30)
    for seen in (form, page.get_by_role("button", name="Send")):
        expect(seen).to_be_in_viewport(ratio=1)
    page.screenshot(path=artifacts / f"large-{what}-long-prompt.png")
    assert_fits(page)


def test_nothing_moves_for_those_who_want_no_motion(page: Page, gateway: Gateway) -> None:
    open_page(page, gateway.url)
    ask(page)
    page.evaluate("document.body.append(document.createElement('progress'))")
    page.evaluate(RECORD_MOTION)
    for name in NAMES:
        expect_longer(column(page, name), 60)
    assert "slide" in page.evaluate("window.motion"), "what the others see of something loading"
    page.emulate_media(reduced_motion="reduce")
    page.evaluate("window.motion.length = 0")
    for name in NAMES:
        expect_longer(column(page, name), 200)
    assert page.evaluate("window.motion") == []
    page.keyboard.press("Escape")


def test_one_answer_is_read_by_whole_sentences(page: Page, gateway: Gateway, watch: Watch) -> None:
    open_page(page, gateway.url)
    log = page.get_by_role("log", name="Answers")
    log.evaluate(RECORD_SPEECH)
    ask(page)
    small = column(page, "Small")
    expect_longer(small, 300)
    page.keyboard.press("Escape")
    for name in NAMES:
        expect(log).to_contain_text(f"{name}: Stopped after")
        expect_end(column(page, name), "Stopped")
    spoken = page.evaluate("window.spoken")
    lines = [line for line in spoken if not re.match("(Small|Brief): Stopped after", line)]
    shown = answer(small).text_content()
    texts = [text for text, _ in answers_of(watch, gateway) if rendered(page, text) == shown]
    assert [" ".join(lines).split()] == [text.split() for text in texts], "one whole, no other"
    assert len(lines) > 2
    assert [line for line in lines[:-1] if not re.search(r'[.!?…:;]["”)]*$', line)] == []
    page.get_by_role("button", name="New chat").click()
    ask(page)
    expect_end(small)
    assert len(page.evaluate("window.spoken")) > 20
    assert page.evaluate("window.most") == 20
