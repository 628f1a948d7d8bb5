"""Kept prompt sets on the page: listed, changed, asked again; files dropped; a chat's prompts."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import FilePayload, Locator, Page, expect

from tests.browser.answered_runs import open_runs
from tests.browser.conftest import writing
from tests.browser.gateway import Gateway
from tests.browser.helpers import (
    answer,
    ask,
    assert_fits,
    axe_violations,
    choose,
    column,
    expect_end,
    open_page,
    schemes,
)
from tests.browser.watch import Watch
from tests.conftest import KeepLog

pytestmark = pytest.mark.needs_chromium

TEXTS = {"Alpha": "It is Paris.", "Beta": "It may be Lima."}
DROP = """(form, [name, text]) => {
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([text], name));
  for (const type of ['dragover', 'drop']) {
    form.dispatchEvent(new DragEvent(type, { bubbles: true, cancelable: true, dataTransfer }));
  }
}"""


@pytest.fixture(scope="module")
def two_models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with writing(tmp_path_factory.mktemp("sets"), TEXTS, delay_ms=1) as gateway:
        yield gateway


@pytest.fixture
def runs(page: Page, two_models: Gateway, keep_log: KeepLog) -> Locator:
    """Open the page with both models chosen, and the dialog of runs."""
    keep_log("the server", lambda: two_models.log)
    return open_runs(page, two_models, *TEXTS)


def begin(runs: Locator, name: str, *prompts: str) -> None:
    """Begin a run of these prompts, kept as a set of this name, and go back to the list."""
    runs.get_by_role("button", name="New run").click()
    runs.get_by_label("Prompts, one a line").fill("\n".join(prompts))
    runs.get_by_label("Name", exact=True).fill(name)
    runs.get_by_role("button", name="Begin").click()
    expect(runs.get_by_role("status")).to_contain_text("Done")
    runs.get_by_role("button", name="Back").click()


def open_set(runs: Locator, name: str) -> None:
    runs.get_by_role("button", name="Prompt sets").click()
    runs.get_by_role("list", name="Prompt sets").get_by_role(
        "button", name=re.compile(f"^{name}")
    ).click()
    expect(runs.get_by_label("Prompts", exact=True)).to_be_enabled()


def test_a_set_is_renamed_tagged_changed_and_asked_again(
    page: Page, runs: Locator, watch: Watch
) -> None:
    begin(runs, "Rivers", "Name a river.", "Name a sea.")
    open_set(runs, "Rivers")
    text = runs.get_by_label("Prompts", exact=True)
    expect(text).to_have_value("Name a river.\nName a sea.")
    runs.get_by_label("Name", exact=True).fill("Waters")
    runs.get_by_label("Tags").fill("wet, wide , wet")
    text.fill("Name a river.\nName a lake.\nName a sea.")
    runs.get_by_role("button", name="Save").click()
    expect(runs.get_by_role("status")).to_have_text("Saved")
    expect(runs.get_by_label("Version").locator("option")).to_have_count(2)
    runs.get_by_label("Version").select_option(index=1)
    expect(text).to_have_value(re.compile("prompt_set.*version"))
    for _ in schemes(page):
        assert axe_violations(page) == []
    with page.expect_download() as download:
        runs.get_by_role("link", name="CSV").click()
    assert Path(download.value.path()).read_text("utf-8-sig").count("Name a") == 2
    page.keyboard.press("Escape")
    item = runs.get_by_role("listitem").filter(has_text="Waters")
    expect(item).to_contain_text("3 prompts · 2 versions")
    expect(item).to_contain_text("wet, wide")
    expect(item.get_by_role("button").first).to_be_focused()
    runs.get_by_role("searchbox", name="Search kept sets").fill("wide")
    expect(runs.get_by_role("listitem")).to_have_count(1)
    assert axe_violations(page) == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert axe_violations(page) == []
    assert_fits(page, ".runs-body")
    page.set_viewport_size({"width": 1440, "height": 900})
    item.get_by_role("button", name="New run with Waters").click()
    expect(runs.get_by_role("list", name="First prompts").get_by_role("listitem")).to_have_text(
        ["Name a river.", "Name a lake.", "Name a sea."]
    )
    page.set_viewport_size({"width": 390, "height": 844})
    assert axe_violations(page) == []
    assert_fits(page, ".runs-body")
    runs.get_by_role("button", name="Begin").click()
    expect(runs.get_by_role("status")).to_have_text("Done · 6 answers")
    assert watch.complaints == []


def test_what_is_wrong_with_a_changed_set_is_told_with_its_places(
    page: Page, runs: Locator
) -> None:
    begin(runs, "Broken", "Name a bridge.")
    open_set(runs, "Broken")
    text = runs.get_by_label("Prompts", exact=True)
    runs.get_by_label("Or take the prompts of a file").set_input_files(
        FilePayload(
            name="more.jsonl",
            mimeType="application/jsonl",
            buffer=b'{"prompt": "One"}\n{"prompt": 1, "checks": 7}\n{"prom',
        )
    )
    runs.get_by_role("button", name="Save").click()
    told = runs.get_by_role("alert")
    expect(told).to_contain_text("Line 2, column checks")
    expect(told).to_contain_text("Line 3")
    assert axe_violations(page) == []
    expect(text).to_have_value("Name a bridge.")
    expect(runs.get_by_label("Version").locator("option")).to_have_count(1)


def test_what_is_written_and_not_saved_is_there_again(page: Page, runs: Locator) -> None:
    begin(runs, "Drafts", "Name a desert.")
    runs.get_by_role("button", name="New run").first.click()
    runs.get_by_label("Prompts, one a line").fill("Name a swamp.")
    page.keyboard.press("Escape")
    open_set(runs, "Drafts")
    runs.get_by_label("Prompts", exact=True).fill("Name a dune.")
    runs.get_by_label("Tags").fill("dry")
    page.keyboard.press("Escape")
    runs.get_by_role("button", name="New run with Drafts").click()
    expect(runs.get_by_text("Name a desert.")).to_be_visible()
    page.keyboard.press("Escape")
    runs.get_by_role("button", name="New run").first.click()
    expect(runs.get_by_label("Prompts, one a line")).to_have_value("Name a swamp.")
    page.keyboard.press("Escape")
    open_set(runs, "Drafts")
    expect(runs.get_by_label("Prompts", exact=True)).to_have_value("Name a dune.")
    expect(runs.get_by_label("Tags")).to_have_value("dry")
    expect(runs.get_by_role("status")).to_have_text("Not saved yet")
    runs.get_by_role("button", name="Save").click()
    expect(runs.get_by_role("status")).to_have_text("Saved")
    page.keyboard.press("Escape")
    expect(runs.get_by_role("listitem").filter(has_text="Drafts")).to_contain_text("2 versions")


def test_a_set_is_deleted_after_a_question_and_its_run_stays(page: Page, runs: Locator) -> None:
    begin(runs, "Doomed", "Name a volcano.")
    open_set(runs, "Doomed")
    runs.get_by_role("button", name="Delete…").click()
    expect(runs.get_by_role("button", name="Keep it")).to_be_focused()
    page.keyboard.press("Enter")
    expect(runs.get_by_role("button", name="Delete…")).to_be_focused()
    page.keyboard.press("Enter")
    runs.get_by_role("button", name="Delete it").click()
    expect(runs.get_by_role("heading", name="Prompt sets")).to_be_visible()
    expect(runs.locator(".set-line, .run-page > .field-hint:not([hidden])").first).to_be_visible()
    expect(runs.get_by_role("listitem").filter(has_text="Doomed")).to_have_count(0)
    page.keyboard.press("Escape")
    runs.get_by_role("button", name=re.compile("^Doomed")).first.click()
    expect(runs.get_by_role("rowheader", name="Name a volcano.")).to_be_visible()


def test_a_dropped_file_is_shown_before_it_is_asked(runs: Locator) -> None:
    runs.get_by_role("button", name="New run").click()
    source = runs.locator(".run-source")
    source.evaluate(DROP, ["table.csv", "prompt;note\nName a tree.;x\nName a flower.;y\n"])
    expect(source).to_contain_text("2 prompts · UTF-8 · columns between ;")
    first = runs.get_by_role("list", name="First prompts")
    expect(first.get_by_role("listitem")).to_have_text(["Name a tree.", "Name a flower."])
    source.evaluate(DROP, ["wrong.csv", "prompt,checks\nName a stone.,{}\n"])
    expect(runs.get_by_role("alert")).to_contain_text("Line 2, column checks")
    expect(first).to_be_hidden()
    runs.get_by_label("Prompts, one a line").fill("Name a cloud.")
    expect(runs.get_by_role("alert")).to_have_text("")
    runs.get_by_role("button", name="Begin").click()
    expect(runs.get_by_role("rowheader", name="Name a cloud.")).to_be_visible()


def test_the_prompts_of_a_chat_are_asked_of_other_models(
    page: Page, two_models: Gateway, watch: Watch
) -> None:
    open_page(page, two_models.url)
    choose(page, "Alpha")
    for prompt in ("Which city is it?", "Are you sure?"):
        ask(page, prompt)
        expect(page.locator("turn-strip")).to_contain_text(prompt)
        expect_end(column(page, "Alpha"))
    expect(answer(column(page, "Alpha"))).to_have_text("It is Paris.")
    choose(page, "Beta")
    page.get_by_role("tab", name="Chats").click()
    page.locator("chat-list").get_by_role("button", name=re.compile("^More")).first.click()
    page.get_by_role("menuitem", name="Ask these prompts of other models…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("The 2 prompts of “Which city is it?”.")
    first = dialog.get_by_role("list", name="First prompts")
    expect(first.get_by_role("listitem")).to_have_text(["Which city is it?", "Are you sure?"])
    expect(dialog.get_by_role("list", name="Who is asked")).to_contain_text("Beta")
    dialog.get_by_role("button", name="Begin").click()
    expect(dialog.get_by_role("status")).to_have_text("Done · 2 answers")
    dialog.get_by_role("rowheader", name="Are you sure?").click()
    expect(dialog.get_by_role("region", name="Prompt", exact=True)).to_contain_text(
        "Assistant: It is Paris."
    )
    expect(dialog.get_by_role("region", name="Beta")).to_contain_text("It may be Lima.")
    assert watch.complaints == []
