"""Every screen of the dialog of runs has an address: links, Back, Forward and reload lead to it."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.answered_runs import TEXTS, a_run, open_run
from tests.browser.conftest import writing
from tests.browser.gateway import Gateway
from tests.browser.helpers import open_page
from tests.browser.watch import Watch
from tests.conftest import KeepLog

pytestmark = pytest.mark.needs_chromium


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with writing(tmp_path_factory.mktemp("addresses"), TEXTS, delay_ms=1) as gateway:
        yield gateway


@pytest.fixture
def gateway(models: Gateway, keep_log: KeepLog) -> Gateway:
    keep_log("the server", lambda: models.log)
    return models


def step(page: Page, by: int) -> None:
    """Press the browser's Back or Forward.

    Through the page: Playwright's own may take the entry for present that was left just now.
    """
    page.evaluate("(by) => history.go(by)", by)


def heading(runs: Locator, words: str) -> Locator:
    return runs.get_by_role("heading", name=re.compile(f"^{words}"))


@pytest.mark.parametrize(
    ("button", "show", "title"),
    [
        ("Results", "results", "Results: "),
        ("Judges", "judges", "Judges: "),
        ("Vote blind", "vote", "Vote blind: "),
    ],
)
def test_what_is_shown_of_a_run_is_reloaded_and_left_by_back(
    page: Page, gateway: Gateway, watch: Watch, button: str, show: str, title: str
) -> None:
    runs = open_run(page, gateway, a_run(page, gateway, 2, "Alpha", "Beta"))
    run = page.url
    # Opened by its link, as somebody does who got it.
    page.goto("about:blank")
    open_page(page, run)
    runs.get_by_role("button", name=button, exact=True).click()
    expect(heading(runs, title)).to_be_visible()
    expect(page).to_have_url(f"{run}&show={show}")
    page.reload()
    expect(heading(runs, title)).to_be_visible()
    step(page, -1)
    expect(runs.get_by_role("grid")).to_be_visible()
    expect(page).to_have_url(run)
    step(page, 1)
    expect(heading(runs, title)).to_be_visible()
    # The arrow of the dialog leads to the same place.
    runs.get_by_role("button", name="Back", exact=True).click()
    expect(runs.get_by_role("grid")).to_be_visible()
    expect(page).to_have_url(run)
    assert watch.complaints == []


def test_back_from_a_vote_that_began_in_the_results_leads_to_them(
    page: Page, gateway: Gateway
) -> None:
    runs = open_run(page, gateway, a_run(page, gateway, 2, "Alpha", "Beta"))
    runs.get_by_role("button", name="Results").click()
    runs.get_by_role("button", name="Vote blind").click()
    expect(heading(runs, "Vote blind: ")).to_be_visible()
    step(page, -1)
    expect(heading(runs, "Results: ")).to_be_visible()
    step(page, -1)
    expect(runs.get_by_role("grid")).to_be_visible()
    step(page, -1)
    expect(heading(runs, "Runs$")).to_be_visible()
    step(page, -1)
    expect(runs).to_have_count(0)
    expect(page).to_have_url(gateway.url)


def open_list(page: Page, gateway: Gateway) -> Locator:
    open_page(page, gateway.url)
    page.get_by_role("button", name="Runs", exact=True).click()
    runs = page.get_by_role("dialog")
    expect(heading(runs, "Runs$")).to_be_visible()
    return runs


@pytest.mark.parametrize(
    ("button", "show", "title"),
    [
        ("Leaderboard", "leaderboard", "Leaderboard$"),
        ("Prompt sets", "sets", "Prompt sets$"),
        ("New run", "new", "New run$"),
    ],
)
def test_back_from_what_the_list_leads_to_is_the_list(
    page: Page, gateway: Gateway, watch: Watch, button: str, show: str, title: str
) -> None:
    a_run(page, gateway, 1, "Alpha")
    runs = open_list(page, gateway)
    runs.get_by_role("button", name=button, exact=True).click()
    expect(heading(runs, title)).to_be_visible()
    expect(page).to_have_url(f"{gateway.url}#runs&show={show}")
    step(page, -1)
    expect(heading(runs, "Runs$")).to_be_visible()
    step(page, 1)
    expect(heading(runs, title)).to_be_visible()
    page.reload()
    expect(heading(runs, title)).to_be_visible()
    page.keyboard.press("Escape")
    expect(heading(runs, "Runs$")).to_be_visible()
    expect(page).to_have_url(f"{gateway.url}#runs")
    assert watch.complaints == []


def test_back_from_a_run_of_the_leaderboard_leads_to_it(page: Page, gateway: Gateway) -> None:
    name = a_run(page, gateway, 1, "Alpha")
    runs = open_list(page, gateway)
    runs.get_by_role("button", name="Leaderboard").click()
    runs.get_by_text("What it is made of").click()
    runs.get_by_role("button", name=name).click()
    expect(runs.get_by_role("grid")).to_be_visible()
    step(page, -1)
    expect(heading(runs, "Leaderboard$")).to_be_visible()


def test_a_set_has_an_address_and_the_form_that_began_a_run_is_not_gone_back_to(
    page: Page, gateway: Gateway
) -> None:
    runs = open_list(page, gateway)
    runs.get_by_role("button", name="New run").first.click()
    runs.get_by_label("Prompts, one a line").fill("Name a river.")
    runs.get_by_label("Add a model").select_option("Alpha")
    runs.get_by_label("Name", exact=True).fill("Waters")
    runs.get_by_role("button", name="Begin").click()
    expect(runs.get_by_role("grid")).to_be_visible()
    step(page, -1)
    expect(heading(runs, "Runs$")).to_be_visible()
    runs.get_by_role("button", name="Prompt sets").click()
    runs.get_by_role("list", name="Prompt sets").get_by_role("button", name="Waters").first.click()
    expect(page).to_have_url(re.compile(r"#runs&set=p_\w+$"))
    page.reload()
    expect(runs.get_by_label("Prompts", exact=True)).to_have_value("Name a river.")
    step(page, -1)
    expect(heading(runs, "Prompt sets$")).to_be_visible()
    step(page, -1)
    expect(heading(runs, "Runs$")).to_be_visible()


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("#runs&set=p_nothing", "The prompt set of this address is not there"),
        ("#run=r_nothing&show=results", "The run of this address is not there"),
    ],
)
def test_an_address_of_nothing_says_so(
    page: Page, gateway: Gateway, address: str, words: str
) -> None:
    open_page(page, f"{gateway.url}{address}")
    runs = page.get_by_role("dialog")
    expect(runs.get_by_role("alert")).to_contain_text(words)
    expect(heading(runs, "Runs$")).to_be_visible()


def test_a_run_of_one_model_has_no_vote(page: Page, gateway: Gateway) -> None:
    runs = open_run(page, gateway, a_run(page, gateway, 1, "Alpha"))
    run = page.url
    page.evaluate("location.hash += '&show=vote'")
    expect(runs.get_by_role("alert")).to_contain_text("nothing to vote between")
    expect(runs.get_by_role("grid")).to_be_visible()
    expect(page).to_have_url(run)
