"""The leaderboard on the page, and runs that are shared with other keys."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from tests.browser.conftest import writing
from tests.browser.gateway import Gateway
from tests.browser.helpers import assert_fits, axe_violations, choose, open_page, schemes
from tests.browser.test_access import GatewayKeys, enter
from tests.browser.watch import Watch
from tests.conftest import KeepLog

pytestmark = pytest.mark.needs_chromium

TEXTS = {"Alpha": "It is Paris.", "Beta": "It may be Lima."}
PROMPTS = [{"prompt": f"Of country {n}?", "expected": "Paris"} for n in range(8)]


@pytest.fixture(scope="module")
def two_models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with writing(tmp_path_factory.mktemp("board"), TEXTS, delay_ms=1) as gateway:
        yield gateway


def ask(gateway: Gateway, method: str, path: str, body: Any = None, key: str = "") -> Any:
    """Make a request; return its JSON."""
    headers = {"Content-Type": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    data = None if body is None else json.dumps(body).encode()
    url = f"{gateway.url.rstrip('/')}{path}"
    request = urllib.request.Request(url, data, headers, method=method)
    with urllib.request.urlopen(request) as reply:
        text = reply.read()
    return json.loads(text) if text and text.startswith(b"{") else None


def a_run(gateway: Gateway, key: str = "", **words: Any) -> str:
    """Have both models, Alpha in two ways, asked of eight prompts; return the run's id."""
    checks = [{"type": "contains", "value": "{{expected}}"}]
    given = {"name": "Capitals", "tags": ["geography"], "prompts": PROMPTS, "checks": checks}
    kept = ask(gateway, "POST", "/prompt-sets", {**given, **words}, key)["id"]
    targets = [
        {"model": "alpha"},
        {"model": "beta"},
        {"model": "alpha", "parameters": {"temperature": 0.5}, "name": "warm"},
    ]
    run: str = ask(gateway, "POST", "/runs", {"prompt_set": kept, "targets": targets}, key)["id"]
    ask(gateway, "GET", f"/runs/{run}/events", key=key)
    return run


def vote(gateway: Gateway, run: str, *prompts: int, winner: int = 0, blind: bool = True) -> None:
    for prompt in prompts:
        body = {"among": [0, 1], "winners": [winner], "blind": blind}
        ask(gateway, "PUT", f"/runs/{run}/prompts/{prompt}/vote", body)


@pytest.fixture
def runs(page: Page, two_models: Gateway, keep_log: KeepLog) -> Locator:
    """Open the page, and the dialog of runs."""
    keep_log("the server", lambda: two_models.log)
    open_page(page, two_models.url)
    return open_runs(page)


