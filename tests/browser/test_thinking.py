"""What a model thinks: one quiet line, which opens, and which is no part of the answer."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.gateway import Gateway
from tests.browser.helpers import (
    act,
    answer,
    ask,
    axe_violations,
    choose,
    column,
    expect_end,
    open_page,
    schemes,
    turn,
)
from tests.browser.thinker import Thinker, thinking
from tests.browser.watch import Watch
from tests.browser.wire import FakeWire, model

pytestmark = pytest.mark.needs_chromium

THOUGHT = "They ask for a **colour**.\n\n1. Red is warm.\n2. Blue is cold.\n\nBlue it is."
ANSWER = "Blue, as the sea is."
# Events before the model pauses: up to the number of the first point.
BEFORE = 12

# Counts each change of the page while it thinks, but those of the figures and of the line.
COUNT_CHANGES = """() => {
  window.changes = 0;
  const isFigure = (node) => node.closest?.('.figures, .thinking-line, .column-state, .race');
  new MutationObserver((records) => {
    for (const { target } of records) {
      const element = target instanceof Element ? target : target.parentElement;
      if (element && !isFigure(element)) window.changes += 1;
    }
  }).observe(document.querySelector('answer-column'), {
    subtree: true, childList: true, characterData: true,
  });
}"""


@pytest.fixture
def held(tmp_path: Path) -> Iterator[tuple[Gateway, Thinker]]:
    """Run a model that pauses in the middle of its first thinking."""
    flags = [f"--reasoning={THOUGHT}", f"--text={ANSWER}", f"--hold-after={BEFORE}"]
    with thinking(tmp_path, *flags) as both:
        yield both


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Gateway]:
    flags = [f"--reasoning={THOUGHT}", f"--text={ANSWER}", "--logprobs=chat"]
    with thinking(tmp_path, *flags) as (gateway, _):
        yield gateway


def line(page: Page) -> Locator:
    return turn(column(page, "Thinker")).locator(".thinking-line")


def thoughts(page: Page) -> Locator:
    return turn(column(page, "Thinker")).locator(".thoughts")


def begin_to_ask(page: Page, url: str) -> None:
    open_page(page, url)
    choose(page, "Thinker")
    ask(page, "Name a colour.")


def test_thinking_is_one_line_that_opens_and_streams(
    page: Page, held: tuple[Gateway, Thinker], watch: Watch, artifacts: Path
) -> None:
    gateway, thinker = held
    begin_to_ask(page, gateway.url)
    thinker.reaches(held=1)
    expect(line(page)).to_have_text(re.compile(r"^Thinking… \d+ s · ≈\d+ tokens$"))
    expect(column(page, "Thinker").locator(".column-state")).to_have_text("Thinking")
    expect(line(page)).to_have_attribute("aria-expanded", "false")
    expect(thoughts(page)).to_be_hidden()
    page.screenshot(path=artifacts / "thinking.png")
    line(page).focus()
    page.keyboard.press("Enter")
    expect(line(page)).to_have_attribute("aria-expanded", "true")
    expect(thoughts(page).locator("strong")).to_have_text("colour")
    expect(thoughts(page)).not_to_contain_text("Blue")
    page.screenshot(path=artifacts / "thinking-open.png")
    thinker.release()
    expect_end(column(page, "Thinker"))
    expect(thoughts(page)).to_contain_text("Blue it is.")
    expect(line(page)).to_have_text(re.compile(r"^Thought for \d[\d.]* s · \d+ tokens$"))
    expect(answer(column(page, "Thinker"))).to_have_text(ANSWER)
    expect(column(page, "Thinker").locator(".figures")).to_contain_text(
        re.compile(r"Answer after\d+\.\d+ s")
    )
    page.screenshot(path=artifacts / "thought.png")
    line(page).click()
    expect(thoughts(page)).to_be_hidden()
    heard = page.get_by_role("log", name="Answers").locator("p")
    expect(heard).to_have_text(
        ["Thinker is thinking.", ANSWER, re.compile("^Thinker: Complete after .*")]
    )
    assert watch.complaints == []


def test_folded_thinking_changes_nothing_but_its_figures(page: Page, gateway: Gateway) -> None:
    wire = FakeWire(page, [model("a")])
    wire.on_generate = lambda generation, _: wire.say(delta(generation, 1, "Hm"))
    open_page(page, gateway.url)
    ask(page, "Why?")
    expect(page.locator(".thinking-line")).to_be_visible()
    page.evaluate(COUNT_CHANGES)
    for seq in range(2, 202):
        wire.say(delta("g1", seq, " and so on"))
    expect(page.locator(".thinking-line")).to_contain_text("201 tokens")
    assert page.evaluate("window.changes") == 0
    page.locator(".thinking-line").click()
    expect(page.locator(".thoughts")).to_have_text("Hm" + " and so on" * 200)
    wire.say(delta("g1", 202, ", indeed"))
    expect(page.locator(".thoughts")).to_contain_text("indeed")
    assert page.evaluate("window.changes") > 0


def test_thinking_is_left_out_of_copies_comparisons_and_later_prompts(
    page: Page, quick: Gateway, watch: Watch
) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    begin_to_ask(page, quick.url)
    one = column(page, "Thinker")
    expect_end(one)
    line(page).click()
    turn(one).get_by_role("button", name="Copy this answer").click()
    expect(turn(one).locator(".is-done")).to_have_count(1)
    assert page.evaluate("navigator.clipboard.readText()") == ANSWER
    act(page, "Thinker", "Compare the answers…")
    expect(page.get_by_role("region", name="Thinker").last).to_have_text(ANSWER)
    page.keyboard.press("Escape")
    ask(page, "Another one?")
    expect(one.locator("answer-turn")).to_have_count(2)
    expect_end(one)
    [said] = [
        message["content"]
        for message in watch.sent_of("generate")[-1]["messages"]
        if message["role"] == "assistant"
    ]
    assert said == ANSWER


def test_tints_are_of_the_answer_alone(page: Page, quick: Gateway, watch: Watch) -> None:
    open_page(page, quick.url)
    choose(page, "Thinker")
    page.get_by_role("button", name="How sure", exact=True).click()
    ask(page, "Name a colour.")
    one = column(page, "Thinker")
    expect_end(one)
    turn(one).get_by_role("button", name="How sure it was").click()
    expect(one.locator(".tokens")).to_have_text(ANSWER)
    expect(line(page)).to_be_visible()
    assert watch.complaints == []


def test_a_reload_keeps_thinking_folded_and_goes_on_with_it(
    page: Page, held: tuple[Gateway, Thinker], watch: Watch
) -> None:
    gateway, thinker = held
    begin_to_ask(page, gateway.url)
    thinker.reaches(held=1)
    expect(line(page)).to_contain_text("≈13 tokens")
    page.reload()
    expect(line(page)).to_contain_text("Thinking…")
    expect(thoughts(page)).to_be_hidden()
    thinker.release()
    expect_end(column(page, "Thinker"))
    line(page).click()
    expect(thoughts(page)).to_contain_text("colour")
    whole = thoughts(page).text_content() or ""
    assert whole.count("Red is warm.") == 1, "nothing twice, nothing lost"
    page.reload()
    expect(line(page)).to_contain_text("Thought for")
    line(page).click()
    expect(thoughts(page)).to_have_text(whole)
    expect(answer(column(page, "Thinker"))).to_have_text(ANSWER)
    assert watch.complaints == []


def test_an_end_while_it_thinks_says_so(page: Page, gateway: Gateway) -> None:
    wire = FakeWire(page, [model("a")])

    def think(generation: str, _: object) -> None:
        wire.say(delta(generation, 3, "Well, well"))
        wire.say(end(generation, 3, finish_reason="length"))

    wire.on_generate = think
    open_page(page, gateway.url)
    ask(page, "Why?")
    expect_end(column(page, "a"), "Length limit reached while thinking, after 2.31 s")
    expect(page.locator(".thinking-line")).to_have_text("Thought for 2.1 s · 3 tokens")
    expect(column(page, "a").get_by_role("button", name="Copy this answer")).to_be_hidden()


def test_opened_thinking_stays_in_view(page: Page, gateway: Gateway) -> None:
    """Opening long thinking above the end must not jump to the end, nor at the next scroll."""
    wire = FakeWire(page, [model("a")])

    def think(generation: str, _: object) -> None:
        wire.say(delta(generation, 3, "Well.\n\n" * 200))
        wire.say({"type": "delta", "generation": generation, "seq": 4, "text": "Yes."})
        wire.say(end(generation, 4))

    wire.on_generate = think
    open_page(page, gateway.url)
    ask(page, "Why?")
    expect_end(column(page, "a"))
    page.locator(".thinking-line").click()
    expect(page.locator(".thoughts")).to_be_visible()
    page.locator(".log").hover()
    page.mouse.wheel(0, 20)
    expect(page.locator(".log")).to_have_js_property("scrollTop", 20)
    expect(page.locator(".thinking-line")).to_be_in_viewport()


@pytest.mark.needs_node
def test_axe_finds_nothing_in_thinking(page: Page, quick: Gateway, artifacts: Path) -> None:
    begin_to_ask(page, quick.url)
    expect_end(column(page, "Thinker"))
    for scheme in schemes(page):
        assert axe_violations(page) == [], scheme
    line(page).click()
    for scheme in schemes(page):
        page.screenshot(path=artifacts / f"thought-{scheme}.png")
        assert axe_violations(page) == [], scheme
    page.set_viewport_size({"width": 390, "height": 844})
    for scheme in schemes(page):
        page.screenshot(path=artifacts / f"thought-phone-{scheme}.png")
        assert axe_violations(page) == [], scheme


def delta(generation: str, seq: int, text: str) -> dict[str, Any]:
    """Return an event with thinking."""
    return {
        "type": "delta",
        "generation": generation,
        "seq": seq,
        "text": text,
        "kind": "reasoning",
    }


def end(generation: str, seq: int, **more: Any) -> dict[str, Any]:
    """Return the end of an answer before which the model thought."""
    return {
        "type": "end",
        "generation": generation,
        "seq": seq,
        "finish_reason": "stop",
        "usage": {"prompt_tokens": 3, "completion_tokens": seq, "reasoning_tokens": 3},
        "timings": {
            "queued_ms": 1.0,
            "ttft_ms": 210.0,
            "total_ms": 2310.0,
            "tokens_per_second": 41.3,
            "reasoning_ms": 210.0,
        },
        **more,
    }
