"""Deleting runs and prompt sets: what is undone, and when the server is told."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, Request, expect

from tests.browser.answered_runs import TEXTS, a_run, open_run, open_runs
from tests.browser.conftest import writing
from tests.browser.gateway import Gateway
from tests.browser.helpers import axe_violations, schemes
from tests.browser.watch import Watch
from tests.conftest import KeepLog

pytestmark = pytest.mark.needs_chromium

FULL = {"code": "storage_failed", "message": "the disk is full", "hint": None}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    texts = {"Alpha": TEXTS["Alpha"], "Slow": "One two three four five six seven."}
    with writing(tmp_path_factory.mktemp("deleted"), texts, delay_ms=50) as gateway:
        yield gateway


@pytest.fixture
def gateway(models: Gateway, keep_log: KeepLog) -> Gateway:
    keep_log("the server", lambda: models.log)
    return models


def delete(runs: Locator) -> None:
    """Delete what is open."""
    runs.get_by_role("button", name="Delete…").click()
    runs.get_by_role("button", name="Delete it").click()


def undo(runs: Locator) -> Locator:
    return runs.get_by_role("button", name="Undo")


def deletions(page: Page) -> list[str]:
    """Return the addresses that the page deletes, as they come."""
    sent: list[str] = []

    def note(request: Request) -> None:
        if request.method == "DELETE":
            sent.append(request.url)

    page.on("request", note)
    return sent


def go(page: Page, step: str) -> None:
    """Change the address; return once the page has heard of it."""
    heard = "new Promise((heard) => addEventListener('popstate', heard, { once: true }))"
    page.evaluate(f"async () => {{ const heard = {heard}; {step}; await heard; }}")


def sets(runs: Locator) -> Locator:
    return runs.get_by_role("list", name="Prompt sets").get_by_role("listitem")


def a_set(page: Page, gateway: Gateway, name: str) -> str:
    """Keep a set; return its id."""
    kept = page.request.post(f"{gateway.url}prompt-sets", data={"prompts": ["A?"], "name": name})
    name_of_set: str = kept.json()["id"]
    return name_of_set


def open_set(runs: Locator, name: str) -> None:
    runs.get_by_role("button", name="Prompt sets").click()
    sets(runs).filter(has_text=name).get_by_role("button").first.click()
    expect(runs.get_by_label("Prompts", exact=True)).to_be_enabled()


def test_a_deleted_set_is_kept_if_that_is_undone(
    page: Page, gateway: Gateway, watch: Watch
) -> None:
    a_set(page, gateway, "Other")
    a_set(page, gateway, "Doubtful")
    sent = deletions(page)
    runs = open_runs(page, gateway, "Alpha")
    open_set(runs, "Doubtful")
    delete(runs)
    expect(undo(runs)).to_be_focused()
    expect(runs.get_by_role("group", name="Deleted “Doubtful”.")).to_be_visible()
    expect(sets(runs).filter(has_text="Other").first).to_be_visible()
    expect(sets(runs).filter(has_text="Doubtful")).to_have_count(0)
    for _ in schemes(page):
        assert axe_violations(page) == []
    # It is told of on every screen, and offered on none.
    page.keyboard.press("Escape")
    runs.get_by_role("button", name="New run").click()
    expect(runs.get_by_label("Or a kept set").locator("option", has_text="Other")).to_have_count(1)
    expect(runs.get_by_label("Or a kept set").locator("option", has_text="Doubtful")).to_have_count(
        0
    )
    page.keyboard.press("Escape")
    runs.get_by_role("button", name="Prompt sets").click()
    expect(sets(runs).filter(has_text="Other").first).to_be_visible()
    undo(runs).click()
    expect(sets(runs).filter(has_text="Doubtful").get_by_role("button").first).to_be_focused()
    expect(undo(runs)).to_have_count(0)
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(runs).to_have_count(0)
    assert sent == []
    assert watch.complaints == []


def test_what_is_deleted_can_be_undone_after_the_dialog_was_closed(
    page: Page, gateway: Gateway, watch: Watch
) -> None:
    name = a_run(page, gateway, 1, "Alpha")
    sent = deletions(page)
    runs = open_run(page, gateway, name)
    delete(runs)
    expect(undo(runs)).to_be_focused()
    page.keyboard.press("Escape")
    expect(runs).to_have_count(0)
    page.get_by_role("button", name="Runs", exact=True).click()
    expect(runs.get_by_role("group", name=f"Deleted “{name}”.")).to_be_visible()
    assert sent == []
    undo(runs).click()
    expect(runs.get_by_role("button", name=name)).to_be_focused()
    expect(undo(runs)).to_have_count(0)
    assert sent == []
    assert watch.complaints == []


def test_back_to_a_deleted_run_leads_to_the_list_and_it_can_be_undone(
    page: Page, gateway: Gateway, watch: Watch
) -> None:
    name = a_run(page, gateway, 1, "Alpha")
    sent = deletions(page)
    runs = open_run(page, gateway, name)
    runs.get_by_role("rowheader").first.click()
    expect(runs.get_by_role("region", name="Alpha")).to_be_visible()
    page.keyboard.press("Escape")
    delete(runs)
    expect(undo(runs)).to_be_focused()
    go(page, "history.back()")
    expect(runs.get_by_role("heading", name="Runs")).to_be_visible()
    expect(page).to_have_url(f"{gateway.url}#runs")
    expect(undo(runs)).to_be_focused()
    assert sent == []
    page.keyboard.press("Enter")
    expect(runs.get_by_role("button", name=name)).to_be_focused()
    assert sent == []
    assert watch.complaints == []


def test_the_address_of_a_deleted_set_leads_to_the_sets_and_it_can_be_undone(
    page: Page, gateway: Gateway
) -> None:
    kept = a_set(page, gateway, "Addressed")
    sent = deletions(page)
    runs = open_runs(page, gateway, "Alpha")
    open_set(runs, "Addressed")
    delete(runs)
    expect(undo(runs)).to_be_focused()
    go(page, f"location.hash = '#runs&set={kept}'")
    expect(page).to_have_url(f"{gateway.url}#runs&show=sets")
    expect(undo(runs)).to_be_focused()
    page.keyboard.press("Enter")
    item = sets(runs).filter(has_text="Addressed").get_by_role("button").first
    expect(item).to_be_focused()
    assert sent == []


def test_the_address_of_a_deleted_run_leaves_it_that_another_can_be_undone(
    page: Page, gateway: Gateway
) -> None:
    first, second = (a_run(page, gateway, 1, "Alpha") for _ in range(2))
    sent = deletions(page)
    runs = open_run(page, gateway, first)
    address = page.url.split("#")[1]
    delete(runs)
    runs.get_by_role("button", name=second).click()
    delete(runs)
    expect(runs.get_by_role("group", name=f"Deleted “{second}”.")).to_be_visible()
    go(page, f"location.hash = '#{address}'")
    expect(runs.get_by_role("alert")).to_contain_text("The run of this address is not there")
    expect(page).to_have_url(f"{gateway.url}#runs")
    expect(runs.get_by_role("group", name=f"Deleted “{second}”.")).to_be_visible()
    assert sent == [f"{gateway.url}runs/{address.removeprefix('run=')}"]
    undo(runs).click()
    expect(runs.get_by_role("button", name=second)).to_be_focused()
    assert len(sent) == 1


def test_what_the_server_does_not_delete_is_told_until_it_is_read(
    page: Page, gateway: Gateway
) -> None:
    a_set(page, gateway, "Stuck")
    a_set(page, gateway, "Second")
    runs = open_runs(page, gateway, "Alpha")
    open_set(runs, "Stuck")
    page.route(
        "**/prompt-sets/*",
        lambda route: (
            route.fulfill(status=503, json={"error": FULL})
            if route.request.method == "DELETE"
            else route.continue_()
        ),
    )
    delete(runs)
    expect(undo(runs)).to_be_focused()
    sets(runs).filter(has_text="Second").get_by_role("button").first.click()
    expect(runs.get_by_label("Prompts", exact=True)).to_be_enabled()
    delete(runs)
    alert = runs.get_by_role("alert")
    expect(alert).to_contain_text("“Stuck” was not deleted.")
    expect(alert).to_contain_text("The disk is full", ignore_case=True)
    expect(runs.get_by_role("group", name="Deleted “Second”.")).to_be_visible()
    undo(runs).click()
    expect(sets(runs).filter(has_text="Stuck").first).to_be_visible()
    runs.get_by_role("button", name="I have read it").click()
    expect(alert).to_have_count(0)


def begun(page: Page, gateway: Gateway, name: str) -> Locator:
    """Begin a long run; return the dialog, which shows it."""
    runs = open_runs(page, gateway, "Slow")
    runs.get_by_role("button", name="New run").click()
    lines = "\n".join(f"Number {number}?" for number in range(2000))
    runs.get_by_label("Or a file").set_input_files(
        {"name": "long.txt", "mimeType": "text/plain", "buffer": lines.encode()}
    )
    runs.get_by_label("Name", exact=True).fill(name)
    runs.get_by_role("button", name="Begin").click()
    expect(runs.get_by_role("status")).to_contain_text("Running")
    return runs


def row_of(runs: Locator, name: str) -> Locator:
    return runs.get_by_role("list", name="Runs").get_by_role("listitem").filter(has_text=name)


def test_a_run_under_way_that_is_deleted_ends_and_goes_on_if_it_is_kept(
    page: Page, gateway: Gateway, watch: Watch
) -> None:
    sent = deletions(page)
    runs = begun(page, gateway, "Under way")
    with page.expect_response("**/cancel"):
        delete(runs)
    expect(undo(runs)).to_be_focused()
    row = row_of(runs, "Under way")
    expect(row).to_have_count(0)
    page.keyboard.press("Enter")
    expect(row).to_contain_text("Running")
    expect(row.get_by_role("button")).to_be_focused()
    assert sent == []
    row.get_by_role("button").click()
    runs.get_by_role("button", name="Cancel").click()
    expect(runs.get_by_role("status")).to_contain_text("Cancelled")
    assert watch.complaints == []


def test_a_run_that_is_kept_is_listed_also_where_it_cannot_go_on(
    page: Page, gateway: Gateway
) -> None:
    runs = begun(page, gateway, "Halted")
    delete(runs)
    expect(undo(runs)).to_be_focused()
    page.route("**/continue", lambda route: route.abort())
    page.keyboard.press("Enter")
    alert = runs.get_by_role("alert")
    expect(alert).to_contain_text("“Halted” is kept, but what was under way did not go on.")
    expect(alert).to_contain_text("The server cannot be reached.")
    row = row_of(runs, "Halted")
    expect(row).to_contain_text("Cancelled")
    expect(row.get_by_role("button")).to_be_focused()
    expect(undo(runs)).to_have_count(0)
    runs.get_by_role("button", name="I have read it").click()
    expect(alert).to_have_count(0)


@pytest.mark.parametrize("closes", [False, True], ids=["open", "closed"])
def test_a_page_that_is_left_deletes_what_it_has_hidden(
    browser: Browser, page: Page, gateway: Gateway, closes: bool
) -> None:
    name = a_run(page, gateway, 1, "Alpha")
    context = browser.new_context()
    elsewhere = context.new_page()
    listed = open_runs(elsewhere, gateway, "Alpha").get_by_role("button", name=re.compile(name))
    expect(listed).to_be_visible()
    runs = open_run(page, gateway, name)
    delete(runs)
    expect(undo(runs)).to_be_focused()
    if closes:
        page.keyboard.press("Escape")
        expect(runs).to_have_count(0)
    expect(listed).to_be_visible()
    page.goto("about:blank")
    expect(listed).to_have_count(0)
    context.close()
