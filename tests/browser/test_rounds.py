"""Blind rounds before a fake server: where one is looked at, what stays as it is, what is said."""

from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.gateway import Gateway
from tests.browser.helpers import ask, axe_violations, choose, column, expect_end, open_page, strip
from tests.browser.watch import Watch
from tests.browser.wire import FakeWire, Json, model

pytestmark = pytest.mark.needs_chromium

# With it a shuffle of a, b, c gives b, c, a.
NO_CHANCE = "Math.random = () => 0"
SCROLLED = "(one) => [one.scrollLeft, one.scrollTop]"
DUE = "1\u20133 vote, 0 is a tie; or write on"


def open_with(page: Page, gateway: Gateway, *names: str) -> FakeWire:
    """Open the page before models that answer at once with their names' letters."""
    page.add_init_script(NO_CHANCE)
    wire = FakeWire(page, [model(name) for name in names])

    def answer(generation: str, command: Json) -> None:
        wire.answer(generation, f"{command['messages'][-1]['content']}: {'and so on ' * 9}")

    wire.on_generate = answer
    open_page(page, gateway.url)
    # A phone shows the list over the columns.
    if not page.locator("#models").is_visible():
        page.get_by_role("button", name="Models").first.click()
    choose(page, *names)
    page.keyboard.press("Escape")
    return wire


def blind(page: Page) -> Locator:
    return page.get_by_role("button", name="Blind", exact=True)


def bar(page: Page) -> Locator:
    return page.get_by_role("group", name="Vote", exact=True)


def field(page: Page) -> Locator:
    return page.get_by_role("textbox", name="Prompt")


def expect_round(page: Page) -> None:
    expect(bar(page)).to_contain_text("Which answer is best?")


def vote(page: Page, letter: str = "A") -> None:
    column(page, f"Model {letter}").get_by_role("button", name=f"{letter} is best").click()
    expect(bar(page)).to_contain_text("You preferred")


@pytest.mark.parametrize(("width", "height", "count"), [(390, 844, 3), (1440, 420, 8)])
def test_a_round_is_looked_at_from_its_first_column(
    page: Page, gateway: Gateway, width: int, height: int, count: int
) -> None:
    # The column in sight stayed in sight, wherever it was shuffled to.
    names = "abcdefgh"[:count]
    page.set_viewport_size({"width": width, "height": height})
    open_with(page, gateway, *names)
    ask(page, "one")
    expect_end(column(page, names[-1]))
    grid = page.locator(".columns")
    for prompt in ("two", "three", "four"):
        if prompt == "two":
            blind(page).click()
        page.locator("answer-column").last.evaluate("(one) => one.scrollIntoView()")
        expect(page.locator("answer-column").last).to_be_in_viewport(ratio=0.3)
        assert grid.evaluate(SCROLLED) != [0, 0]
        if prompt == "four":
            bar(page).get_by_role("button", name="Next round").click()
        ask(page, prompt)
        expect_round(page)
        expect(column(page, "Model A")).to_be_in_viewport(ratio=0.9)
        assert grid.evaluate(SCROLLED) == [0, 0]
        vote(page)


def test_a_column_that_is_alone_is_not_alone_in_the_round(page: Page, gateway: Gateway) -> None:
    open_with(page, gateway, "a", "b", "c")
    ask(page, "one")
    expect_end(column(page, "b"))
    column(page, "b").get_by_role("button", name="More: b").click()
    page.get_by_role("menuitem", name="Show this column alone").click()
    expect(page.locator("answer-column:visible")).to_have_count(1)
    blind(page).click()
    ask(page, "two")
    expect_round(page)
    expect(page.locator("answer-column:visible")).to_have_count(3)


