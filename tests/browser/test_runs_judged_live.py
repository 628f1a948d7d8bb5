"""Judges and votes of others on the page as they come: in the list, the judges, the results."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from tests.browser.answered_runs import GRADE, a_run, open_run
from tests.browser.conftest import writing
from tests.browser.gateway import Gateway
from tests.browser.helpers import axe_violations, schemes
from tests.browser.watch import Watch
from tests.conftest import KeepLog

pytestmark = pytest.mark.needs_chromium

TEXTS = {"Alpha": "It is Paris.", "Judge": GRADE}
HELD = {"Judge": ["--hold-after=1"]}
GIVEN = {"model": "judge", "criteria": "Does it name a capital?"}


@pytest.fixture
def gateway(tmp_path: Path, keep_log: KeepLog) -> Iterator[Gateway]:
    """Run a gateway whose judge writes nothing more after a token, until it is released."""
    with writing(tmp_path, TEXTS, delay_ms=60, options=HELD, limits={"Judge": 1}) as gateway:
        keep_log("the server", lambda: gateway.log)
        yield gateway


def elsewhere(page: Page, gateway: Gateway, method: str, path: str, data: Any = None) -> Any:
    """Make a request as another browser does; return the JSON of its answer, if it has any."""
    reply = page.request.fetch(f"{gateway.url}{path}", method=method, data=data)
    assert reply.ok, reply.text()
    return reply.json() if reply.body() else None


def release(page: Page, gateway: Gateway) -> None:
    """Let the judge write on."""
    models = elsewhere(page, gateway, "GET", "models")
    (address,) = [one["server"]["address"] for one in models if one["id"] == "judge"]
    assert page.request.post(urljoin(address, "/_fake/release")).ok


def test_a_judge_that_another_browser_begins_is_followed_paused_and_continued(
    page: Page, gateway: Gateway, watch: Watch, artifacts: Path
) -> None:
    name = a_run(page, gateway, 4, "Alpha", "Alpha")
    run = elsewhere(page, gateway, "GET", "runs")["runs"][0]["id"]
    runs = open_run(page, gateway, name)
    runs.get_by_role("button", name="Judges").click()
    expect(runs.get_by_text("No model has judged this run.")).to_be_visible()
    begun = elsewhere(page, gateway, "POST", f"runs/{run}/judges", GIVEN)
    judge = runs.get_by_role("region", name="Judge", exact=True)
    expect(judge).to_contain_text("Running · 0 of 8 graded")
    expect(judge.get_by_role("progressbar", name="Judged")).to_be_visible()

    # In the middle of it the page is loaded again, and shows the same.
    page.reload()
    runs = page.get_by_role("dialog")
    judge = runs.get_by_role("region", name="Judge", exact=True)
    expect(judge).to_contain_text("Running · 0 of 8 graded")
    page.keyboard.press("Escape")
    expect(runs.get_by_role("grid")).to_be_visible()
    page.keyboard.press("Escape")
    row = runs.get_by_role("list", name="Runs").get_by_role("listitem").filter(has_text=name)
    expect(row).to_contain_text("Done · 8 answers · Judging: 0 of 8")
    for scheme in schemes(page):
        page.screenshot(path=artifacts / f"list-{scheme}.png")
        assert axe_violations(page) == []
    row.get_by_role("button").click()
    runs.get_by_role("button", name="Judges").click()
    judge = runs.get_by_role("region", name="Judge", exact=True)
    expect(judge).to_contain_text("Running · 0 of 8 graded")
    with page.expect_request("**/pause"):
        judge.get_by_role("button", name="Pause").click()
    release(page, gateway)
    expect(judge).to_contain_text(re.compile(r"Paused · [1-7] of 8 graded"))
    expect(judge.get_by_role("button", name="Continue")).to_be_focused()
    page.screenshot(path=artifacts / "paused.png")

    judge.get_by_role("button", name="Continue").click()
    expect(judge).to_contain_text("Done · 8 of 8 graded")
    expect(judge.get_by_role("row", name="Alpha", exact=False).first).to_contain_text("4.00 of 5")
    expect(judge.get_by_role("progressbar")).to_be_hidden()
    elsewhere(page, gateway, "DELETE", f"runs/{run}/judges/{begun['id']}")
    expect(runs.get_by_text("No model has judged this run.")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(row).to_contain_text("Done · 8 answers")
    expect(row).not_to_contain_text("Judging")
    assert watch.complaints == []


def test_judges_of_a_deleted_run_are_paused_and_go_on_if_it_is_kept(
    browser: Browser, page: Page, gateway: Gateway, watch: Watch
) -> None:
    name = a_run(page, gateway, 4, "Alpha", "Alpha")
    run = elsewhere(page, gateway, "GET", "runs")["runs"][0]["id"]
    judge = elsewhere(page, gateway, "POST", f"runs/{run}/judges", GIVEN)["id"]
    context = browser.new_context()
    seen = open_run(context.new_page(), gateway, name)
    seen.get_by_role("button", name="Judges").click()
    seen = seen.get_by_role("region", name="Judge", exact=True)
    expect(seen).to_contain_text("Running · 0 of 8 graded")
    acts: list[str] = []

    def note(request: Request) -> None:
        if request.method == "POST" and f"/runs/{run}/" in request.url:
            acts.append(request.url.removeprefix(f"{gateway.url}runs/{run}/"))

    page.on("request", note)
    runs = page.get_by_role("dialog")

    def delete() -> None:
        runs.get_by_role("button", name="Delete…").click()
        runs.get_by_role("button", name="Delete it").click()
        expect(runs.get_by_role("button", name="Undo")).to_be_focused()

    # What the judge is saying is not waited for.
    open_run(page, gateway, name)
    delete()
    assert acts == [f"judges/{judge}/pause?wait=0"]
    release(page, gateway)
    expect(seen).to_contain_text(re.compile(r"Paused · [1-7] of 8 graded"))
    page.keyboard.press("Enter")
    row = runs.get_by_role("button", name=name)
    expect(row).to_be_focused()
    expect(seen).to_contain_text("Done · 8 of 8 graded")
    assert acts == [f"judges/{judge}/pause?wait=0", f"judges/{judge}/continue"]

    # A judge that has ended is left alone.
    expect(row).not_to_contain_text("Judging")
    row.click()
    delete()
    page.keyboard.press("Enter")
    expect(row).to_be_focused()
    assert len(acts) == 2
    context.close()
    assert watch.complaints == []


def test_results_show_what_judges_say_and_votes_as_they_come(
    page: Page, gateway: Gateway, watch: Watch, artifacts: Path
) -> None:
    name = a_run(page, gateway, 2, "Alpha", "Alpha")
    run = elsewhere(page, gateway, "GET", "runs")["runs"][0]["id"]
    runs = open_run(page, gateway, name)
    page.set_viewport_size({"width": 400, "height": 800})
    runs.get_by_role("button", name="Results").click()
    expect(runs.get_by_text("Nobody has voted.")).to_be_visible()
    runs.get_by_role("button", name="Vote blind").focus()
    vote = {"among": [0, 1], "winners": [1]}
    elsewhere(page, gateway, "PUT", f"runs/{run}/prompts/0/vote", vote)
    expect(runs.get_by_text("Made of 1 vote")).to_be_visible()
    expect(runs.get_by_role("button", name="Vote blind")).to_be_focused()
    begun = elsewhere(page, gateway, "POST", f"runs/{run}/judges", GIVEN)
    told = runs.get_by_role("region", name="Judge Judge", exact=True)
    expect(told).to_contain_text("Running · 0 of 4 graded")
    table = told.get_by_role("region", name="What judge Judge says")
    table.focus()
    release(page, gateway)
    expect(told).to_contain_text("Done · 4 of 4 graded")
    expect(told.get_by_role("row", name="Alpha").first).to_contain_text("4.00 of 5")
    expect(table).to_be_focused()
    for scheme in schemes(page):
        page.screenshot(path=artifacts / f"results-{scheme}.png")
        assert axe_violations(page) == []
    elsewhere(page, gateway, "DELETE", f"runs/{run}/judges/{begun['id']}")
    expect(told).to_have_count(0)
    elsewhere(page, gateway, "DELETE", f"runs/{run}/prompts/0/vote")
    expect(runs.get_by_text("Nobody has voted.")).to_be_visible()
    # The run goes while its results are shown.
    elsewhere(page, gateway, "DELETE", f"runs/{run}")
    expect(runs.get_by_role("alert")).to_contain_text("The run was deleted, or is no longer shared")
    assert watch.complaints == []
