"""All columns show one turn, below its prompt."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.gateway import Gateway
from tests.browser.helpers import (
    act,
    ask,
    assert_fits,
    axe_violations,
    choose,
    column,
    edit,
    expect_end,
    open_page,
    strip,
)
from tests.browser.watch import Watch
from tests.browser.wire import FakeWire, Json, model

pytestmark = pytest.mark.needs_chromium

NAMES = ["a", "b", "c"]

# The texts of the answers that begin at the top of their columns, below the padding.
SHOWN = """() => [...document.querySelectorAll('.log')].map((log) => {
  const { top } = log.getBoundingClientRect();
  return [...log.querySelectorAll('answer-turn')]
    .find((turn) => Math.abs(turn.getBoundingClientRect().top - top - 14) < 2)?.innerText ?? '';
})"""

# The names of turns of which a part is in sight: none while their answers are at the top.
NAMES_IN_SIGHT = """() => [...document.querySelectorAll('.turn + .turn > .turn-name')]
  .filter((name) => {
    const log = name.closest('.log').getBoundingClientRect();
    const { bottom, top } = name.getBoundingClientRect();
    return bottom > log.top && top < log.bottom;
  })
  .map((name) => name.textContent)"""


def saying(wire: FakeWire, words: Callable[[str, str], int]) -> None:
    """Have each model answer with a number of words that depends on it and on the prompt."""

    def answer(generation: str, command: Json) -> None:
        name, prompt = command["targets"][0]["model"], command["messages"][-1]["content"]
        wire.answer(generation, f"{name} says to {prompt} " + "more and " * words(name, prompt))

    wire.on_generate = answer


def open_with(page: Page, gateway: Gateway, names: list[str] = NAMES) -> FakeWire:
    """Open the page before models that answer at once; the first of them at length."""
    wire = FakeWire(page, [model(name) for name in names])
    saying(wire, lambda name, _: 400 if name == names[0] else 3)
    open_page(page, gateway.url)
    choose(page, *names)
    return wire


def ask_all(page: Page, *prompts: str) -> None:
    """Ask one prompt after the other, each when the one before is answered."""
    for prompt in prompts:
        ask(page, prompt)
        for one in page.locator("answer-column").all():
            expect(one.locator("answer-turn").last).to_contain_text(f"says to {prompt}")
            expect_end(one)


def expect_turn(page: Page, prompt: str, count: str, names: list[str] = NAMES) -> None:
    """See that all columns show the answers to this prompt, and the strip the prompt."""
    expect(strip(page).locator(".prompt")).to_have_text(prompt)
    if count:
        expect(strip(page).get_by_role("group", name="Turn", exact=True)).to_have_text(
            f"Turn {count}"
        )
    expect_shown(page, *(f"{name} says to {prompt}" for name in names))


def expect_shown(page: Page, *texts: str) -> None:
    """See that answers that begin like this begin at the tops of their columns."""
    page.wait_for_function(
        f"(texts) => ({SHOWN})().filter((one) => texts.some((text) => one.startsWith(text)))"
        ".length === texts.length",
        arg=texts,
    )


def scroll(column: Locator, turn: int) -> None:
    """Scroll a column to where a turn begins."""
    column.locator(".turn").nth(turn).evaluate(
        "(turn) => { turn.closest('.log').scrollTop = turn.offsetTop - 14 }"
    )


def test_all_columns_show_the_turn_that_one_is_scrolled_to(
    page: Page, gateway: Gateway, watch: Watch, artifacts: Path
) -> None:
    open_with(page, gateway)
    ask_all(page, "one")
    expect(strip(page).get_by_role("group", name="Turn", exact=True)).to_be_hidden()
    expect(page.get_by_role("button", name="Link the columns")).to_be_hidden()
    ask_all(page, "two", "three")
    expect_turn(page, "three", "3 of 3")
    assert page.evaluate(NAMES_IN_SIGHT) == []
    expect(page.locator(".prompt:visible")).to_have_count(1)
    page.screenshot(path=artifacts / "turns.png")

    scroll(column(page, "b"), 1)
    expect_shown(page, "a says to two", "c says to two")
    expect(strip(page).locator(".prompt")).to_have_text("two")
    scroll(column(page, "a"), 0)
    expect_turn(page, "one", "1 of 3")

    page.get_by_role("button", name="Turn after").click()
    expect_turn(page, "two", "2 of 3")
    page.keyboard.press("ArrowDown")
    expect_turn(page, "three", "3 of 3")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    expect_turn(page, "one", "1 of 3")
    log = page.get_by_role("log", name="Answers")
    expect(log.locator("p").last).to_have_text("Turn 1 of 3: one")
    page.keyboard.press("Alt+ArrowUp")
    expect_turn(page, "one", "1 of 3")

    composer = page.get_by_role("textbox", name="Prompt")
    composer.fill("A draft")
    for key in ("ArrowDown", "Alt+ArrowDown"):
        composer.press(key)
        expect_turn(page, "one", "1 of 3")
    composer.fill("")
    composer.press("ArrowDown")
    expect_turn(page, "one", "1 of 3")
    composer.press("Alt+ArrowDown")
    expect_turn(page, "two", "2 of 3")
    column(page, "a").locator(".log").focus()
    page.keyboard.press("ArrowDown")
    expect(column(page, "a").locator(".log")).not_to_have_js_property("scrollTop", 0)
    expect(strip(page).locator(".prompt")).to_have_text("two")

    open_page(page, gateway.url)
    expect_turn(page, "two", "2 of 3")
    assert watch.complaints == []


def test_columns_that_are_not_linked_name_the_turn_that_they_show(
    page: Page, gateway: Gateway
) -> None:
    open_with(page, gateway)
    ask_all(page, "one", "two", "three")
    link = page.get_by_role("button", name="Link the columns")
    expect(link).to_have_attribute("aria-pressed", "true")
    link.click()
    scroll(column(page, "b"), 0)
    expect(strip(page).locator(".prompt")).to_have_text("one")
    expect(column(page, "b").locator(".apart")).to_be_hidden()
    for name in ("a", "c"):
        expect(column(page, name).locator(".apart")).to_have_text("3 · three")
        expect(column(page, name).locator(".figures")).to_contain_text("41.3 /s")
    page.get_by_role("button", name="Turn after").click()
    expect(strip(page).locator(".prompt")).to_have_text("two")
    expect_shown(page, "b says to two", "a says to three")
    edit(page, "instead")
    expect_turn(page, "instead", "2 of 2")
    for name in NAMES:
        expect_end(column(page, name))
    open_page(page, gateway.url)
    expect(link).to_have_attribute("aria-pressed", "false")
    link.click()
    page.get_by_role("button", name="Turn before").click()
    expect_turn(page, "one", "1 of 2")
    strip(page).get_by_role("button", name="Turn after").click()
    page.get_by_role("button", name="Branch before").click()
    expect_turn(page, "two", "2 of 3")


def test_a_column_that_was_not_asked_says_so_in_one_line(
    page: Page, gateway: Gateway, watch: Watch, artifacts: Path
) -> None:
    open_with(page, gateway)
    choose(page, "a", "b")
    ask_all(page, "one", "two")
    page.get_by_role("checkbox", name="c", exact=True).check()
    late = column(page, "c").locator("answer-turn").last
    expect(late).to_contain_text("Not asked here.")
    assert late.evaluate("(one) => one.clientHeight") < 40, "one line"
    ask_all(page, "three")
    scroll(column(page, "a"), 1)
    expect(strip(page).locator(".prompt")).to_have_text("two")
    expect(column(page, "c").locator("answer-turn").nth(1)).to_be_in_viewport(ratio=1)
    page.screenshot(path=artifacts / "joined-late.png")
    answers = column(page, "c").locator("answer-turn")
    answers.nth(1).get_by_role("button", name="Ask this column too").click()
    expect_turn(page, "two", "2 of 3", ["b", "c"])
    act(page, "c", "Replace the model")
    page.get_by_role("radio", name="b", exact=True).click()
    page.get_by_role("button", name="Turn before").click()
    ask_all(page, "four")
    expect(strip(page).locator(".prompt")).to_have_text("four")
    page.get_by_role("button", name="Turn before").click()
    expect(column(page, "b (2)").locator(".footnote").nth(2)).to_contain_text("by c")
    assert watch.complaints == []


def test_queued_turns_do_not_scroll_a_reader_away(page: Page, gateway: Gateway) -> None:
    wire = open_with(page, gateway)
    ready, generations = wire.on_generate, []
    wire.on_generate = lambda generation, command: generations.append((generation, command))
    ask(page, "one")
    expect(page.locator(".waiting:visible")).to_have_count(3)
    ask(page, "two")
    ask(page, "three")
    expect(page.locator(".queue li")).to_have_count(2)
    wire.on_generate = ready
    a = column(page, "a")
    ready(*generations[0])
    expect(a.locator(".answer")).to_contain_text("says to one")
    a.locator(".log").hover()
    page.mouse.wheel(0, 60)
    expect(a.locator(".log")).to_have_js_property("scrollTop", 60)
    for generation in generations[1:]:
        ready(*generation)
    expect(strip(page).get_by_role("group", name="Turn", exact=True)).to_have_text("Turn 1 of 3")
    expect(a.locator(".log")).to_have_js_property("scrollTop", 60)
    ask(page, "four")
    expect_turn(page, "four", "4 of 4")


def test_a_long_prompt_opens_and_stays_open_while_it_is_edited(
    page: Page, gateway: Gateway, artifacts: Path
) -> None:
    open_with(page, gateway)
    long = " ".join(f"Line {line}." for line in range(2_000))
    ask(page, long)
    prompt = strip(page).locator(".prompt")
    expect(prompt).to_contain_text("Line 1.")
    assert prompt.evaluate("(one) => one.clientHeight") < 50, "two lines"
    strip(page).get_by_role("button", name="Whole prompt").click()
    expect(prompt).to_contain_text("Line 1999.")
    page.screenshot(path=artifacts / "long-prompt-open.png")
    assert_fits(page)
    strip(page).get_by_role("button", name="Whole prompt").click()
    expect(prompt).not_to_contain_text("Line 1999.")
    for name in NAMES:
        expect_end(column(page, name))
    ask_all(page, "two")
    strip(page).get_by_role("button", name="Edit this prompt").click()
    field = strip(page).get_by_label("Edit the prompt")
    field.fill("half a th")
    scroll(column(page, "b"), 0)
    expect(field).to_have_value("half a th")
    field.press("Escape")
    expect(prompt).to_contain_text("Line 1.")
    expect(strip(page).get_by_role("button", name="Edit this prompt")).to_be_focused()


def test_an_arrow_that_leads_nowhere_keeps_the_focus(page: Page, gateway: Gateway) -> None:
    # Disabled by its own press it lost the focus, and the next key went nowhere.
    open_with(page, gateway)
    ask_all(page, "one", "two")
    edit(page, "other")
    expect_turn(page, "other", "2 of 2")
    expect(strip(page).get_by_role("group", name="Branch")).to_have_text("Branch 2 of 2")
    back = strip(page).get_by_role("button", name="Branch before")
    back.press("Enter")
    expect(strip(page).get_by_role("group", name="Branch")).to_have_text("Branch 1 of 2")
    expect(back).to_be_focused()
    expect(back).to_be_disabled()
    up = strip(page).get_by_role("button", name="Turn before")
    up.press("Enter")
    expect_turn(page, "one", "1 of 2")
    expect(up).to_be_focused()
    expect(up).to_be_disabled()
    expect(strip(page).get_by_role("button", name="Turn after")).to_be_enabled()
    b = column(page, "b")
    b.locator("answer-turn").first.get_by_role("button", name="Ask again").click()
    attempts = b.locator("answer-turn").first.get_by_role("group", name="Answer")
    expect(attempts).to_have_text("Answer 2 of 2")
    attempts.get_by_role("button", name="Answer before").press("Enter")
    expect(attempts).to_have_text("Answer 1 of 2")
    expect(attempts.get_by_role("button", name="Answer before")).to_be_focused()


@pytest.mark.needs_node
def test_on_a_phone_a_prompt_is_edited_in_one_field(
    page: Page, gateway: Gateway, artifacts: Path
) -> None:
    open_with(page, gateway)
    ask_all(page, "one")
    page.set_viewport_size({"width": 390, "height": 844})
    strip(page).get_by_role("button", name="Edit this prompt").click()
    page.keyboard.type(", and")
    expect(strip(page).get_by_label("Edit the prompt")).to_have_value("one, and")
    expect(page.get_by_role("button", name="Send")).to_have_count(1)
    page.screenshot(path=artifacts / "edit-phone.png")
    page.keyboard.press("Enter")
    expect_turn(page, "one, and", "")
    expect(page.get_by_role("textbox", name="Prompt")).to_be_visible()
    ask_all(page, "two")
    for direction in ("rtl", "ltr"):
        page.evaluate("(way) => { document.documentElement.dir = way }", direction)
        assert_fits(page)
        assert_fits(page, "turn-strip")
        expect(strip(page).get_by_role("group", name="Turn", exact=True)).to_be_in_viewport(ratio=1)
        expect(strip(page).locator(".prompt")).to_be_in_viewport(ratio=1)
    strip(page).get_by_role("button", name="Turn before").click()
    page.screenshot(path=artifacts / "turns-and-branches-phone.png")
    assert axe_violations(page) == []


@pytest.mark.needs_node
def test_a_phone_shows_one_column_at_a_time_of_the_same_turn(
    page: Page, gateway: Gateway, artifacts: Path
) -> None:
    open_with(page, gateway)
    page.set_viewport_size({"width": 390, "height": 844})
    page.keyboard.press("Escape")
    ask_all(page, "one", "two")
    strip(page).get_by_role("button", name="Turn before").click()
    expect(strip(page).locator(".prompt")).to_have_text("one")
    for direction in ("rtl", "ltr"):
        page.evaluate("(way) => { document.documentElement.dir = way }", direction)
        page.locator(".columns").evaluate("(one) => one.scrollTo(0, 0)")
        expect(column(page, "a")).to_be_in_viewport(ratio=0.9)
        expect(column(page, "b")).not_to_be_in_viewport(ratio=0.5)
        assert_fits(page)
    page.screenshot(path=artifacts / "turns-phone.png")
    column(page, "b").evaluate("(one) => one.scrollIntoView()")
    expect_shown(page, "b says to one")
    assert axe_violations(page) == []


def test_a_chat_of_two_hundred_turns_is_read_from_both_ends(
    page: Page, gateway: Gateway, watch: Watch
) -> None:
    names = [f"m{number}" for number in range(4)]
    turns = [
        {
            "id": f"t{turn}",
            "parent": f"t{turn - 1}" if turn else None,
            "prompt": str(turn),
            "slots": {
                name: {
                    "shown": 0,
                    "answers": [
                        {
                            "model": name,
                            "text": f"{name} says to {turn}\n\n" * (1 + (turn + place) % 3),
                            "finishReason": "stop",
                        }
                    ],
                }
                for place, name in enumerate(names)
            },
        }
        for turn in range(200)
    ]
    chat = json.dumps({"conversation": {"turns": turns}})
    columns = json.dumps([{"id": name, "model": name} for name in names])
    page.add_init_script(
        f"sessionStorage['sidestream.tab'] = {json.dumps(chat)};"
        f"localStorage['sidestream.columns'] = {json.dumps(columns)}"
    )
    FakeWire(page, [model(name) for name in names])
    open_page(page, gateway.url)
    expect_turn(page, "199", "200 of 200", names)
    page.get_by_role("button", name="Turn before").click()
    expect_turn(page, "198", "199 of 200", names)
    scroll(column(page, "m3"), 0)
    expect_turn(page, "0", "1 of 200", names[:3])
    expect(page.locator("answer-turn")).to_have_count(800)
    expect_turn(page, "0", "1 of 200", names[:3])
    scroll(column(page, "m0"), 120)
    expect_turn(page, "120", "121 of 200", names[1:])
    assert watch.complaints == []
