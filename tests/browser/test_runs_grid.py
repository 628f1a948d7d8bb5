"""A large run on the page: rows in view, filters, the way through them, and its address."""

import asyncio
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from server.access.principal import LOCAL
from server.core.protocol import Timings, Usage
from server.evaluation.files.building import Common, PromptLimits
from server.runs.sets import SetLibrary
from server.runs.shapes import CheckOutcome, RunAnswer, Target
from server.runs.store import Store, StoreLimits
from tests.browser.conftest import writing
from tests.browser.gateway import Gateway
from tests.browser.helpers import assert_fits, axe_violations, choose, open_page, schemes
from tests.browser.watch import Watch
from tests.conftest import KeepLog

pytestmark = pytest.mark.needs_chromium

TEXTS = {"Alpha": "It is Paris.", "Beta": "It may be Lima."}
PROMPTS = 1000
# Every hundredth prompt has a check that Beta's answers fail.
EVERY = 100
COPIED = "async (text) => await navigator.clipboard.readText() === text"
TARGETS = [
    Target(model, name=f"{model} {number}") for model in ("alpha", "beta") for number in range(1, 5)
]
PARIS = {"type": "contains", "value": "Paris"}


def answers(number: int) -> Iterator[tuple[int, RunAnswer]]:
    """Make the answers of the run with this number."""
    for prompt, (place, target) in product(range(PROMPTS), enumerate(TARGETS)):
        is_right = target.model == "alpha"
        yield (
            number,
            RunAnswer(
                prompt=prompt,
                target=place,
                repeat=0,
                ended=1.0,
                text=TEXTS[target.model.title()],
                finish_reason="stop",
                usage=Usage(5, 4),
                timings=Timings(0.0, 10.0, 50.0 + prompt, 80.0),
                checks=[] if prompt % EVERY else [CheckOutcome(PARIS, is_right, "looked for it")],
                passed=None if prompt % EVERY else is_right,
            ),
        )


async def keep_run(path: Path) -> str:
    """Put a run that is over into the file of a gateway that is not running; return its id.

    To ask for so many answers would take most of a minute.
    """
    lines = [
        json.dumps({"prompt": f"Question {n}?"} | ({} if n % EVERY else {"checks": [PARIS]}))
        for n in range(PROMPTS)
    ]
    store = await Store.open(path, StoreLimits(100, 100, 1 << 30))
    library = SetLibrary(store, PromptLimits())
    kept = await library.add_file(
        LOCAL.id, "\n".join(lines).encode(), "jsonl", Common(name="Questions")
    )
    run = await store.add_run(
        LOCAL.id, name="", set_id=kept.id, version=kept.version, targets=TARGETS, repeats=1
    )
    await store.answers.add(answers(run.number))
    for place, target in enumerate(run.targets):
        await store.set_target(run.number, place, replace(target, state="done"))
    await store.set_state(run.number, "done", None)
    await store.close()
    return run.id


@pytest.fixture(scope="module")
def gateway_with_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, str]]:
    """Run a gateway with a run of 1,000 prompts and 8 targets that is over; return its id."""
    folder = tmp_path_factory.mktemp("grid")
    with writing(folder, TEXTS, delay_ms=0) as gateway:
        gateway.stop()
        (path,) = folder.glob("*.runs")
        # Playwright has a loop of its own in this thread.
        with ThreadPoolExecutor(1) as other:
            run = other.submit(asyncio.run, keep_run(path)).result()
        gateway.start()
        yield gateway, run


@pytest.fixture
def large(gateway_with_run: tuple[Gateway, str], keep_log: KeepLog) -> tuple[Gateway, str]:
    gateway, run = gateway_with_run
    keep_log("the server", lambda: gateway.log)
    return gateway, run


@pytest.fixture
def grid(page: Page, large: tuple[Gateway, str]) -> Locator:
    """Open the page at the run; return the dialog."""
    gateway, run = large
    open_page(page, f"{gateway.url}#run={run}")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("rowheader", name="Question 0?")).to_be_visible()
    return dialog


def rows(dialog: Locator) -> Locator:
    return dialog.locator(".grid-space [role=row]")


def shown(dialog: Locator) -> Locator:
    """Return the words that say how many prompts match."""
    return dialog.get_by_role("search").locator("[aria-live]")


def test_rows_are_made_as_they_come_into_view(page: Page, grid: Locator, watch: Watch) -> None:
    expect(grid.get_by_role("grid")).to_have_attribute("aria-rowcount", str(PROMPTS + 1))
    assert rows(grid).count() < 60
    grid.get_by_role("rowheader").first.focus()
    page.keyboard.press("Control+End")
    expect(grid.get_by_role("rowheader", name=f"Question {PROMPTS - 1}?")).to_be_visible()
    expect(rows(grid).last.get_by_role("gridcell").last).to_contain_text("It may be Lima.")
    assert rows(grid).count() < 80
    assert watch.complaints == []


