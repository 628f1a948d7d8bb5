"""Files of prompts on the page: what one was taken for is told, and can be changed."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.answered_runs import open_runs
from tests.browser.conftest import writing
from tests.browser.gateway import Gateway
from tests.browser.helpers import assert_fits, axe_violations, schemes
from tests.browser.test_prompt_sets import DROP
from tests.browser.watch import Watch
from tests.conftest import KeepLog

pytestmark = pytest.mark.needs_chromium

TEXTS = {"Alpha": "It is Paris."}
UNCHECKED = "No checks: nothing passes or fails."


@pytest.fixture(scope="module")
def a_model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with writing(tmp_path_factory.mktemp("files"), TEXTS, delay_ms=1) as gateway:
        yield gateway


@pytest.fixture
def runs(page: Page, a_model: Gateway, keep_log: KeepLog) -> Locator:
    """Open the page with the model chosen, and the form for a new run."""
    keep_log("the server", lambda: a_model.log)
    runs = open_runs(page, a_model, *TEXTS)
    runs.get_by_role("button", name="New run").click()
    return runs


def give(runs: Locator, name: str, text: str) -> None:
    runs.locator(".run-source").evaluate(DROP, [name, text])


@pytest.mark.parametrize("name", ["plain.txt", "plain.md", "plain"])
def test_a_file_of_lines_is_asked_from_its_first_line(
    runs: Locator, watch: Watch, name: str
) -> None:
    give(runs, name, "Name a river, please.\nName a sea, please.\n")
    expect(runs.locator(".run-source")).to_contain_text("2 prompts, one a line · UTF-8")
    expect(runs.locator(".run-source")).to_contain_text(UNCHECKED)
    runs.get_by_role("button", name="Begin").click()
    expect(runs.get_by_role("rowheader", name="Name a river, please.")).to_be_visible()
    expect(runs.get_by_role("status")).to_have_text("Done · 2 answers")
    assert watch.complaints == []


def test_what_a_file_is_read_as_can_be_changed(page: Page, runs: Locator) -> None:
    source = runs.locator(".run-source")
    form = runs.get_by_label("Read the file as")
    expect(form).to_be_hidden()
    give(runs, "table.txt", "prompt,expected\nOf France?,Paris\nOf Peru?,Lima\n")
    expect(form).to_have_value("lines")
    expect(source).to_contain_text("3 prompts, one a line")
    form.select_option("jsonl")
    expect(runs.get_by_role("alert")).to_contain_text("is no JSON")
    expect(form).to_be_visible()
    form.select_option("csv")
    expect(source).to_contain_text("2 prompts · UTF-8 · columns between ,")
    expect(source).to_contain_text("2 prompts have expected, and no check compares it")
    expect(runs.get_by_role("alert")).to_have_text("")
    for _ in schemes(page):
        assert axe_violations(page) == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert axe_violations(page) == []
    assert_fits(page, ".runs-body")
    page.set_viewport_size({"width": 1440, "height": 900})
    runs.get_by_role("button", name="Begin").click()
    expect(runs.get_by_role("rowheader", name="Of France?")).to_be_visible()
    page.keyboard.press("Escape")
    # Another file is what its own name says.
    runs.get_by_role("button", name="New run").first.click()
    give(runs, "rivers.csv", "river,expected\nNile,Africa\n")
    expect(form).to_have_value("csv")
    expect(source).to_contain_text("1 prompt · UTF-8")
    runs.get_by_label("Prompts, one a line").fill("Name a cloud.")
    expect(form).to_be_hidden()


def test_a_kept_set_says_whether_anything_is_checked(
    page: Page, a_model: Gateway, runs: Locator
) -> None:
    many = [{"prompt": f"Of {number}?"} for number in range(9)]
    checked = [*many, {"prompt": "Last?", "checks": [{"type": "json"}]}]
    for name, prompts in (("Bare", many), ("Checked", checked)):
        page.request.post(f"{a_model.url}prompt-sets", data={"prompts": prompts, "name": name})
    page.keyboard.press("Escape")
    runs.get_by_role("button", name="New run").first.click()
    kept = runs.get_by_label("Or a kept set")
    kept.select_option("Bare (9)")
    expect(runs.get_by_text(UNCHECKED)).to_be_visible()
    kept.select_option("Checked (10)")
    expect(runs.get_by_text("10 prompts", exact=True)).to_be_visible()
    expect(runs.get_by_text(UNCHECKED)).to_be_hidden()


def test_a_set_is_downloaded_under_its_name(page: Page, a_model: Gateway, runs: Locator) -> None:
    name = "Städte/Capitals"
    page.request.post(f"{a_model.url}prompt-sets", data={"prompts": ["Of Peru?"], "name": name})
    page.keyboard.press("Escape")
    runs.get_by_role("button", name="Prompt sets").click()
    runs.get_by_role("list", name="Prompt sets").get_by_role("button", name=name).first.click()
    with page.expect_download() as download:
        runs.get_by_role("link", name="JSON Lines").click()
    assert download.value.suggested_filename == "Städte Capitals.jsonl"