def open_runs(page: Page) -> Locator:
    choose(page, *TEXTS)
    page.get_by_role("button", name="Runs", exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading", name="Runs")).to_be_visible()
    return dialog


def test_the_leaderboard_says_what_is_sure_and_what_it_is_made_of(
    page: Page, runs: Locator, two_models: Gateway, watch: Watch
) -> None:
    runs.get_by_role("button", name="Leaderboard").click()
    expect(runs.get_by_role("heading", name="Leaderboard")).to_be_visible()
    expect(runs.get_by_role("status")).to_contain_text("There is nothing to compare yet")
    expect(runs.get_by_label("What counts")).to_be_focused()
    run = a_run(two_models)
    vote(two_models, run, 0, 1)
    page.keyboard.press("Escape")
    runs.get_by_role("button", name="Leaderboard").click()
    board = runs.get_by_role("region", name="Leaderboard")
    expect(runs.get_by_role("status")).to_contain_text("Too few prompts were decided")
    alpha, beta = (board.get_by_role("row", name=name) for name in ("Alpha", "Beta"))
    expect(alpha.get_by_role("cell").first).to_have_text("1 to 2")
    expect(alpha).to_contain_text("Too few decided")
    expect(alpha.locator("svg")).to_have_count(1)  # what passed, and no expected wins
    vote(two_models, run, *range(2, 7))
    vote(two_models, run, 7, winner=1, blind=False)
    page.keyboard.press("Escape")
    runs.get_by_role("button", name="Leaderboard").click()
    expect(runs.get_by_role("status")).to_contain_text("Alpha is ahead")
    expect(runs.get_by_role("status")).to_contain_text(
        "7 blind votes count; 1 vote by people who saw the names does not"
    )
    expect(alpha.get_by_role("cell").first).to_have_text("1")
    expect(beta.get_by_role("cell").first).to_have_text("2")
    expect(alpha).to_contain_text("7 won, 0 lost, 0 ties")
    expect(alpha).to_contain_text("16 of 16")
    expect(beta).to_contain_text("0 of 8")
    expect(alpha.locator("svg")).to_have_count(2)
    made = runs.get_by_text("What it is made of")
    made.click()
    expect(runs.get_by_text("You: 7 blind votes, 1 not blind")).to_be_visible()
    expect(runs.get_by_text("Temperature 0.5 (1 run)")).to_be_visible()
    for _ in schemes(page):
        assert axe_violations(page) == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert axe_violations(page) == []
    assert_fits(page, ".runs-body")
    page.set_viewport_size({"width": 1440, "height": 900})
    runs.get_by_role("button", name="Capitals").click()
    expect(runs.get_by_role("grid")).to_be_visible()
    assert watch.complaints == []


def test_the_leaderboard_is_that_of_a_set_a_tag_or_chats(
    page: Page, runs: Locator, two_models: Gateway, watch: Watch
) -> None:
    run = a_run(two_models, name="Rivers", tags=["water"])
    vote(two_models, run, 0, winner=1)
    runs.get_by_role("button", name="Leaderboard").click()
    board = runs.get_by_role("region", name="Leaderboard")
    runs.get_by_label("Prompt set").select_option(label="Rivers")
    expect(runs.get_by_role("status")).to_contain_text("1 blind vote counts.")
    expect(board.get_by_role("row", name="Alpha")).to_contain_text("0 won, 1 lost")
    runs.get_by_label("Prompt set").select_option(label="All")
    runs.get_by_label("Tag").fill("water")
    page.keyboard.press("Enter")
    expect(runs.get_by_role("status")).to_contain_text("1 blind vote counts.")
    runs.get_by_label("Tag").fill("none")
    page.keyboard.press("Enter")
    expect(runs.get_by_role("status")).to_contain_text("There is nothing to compare yet")
    expect(board).to_be_hidden()
    runs.get_by_label("Tag").fill("")
    runs.get_by_label("What counts").select_option("chats")
    expect(runs.get_by_role("status")).to_contain_text("There is nothing to compare yet")
    runs.get_by_label("Prompt set").select_option(label="Rivers")
    expect(runs.get_by_label("What counts")).to_have_value("runs")
    expect(runs.get_by_role("status")).to_contain_text("1 blind vote counts.")
    assert watch.complaints == []


def test_a_run_is_not_shared_where_there_are_no_keys(
    page: Page, runs: Locator, two_models: Gateway
) -> None:
    a_run(two_models)
    page.keyboard.press("Escape")
    dialog = open_again(page)
    dialog.get_by_role("list", name="Runs").get_by_role("button").first.click()
    expect(dialog.get_by_role("button", name="Results")).to_be_visible()
    expect(dialog.get_by_role("button", name="Share…")).to_be_hidden()


def open_again(page: Page) -> Locator:
    page.get_by_role("button", name="Runs", exact=True).click()
    return page.get_by_role("dialog")


@pytest.fixture
def other_page(browser: Browser) -> Iterator[Page]:
    """Return a page of somebody else's browser."""
    context: BrowserContext = browser.new_context()
    yield context.new_page()
    context.close()


def test_a_run_is_shared_read_by_others_and_shared_no_longer(
    page: Page, other_page: Page, tmp_path: Path, keep_log: KeepLog
) -> None:
    with writing(tmp_path, TEXTS, delay_ms=1) as gateway:
        keep_log("the server", lambda: gateway.log)
        keys = GatewayKeys(gateway)
        anna, ben = keys.add("anna"), keys.add("ben")
        page.goto(gateway.url)
        enter(page, gateway, anna)
        a_run(gateway, anna)
        mine = open_runs(page)
        mine.get_by_role("list", name="Runs").get_by_role("button").first.click()
        mine.get_by_role("button", name="Share…").click()
        expect(mine.get_by_role("radio", name="Nobody else")).to_be_focused()
        mine.get_by_role("radio", name="Some keys").check()
        mine.get_by_role("button", name="Share", exact=True).click()
        expect(mine.get_by_text("Name one or more keys.")).to_be_visible()
        mine.get_by_label("Names of the keys").fill("ben, carl")
        for _ in schemes(page):
            assert axe_violations(page) == []
        mine.get_by_role("button", name="Share", exact=True).click()
        expect(mine.get_by_role("alert")).to_contain_text("no key 'carl'")
        mine.get_by_label("Names of the keys").fill("ben")
        mine.get_by_role("button", name="Share", exact=True).click()
        expect(mine.get_by_text("Shared with ben")).to_be_visible()
        expect(mine.get_by_role("button", name="Share…")).to_be_focused()

        other_page.goto(gateway.url)
        enter(other_page, gateway, ben)
        theirs = open_runs(other_page)
        listed = theirs.get_by_role("list", name="Runs").get_by_role("button").first
        expect(listed).to_contain_text("Shared by anna")
        listed.click()
        expect(theirs.get_by_role("grid")).to_be_visible()
        expect(theirs.get_by_role("button", name="Results")).to_be_visible()
        for name in ("Share…", "Delete…", "Pause", "Cancel", "Continue"):
            expect(theirs.get_by_role("button", name=name, exact=True)).to_be_hidden()

        mine.get_by_role("button", name="Share…").click()
        mine.get_by_role("radio", name="Nobody else").check()
        mine.get_by_role("button", name="Share", exact=True).click()
        expect(mine.get_by_text("Shared with ben")).to_have_count(0)
        other_page.keyboard.press("Escape")
        expect(theirs.get_by_text("A run asks every prompt")).to_be_visible()
        expect(theirs.get_by_role("list", name="Runs").get_by_role("button")).to_have_count(0)