def test_what_failed_is_shown_and_gone_through_in_its_order(
    page: Page, grid: Locator, watch: Watch
) -> None:
    grid.get_by_label("Show").select_option("Failed")
    expect(shown(grid)).to_have_text("10 of 1,000 prompts")
    expect(grid.get_by_role("grid")).to_have_attribute("aria-rowcount", "11")
    expect(rows(grid)).to_have_count(10)
    grid.get_by_role("rowheader", name="Question 100?").click()
    expect(grid.get_by_role("status")).to_have_text("Prompt 101 of 1000 · 2 of 10 shown")
    page.keyboard.press("ArrowRight")
    expect(grid.get_by_role("status")).to_have_text("Prompt 201 of 1000 · 3 of 10 shown")
    expect(page).to_have_url(re.compile(r"&prompt=201$"))
    for _ in range(2):
        page.keyboard.press("ArrowLeft")
        expect(grid.get_by_role("region", name="Answers")).to_contain_text("Paris")
    expect(grid.get_by_role("status")).to_have_text("Prompt 1 of 1000 · 1 of 10 shown")
    before = grid.get_by_role("button", name="The prompt before")
    expect(before).to_have_attribute("aria-disabled", "true")
    page.keyboard.press("ArrowRight")
    expect(grid.get_by_role("status")).to_have_text("Prompt 101 of 1000 · 2 of 10 shown")
    page.keyboard.press("Escape")
    expect(grid.get_by_role("rowheader", name="Question 100?")).to_be_focused()
    expect(grid.get_by_label("Show")).to_have_value("failed")
    grid.get_by_label("Show").select_option("Models disagree")
    # Where nothing is checked, their texts differ.
    expect(shown(grid)).to_have_text("1,000 of 1,000 prompts")
    grid.get_by_label("Show").select_option("Cut at the greatest length")
    expect(shown(grid)).to_have_text("None of 1,000 prompts")
    expect(rows(grid)).to_have_count(0)
    assert watch.complaints == []


def test_prompts_are_searched_and_sorted(page: Page, grid: Locator, watch: Watch) -> None:
    field = grid.get_by_role("searchbox", name="Search prompts and answers")
    field.press_sequentially("question 77")
    expect(shown(grid)).to_have_text("11 of 1,000 prompts")
    expect(rows(grid)).to_have_count(11)
    expect(field).to_be_focused()
    for _ in schemes(page):
        assert axe_violations(page) == []
    field.fill("")
    grid.get_by_label("Sort").select_option("Most failed first")
    expect(grid.get_by_role("rowheader").nth(1)).to_contain_text("Question 100?")
    expect(shown(grid)).to_have_text("")
    field.fill("Lima")
    expect(shown(grid)).to_have_text("1,000 of 1,000 prompts")
    page.keyboard.press("Escape")
    expect(field).to_have_value("")
    expect(grid).to_be_visible()
    page.set_viewport_size({"width": 390, "height": 844})
    assert axe_violations(page) == []
    assert_fits(page, ".run-grid")
    assert_fits(page, ".run-page")
    assert watch.complaints == []


def test_a_link_leads_to_a_run_and_a_prompt_and_the_browser_goes_back(
    page: Page, large: tuple[Gateway, str], watch: Watch
) -> None:
    gateway, run = large
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    open_page(page, gateway.url)
    page.get_by_role("button", name="Runs", exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name=re.compile("^Questions")).click()
    expect(page).to_have_url(f"{gateway.url}#run={run}")
    dialog.get_by_role("button", name="Copy link").click()
    page.wait_for_function(COPIED, arg=f"{gateway.url}#run={run}")
    dialog.get_by_role("rowheader", name="Question 3?").click()
    expect(page).to_have_url(f"{gateway.url}#run={run}&prompt=4")
    page.reload()
    expect(dialog.get_by_role("status")).to_have_text("Prompt 4 of 1000")
    page.go_back()
    expect(dialog.get_by_role("rowheader", name="Question 3?")).to_be_visible()
    page.go_back()
    expect(dialog.get_by_role("heading", name="Runs")).to_be_visible()
    page.go_back()
    expect(dialog).to_have_count(0)
    page.go_forward()
    page.go_forward()
    expect(dialog.get_by_role("rowheader", name="Question 3?")).to_be_visible()
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_have_count(0)
    expect(page).to_have_url(gateway.url)
    assert watch.complaints == []


def test_an_address_of_no_run_says_so(page: Page, large: tuple[Gateway, str]) -> None:
    gateway, run = large
    open_page(page, f"{gateway.url}#run=r_nothing")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("alert")).to_contain_text("is not there: it was deleted")
    expect(dialog.get_by_role("button", name=re.compile("^Questions"))).to_be_visible()
    page.evaluate(f"location.hash = '#run={run}&prompt=4000'")
    expect(dialog.get_by_role("alert")).to_contain_text("no prompt 4000: it has 1000")
    expect(dialog.get_by_role("rowheader", name="Question 0?")).to_be_visible()


def test_a_chat_that_is_stored_behind_the_dialog_keeps_its_address(
    page: Page, large: tuple[Gateway, str]
) -> None:
    gateway, _ = large
    open_page(page, gateway.url)
    page.get_by_role("checkbox", name="Alpha", exact=True).check()
    with page.expect_event("framenavigated"):
        page.get_by_role("textbox", name="Prompt").fill("Where?")
        page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("#chat="))
    chat = page.url
    page.get_by_role("button", name="Runs", exact=True).click()
    expect(page).to_have_url(f"{gateway.url}#runs")
    page.keyboard.press("Escape")
    expect(page).to_have_url(chat)


def test_a_filtered_grid_fills_while_the_run_goes_on(
    page: Page, large: tuple[Gateway, str], watch: Watch
) -> None:
    gateway, _ = large
    open_page(page, gateway.url)
    choose(page, *TEXTS)
    page.get_by_role("button", name="Runs", exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="New run").click()
    dialog.get_by_label("Prompts, one a line").fill("\n".join(f"Name {n}." for n in range(60)))
    dialog.get_by_role("button", name="Begin").click()
    dialog.get_by_label("Show").select_option("Models disagree")
    expect(shown(dialog)).to_have_text("60 of 60 prompts")
    expect(dialog.get_by_role("rowheader", name="Name 7.")).to_be_visible()
    expect(dialog.get_by_role("status")).to_contain_text("Done")
    assert watch.complaints == []
