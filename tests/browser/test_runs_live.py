"""The list of runs and the grid live over the socket: progress, others' changes, and cuts."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import writing
from tests.browser.gateway import Gateway
from tests.browser.helpers import axe_violations, choose, open_page
from tests.browser.watch import Watch
from tests.conftest import KeepLog

pytestmark = pytest.mark.needs_chromium


@pytest.fixture
def slow_model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("live")
    with writing(folder, {"Alpha": "One two three four."}, delay_ms=300) as gateway:
        yield gateway


@pytest.fixture
def runs(page: Page, slow_model: Gateway, keep_log: KeepLog) -> Locator:
    """Open the page with the model chosen, and the dialog of runs."""
    keep_log("the server", lambda: slow_model.log)
    open_page(page, slow_model.url)
    choose(page, "Alpha")
    return opened(page)


def opened(page: Page) -> Locator:
    """Open the dialog of runs."""
    page.get_by_role("button", name="Runs", exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading", name="Runs")).to_be_visible()
    return dialog


def begin(runs: Locator, name: str, prompts: int) -> None:
    """Begin a run of so many prompts."""
    runs.get_by_role("button", name="New run").click()
    lines = [f"{name} {number}?" for number in range(1, prompts + 1)]
    runs.get_by_label("Prompts, one a line").fill("\n".join(lines))
    runs.get_by_role("button", name="Begin").click()
    expect(runs.get_by_role("grid")).to_be_visible()


def row(runs: Locator, name: str) -> Locator:
    """Return a run of the list."""
    return runs.get_by_role("list", name="Runs").get_by_role("listitem").filter(has_text=name)


def elsewhere(page: Page, method: str, path: str, data: Any = None) -> Any:
    """Make a request that the page does not see; return the JSON of its answer, if it has any."""
    address = urlsplit(page.url)._replace(path=f"/{path}", query="", fragment="").geturl()
    reply = page.request.fetch(address, method=method, data=data)
    assert reply.ok, reply.text()
    return reply.json() if reply.body() else None


def newest(page: Page) -> str:
    """Return the id of the last run, as HTTP tells it."""
    run: str = elsewhere(page, "GET", "runs")["runs"][0]["id"]
    return run


def answered(words: Locator) -> int:
    """Return how many answers of a run are said to be there."""
    found = re.search(r"([\d,]+) of", words.inner_text())
    return int(found[1].replace(",", "")) if found else 0


def test_the_list_shows_progress_and_what_others_do_without_asking_again(
    page: Page, runs: Locator, watch: Watch
) -> None:
    begin(runs, "River", 1000)
    page.keyboard.press("Escape")
    first = row(runs, "River")
    expect(first).to_contain_text("Running")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    before = answered(first)
    page.wait_for_function(
        "(before) => Number(document.querySelector('.run-list .run-words').textContent"
        ".match(/([0-9,]+) of/)?.[1].replace(',', '')) > before + 5",
        arg=before,
    )
    run = newest(page)
    elsewhere(page, "PATCH", f"runs/{run}", {"name": "Renamed elsewhere"})
    expect(row(runs, "Renamed elsewhere")).to_have_count(1)
    given = elsewhere(page, "GET", f"runs/{run}")
    targets = [{"model": "alpha"}]
    body = {"prompt_set": given["prompt_set"], "targets": targets, "name": "Begun elsewhere"}
    elsewhere(page, "POST", "runs", body)
    entries = runs.get_by_role("list", name="Runs").get_by_role("listitem")
    expect(entries.first).to_contain_text("Begun elsewhere")
    assert axe_violations(page) == []
    entries.first.get_by_role("button").focus()
    elsewhere(page, "DELETE", f"runs/{newest(page)}")
    expect(entries).to_have_count(1)
    expect(runs.get_by_role("button", name="New run")).to_be_focused()
    elsewhere(page, "POST", f"runs/{run}/cancel")
    expect(row(runs, "Renamed elsewhere")).to_contain_text("Cancelled")
    assert not [url for url in asked if "/runs" in url], "the socket tells it all"
    assert watch.complaints == []


def test_a_run_that_is_extended_elsewhere_gets_its_column(page: Page, runs: Locator) -> None:
    begin(runs, "Harbour", 3)
    run = newest(page)
    expect(runs.get_by_role("columnheader")).to_have_count(2)
    again = {"model": "alpha", "name": "Again", "parameters": {"temperature": 0.5}}
    elsewhere(page, "POST", f"runs/{run}/extend", {"targets": [again], "repeats": 1})
    heads = runs.get_by_role("columnheader")
    expect(heads).to_have_count(3)
    tops = {head.evaluate("(one) => one.getBoundingClientRect().top") for head in heads.all()}
    assert len(tops) == 1, "all stand in one row"
    expect(runs.locator(".grid-space [aria-rowindex='2'] [role=gridcell]")).to_have_count(2)


def test_the_grid_follows_a_run_that_others_change_and_delete(
    page: Page, runs: Locator, watch: Watch
) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    begin(runs, "Tower", 1000)
    run = newest(page)
    elsewhere(page, "POST", f"runs/{run}/pause")
    expect(runs.get_by_role("status")).to_contain_text("Paused")
    # What changes with every answer is shown, what a listener wants to know is said.
    expect(runs.get_by_role("status")).to_have_attribute("aria-live", "off")
    expect(runs.locator(".unseen[aria-live=polite]")).to_contain_text("Paused")
    elsewhere(page, "POST", f"runs/{run}/continue")
    expect(runs.get_by_role("status")).to_contain_text("Running")
    # A read of rows may hear of it before the socket does.
    gone = {"code": "unknown_run", "message": f"there is no run '{run}'", "hint": None}
    page.route("**/rows?*", lambda route: route.fulfill(status=404, json={"error": gone}))
    alert = runs.get_by_role("alert")
    expect(alert).to_contain_text("The run was deleted, or is no longer shared")
    elsewhere(page, "DELETE", f"runs/{run}")
    expect(alert).to_contain_text("The run was deleted, or is no longer shared")
    assert axe_violations(page) == []
    page.keyboard.press("Escape")
    expect(runs.get_by_role("heading", name="Runs")).to_be_visible()
    expect(runs.get_by_text("A run asks every prompt")).to_be_visible()
    expect(row(runs, "Tower")).to_have_count(0)
    assert not [url for url in asked if url.endswith("/events")], "no stream for each run"


def test_after_a_cut_the_list_shows_what_happened_meanwhile(
    page: Page, runs: Locator, slow_model: Gateway
) -> None:
    begin(runs, "Bridge", 1000)
    page.keyboard.press("Escape")
    expect(row(runs, "Bridge")).to_contain_text("Running")
    run = newest(page)
    slow_model.stop()
    slow_model.start()
    # The gateway goes on with the run; the page has a new session.
    expect(row(runs, "Bridge")).to_contain_text("Running")
    elsewhere(page, "POST", f"runs/{run}/cancel")
    expect(row(runs, "Bridge")).to_contain_text("Cancelled")