def test_the_empty_prompt_says_what_it_does(page: Page, gateway: Gateway, artifacts: Path) -> None:
    open_with(page, gateway, "a", "b", "c")
    blind(page).click()
    expect(field(page)).to_have_attribute("placeholder", "Ask all 3 columns")
    ask(page, "one")
    expect_round(page)
    expect(field(page)).to_have_attribute("placeholder", DUE)
    expect(bar(page).get_by_role("button", name="Tie")).to_have_text("Tie0")
    page.screenshot(path=artifacts / "round-due.png")
    assert axe_violations(page) == []
    ask(page, "more")
    expect(strip(page)).to_contain_text("Turn 2 of 2")
    expect(field(page)).to_have_attribute("placeholder", DUE)
    field(page).press("0")
    expect(bar(page)).to_contain_text("You called it a tie.")
    expect(field(page)).to_have_attribute("placeholder", "New round: it starts over")
    back = bar(page).get_by_role("button", name="Take the vote back")
    expect(back).to_have_attribute("title", "The names stay shown")
    blind(page).click()
    expect(field(page)).to_have_attribute("placeholder", "Ask all 3 columns")


def test_an_edited_prompt_is_not_blind_and_says_so(page: Page, gateway: Gateway) -> None:
    open_with(page, gateway, "a", "b")
    ask(page, "one")
    expect_end(column(page, "b"))
    strip(page).get_by_role("button", name="Edit this prompt").click()
    stays = "What is there now stays, as another branch."
    openly = f"{stays} The new one is not blind: the names stay shown."
    expect(strip(page).get_by_text(stays)).to_have_text(stays)
    blind(page).click()
    expect(strip(page).get_by_text(stays)).to_have_text(openly)
    strip(page).get_by_role("button", name="Cancel").click()
    ask(page, "two")
    expect_round(page)
    strip(page).get_by_role("button", name="Edit this prompt").click()
    expect(strip(page).get_by_text(stays)).to_have_text(stays)
    strip(page).get_by_role("button", name="Cancel").click()
    vote(page)
    strip(page).get_by_role("button", name="Edit this prompt").click()
    expect(strip(page).get_by_text(stays)).to_have_text(openly)


def test_the_columns_of_a_round_stay_whatever_is_chosen(
    page: Page, gateway: Gateway, watch: Watch, artifacts: Path
) -> None:
    # The column of a model that was no longer chosen went, and so told which it was.
    open_with(page, gateway, "a", "b", "c", "d")
    choose(page, "a", "b", "c")
    blind(page).click()
    ask(page, "one")
    expect_round(page)
    choose(page, "b", "c", "d")
    expect(bar(page)).to_contain_text("Your choice of models counts after this round.")
    expect(page.locator("answer-column h2")).to_have_text(["Model A", "Model B", "Model C"])
    page.screenshot(path=artifacts / "round-other-choice.png")
    ask(page, "more")
    for letter in "ABC":
        expect(column(page, f"Model {letter}").locator(".answer").last).to_contain_text("more:")
    expect_round(page)
    vote(page, "C")
    expect(page.locator("answer-column h2")).to_have_text(["b", "c", "a"])
    expect(column(page, "a").locator(".vote-place")).to_have_text("✓ Your vote")
    expect(bar(page)).to_contain_text("Your choice of models counts for the next prompt.")
    ask(page, "two")
    expect_round(page)
    vote(page)
    expect(page.locator("answer-column h2")).to_have_text(["c", "d", "b"])
    assert watch.complaints == []


def test_a_button_looks_as_if_it_counts_once_it_does(page: Page, gateway: Gateway) -> None:
    # It had the grey of a disabled one, before and after.
    wire = open_with(page, gateway, "a", "b")
    ready, generations = wire.on_generate, []
    wire.on_generate = lambda generation, command: generations.append((generation, command))
    blind(page).click()
    ask(page, "one")
    best = column(page, "Model A").get_by_role("button", name="A is best")
    expect(best).to_be_disabled()
    ink = "(one) => getComputedStyle(one).color"
    before, text = best.evaluate(ink), page.locator("body").evaluate(ink)
    expect(best.locator("kbd")).to_be_hidden()
    for generation in generations:
        ready(*generation)
    expect(best).to_be_enabled()
    assert before != text
    assert best.evaluate(ink) == text
    expect(best.locator("kbd")).to_be_visible()


def test_without_votes_there_is_nothing_to_reset(page: Page, gateway: Gateway) -> None:
    open_with(page, gateway, "a", "b")
    blind(page).click()
    bar(page).get_by_role("button", name="All scores…").click()
    scores = page.get_by_role("dialog", name="Scores of blind rounds")
    expect(scores.get_by_role("status")).to_have_text("No votes yet.")
    expect(scores.get_by_role("button", name="Reset…")).to_be_hidden()
