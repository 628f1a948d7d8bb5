"""Prompt sets and runs on the page: begin one, see it fill, look at a prompt, pause and go on."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import FilePayload, Locator, Page, expect

from tests.browser.answered_runs import open_runs
from tests.browser.conftest import writing
from tests.browser.gateway import Gateway
from tests.browser.helpers import assert_fits, axe_violations, schemes
from tests.browser.watch import Watch
from tests.conftest import KeepLog

pytestmark = pytest.mark.needs_chromium

# More than are asked until it is paused, on however busy a machine.
PROMPTS = 4000
TEXTS = {"Alpha": "It is **Paris**, of course.", "Beta": "It may be Lima."}
TABLE = """\
prompt,checks
What is the capital of France?,"[{""type"": ""contains"", ""value"": ""Paris""}]"
And of Peru?,"[{""type"": ""contains"", ""value"": ""Lima""}]"
"""


@pytest.fixture(scope="module")
def two_models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with writing(tmp_path_factory.mktemp("runs"), TEXTS, delay_ms=5) as gateway:
        yield gateway


@pytest.fixture
def runs(page: Page, two_models: Gateway, keep_log: KeepLog) -> Locator:
    """Open the page with both models chosen, and the dialog of runs."""
    keep_log("the server", lambda: two_models.log)
    return open_runs(page, two_models, *TEXTS)


def begin(runs: Locator, prompts: list[str] | None = None, *, table: str = "") -> None:
    """Begin a run with these prompts, or a file of this text."""
    runs.get_by_role("button", name="New run").click()
    if table:
        file: FilePayload = {
            "name": "table.csv",
            "mimeType": "text/csv",
            "buffer": table.encode(),
        }
        runs.get_by_label("Or a file").set_input_files(file)
    else:
        runs.get_by_label("Prompts, one a line").fill("\n".join(prompts or []))
    runs.get_by_role("button", name="Begin").click()


def cell(runs: Locator, prompt: int, target: int) -> Locator:
    """Return the cell of a prompt, from 1, and a target, from 1."""
    row = runs.locator(f".grid-space [aria-rowindex='{prompt + 1}']")
    return row.get_by_role("gridcell").nth(target - 1)


def test_pasted_prompts_are_asked_of_the_chosen_models(
    page: Page, runs: Locator, watch: Watch
) -> None:
    begin(runs, ["Name a river.", "", "Name a lighthouse."])
    grid = runs.get_by_role("grid")
    expect(grid.get_by_role("columnheader")).to_have_text(
        ["Prompt", re.compile("^Alpha2 of 2"), re.compile("^Beta2 of 2")]
    )
    for prompt in (1, 2):
        expect(cell(runs, prompt, 1)).to_contain_text("It is **Paris**")
        expect(cell(runs, prompt, 2)).to_contain_text("It may be Lima")
    expect(runs.get_by_role("status")).to_have_text("Done · 4 answers")
    page.keyboard.press("Escape")
    expect(runs.get_by_role("list", name="Runs").get_by_role("listitem").first).to_contain_text(
        "Done · 4 answers"
    )
    page.keyboard.press("Escape")
    expect(runs).to_have_count(0)
    assert watch.complaints == []


def test_a_prompt_opens_with_whole_answers_and_their_checks(
    page: Page, runs: Locator, watch: Watch
) -> None:
    begin(runs, table=TABLE)
    expect(cell(runs, 1, 1)).to_contain_text("Passed")
    expect(cell(runs, 1, 2)).to_contain_text("Failed")
    expect(runs.get_by_role("status")).to_have_text("Done · 4 answers · 2 of 4 passed")
    for _ in schemes(page):
        assert axe_violations(page) == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert axe_violations(page) == []
    assert_fits(page, ".run-grid")
    cell(runs, 1, 2).click()
    beta = runs.get_by_role("region", name="Beta")
    expect(runs.get_by_role("region", name="Alpha").locator("strong")).to_have_text("Paris")
    expect(beta.get_by_role("list", name="Checks")).to_contain_text("Failed: contains")
    assert_fits(page, ".run-answers")
    page.set_viewport_size({"width": 1440, "height": 900})
    for _ in schemes(page):
        assert axe_violations(page) == []
    page.keyboard.press("ArrowRight")
    expect(runs.get_by_role("status")).to_have_text("Prompt 2 of 2")
    expect(beta.get_by_role("list", name="Checks")).to_contain_text("Passed: contains")
    page.keyboard.press("Escape")
    expect(runs.get_by_role("rowheader", name="And of Peru?")).to_be_focused()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowRight")
    expect(cell(runs, 1, 1)).to_be_focused()
    runs.get_by_role("button", name="Results").click()
    expect(runs.get_by_role("row", name="Alpha")).to_contain_text("1 of 2")
    expect(runs.get_by_role("heading", name="Comparisons")).to_be_visible()
    assert axe_violations(page) == []
    assert watch.complaints == []


def test_a_wrong_file_is_told_with_its_places_and_nothing_begins(page: Page, runs: Locator) -> None:
    begin(runs, table='prompt,checks\nOne,\nTwo,"[{""type"": ""contain""}]"\nThree,x,y\n')
    told = runs.get_by_role("alert")
    expect(told).to_contain_text("Line 3, column checks")
    expect(told).to_contain_text("Line 4")
    assert axe_violations(page) == []
    for name in TEXTS:
        runs.get_by_role("button", name=f"Remove {name}").click()
    runs.get_by_role("button", name="Begin").click()
    expect(told).to_have_text("Add one or more models.")


def test_a_run_that_is_refused_leaves_what_was_written_and_no_set(
    page: Page, runs: Locator
) -> None:
    prompts = [f"Too many, {number}." for number in range(1, 1002)]
    runs.get_by_role("button", name="New run").click()
    runs.get_by_label("Prompts, one a line").fill("\n".join(prompts))
    expect(runs.get_by_text("1,001 prompts", exact=True)).to_be_visible()
    runs.get_by_label("How often each is asked").fill("100")
    runs.get_by_role("button", name="Begin").click()
    expect(runs.get_by_role("alert")).to_contain_text("200200 answers")
    page.keyboard.press("Escape")
    with page.expect_response("**/prompt-sets") as sets:
        runs.get_by_role("button", name="New run").click()
    assert "Too many" not in sets.value.text()
    expect(runs.get_by_label("Prompts, one a line")).to_have_value("\n".join(prompts))


def test_a_long_run_pauses_goes_on_and_is_deleted_after_a_question(
    page: Page, runs: Locator
) -> None:
    # Of a file: Playwright types so many lines one by one.
    lines = [f"Name river {number}." for number in range(1, PROMPTS + 1)]
    begin(runs, table="\n".join(["prompt", *lines]))
    runs.get_by_role("button", name="Pause").click()
    expect(runs.get_by_role("status")).to_contain_text("Paused")
    assert runs.locator(".grid-space [role=row]").count() < 60
    runs.get_by_role("rowheader").first.focus()
    page.keyboard.press("Control+End")
    expect(cell(runs, PROMPTS, 2)).to_be_focused()
    expect(runs.get_by_role("rowheader", name=f"Name river {PROMPTS}.")).to_be_visible()
    runs.get_by_role("button", name="Continue").click()
    expect(runs.get_by_role("status")).to_contain_text("Running")
    runs.get_by_role("button", name="Cancel").click()
    expect(runs.get_by_role("status")).to_contain_text("Cancelled")
    runs.get_by_role("button", name="Delete…").click()
    expect(runs.get_by_role("button", name="Keep it")).to_be_focused()
    runs.get_by_role("button", name="Delete it").click()
    expect(runs.get_by_role("heading", name="Runs")).to_be_visible()
    expect(
        runs.locator(".run-list li, .run-page > .field-hint:not([hidden])").first
    ).to_be_visible()
    expect(runs.get_by_text("Name river 1")).to_have_count(0)
