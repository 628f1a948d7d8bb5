"""The whole way through a run on the page, from pasted prompts to the report."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.answered_runs import open_runs
from tests.browser.conftest import writing
from tests.browser.gateway import Gateway
from tests.browser.watch import Watch
from tests.conftest import KeepLog

pytestmark = pytest.mark.needs_chromium

PROMPTS = [f"Which capital is number {number}?" for number in range(1, 7)]
# Slow enough that the browser is closed amid the run, on however busy a machine.
GOOD, BAD = "It is **Paris**, the city on the Seine, as you may well know by now.", "Ask a map."
DELAY_MS = 400


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    texts = {"Alpha": GOOD, "Beta": BAD}
    with writing(tmp_path_factory.mktemp("journey"), texts, delay_ms=DELAY_MS) as gateway:
        yield gateway


@pytest.fixture
def gateway(models: Gateway, keep_log: KeepLog) -> Gateway:
    keep_log("the server", lambda: models.log)
    return models


def begin(page: Page, gateway: Gateway) -> str:
    """Paste the prompts and have both models asked three times; return the run's address."""
    runs = open_runs(page, gateway, "Alpha", "Beta")
    runs.get_by_role("button", name="New run").click()
    runs.get_by_label("Prompts, one a line").fill("\n".join(PROMPTS))
    runs.get_by_label("How often each is asked").fill("3")
    runs.get_by_role("button", name="Begin").click()
    expect(runs.get_by_role("status")).to_have_text(
        re.compile(r"^Running · [1-9]\d? of 36 answers")
    )
    return page.url


def vote(page: Page, runs: Locator, artifacts: Path) -> None:
    """Choose what reads as Paris in every ballot, by its key."""
    runs.get_by_role("button", name="Vote blind").click()
    first = runs.get_by_role("region", name="Answer A")
    place = runs.get_by_role("status")
    for number in range(len(PROMPTS) * 3):
        ballot = f"Prompt {number // 3 + 1} of 6, time {number % 3 + 1} of 3"
        expect(place).to_have_text(f"{ballot} · {number} of 18 voted")
        expect(first.locator(".answer")).not_to_be_empty()
        if number == 0:
            page.screenshot(path=artifacts / "ballot.png")
        page.keyboard.press("a" if first.locator("strong").count() else "b")
        expect(place).to_have_text(f"{ballot} · {number + 1} of 18 voted")
        page.keyboard.press("Enter")
    expect(runs.get_by_text("All have your vote.")).to_be_visible()


def test_paste_run_close_come_back_vote_blind_and_read_the_report(
    browser: Browser, page: Page, gateway: Gateway, watch: Watch, artifacts: Path
) -> None:
    away = browser.new_context()
    address = begin(away.new_page(), gateway)
    assert "#run=" in address
    away.close()
    # The stream ends with the run.
    page.request.get(f"{gateway.url}runs/{address.split('#run=')[1]}/events", timeout=0)

    page.goto(address)
    runs = page.get_by_role("dialog")
    expect(runs.get_by_role("status")).to_have_text("Done · 36 answers")
    vote(page, runs, artifacts)
    runs.get_by_role("button", name="Show names and ranking").click()
    ranking = runs.get_by_role("region", name="Ranking")
    expect(ranking.get_by_role("row").nth(1)).to_contain_text("Alpha")
    page.keyboard.press("Escape")
    runs.get_by_role("button", name="Results").click()
    expect(runs.get_by_text("Made of 18 votes by 1 voter, all of them blind.")).to_be_visible()
    expect(runs.get_by_role("row", name=re.compile("^Alpha")).first).to_contain_text(" in, ")
    page.screenshot(path=artifacts / "results.png")
    page.keyboard.press("Escape")

    with page.expect_download() as download:
        runs.get_by_role("link", name="Report").click()
    report = artifacts / "report.html"
    download.value.save_as(report)
    page.goto(report.as_uri())
    expect(page.get_by_role("row", name=re.compile("^Alpha")).first).to_be_visible()
    expect(page.locator("article")).to_have_count(36)
    expect(page.locator("article strong").first).to_have_text("Paris")
    expect(page.get_by_role("img").first).to_be_visible()
    expect(page.get_by_text(PROMPTS[0]).first).to_be_visible()
    page.screenshot(path=artifacts / "report.png", full_page=True)
    assert watch.complaints == []
