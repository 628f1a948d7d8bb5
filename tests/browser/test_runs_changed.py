"""Screens of a run that are open while somebody else extends, renames or judges it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.browser.answered_runs import TEXTS
from tests.browser.conftest import writing
from tests.browser.gateway import Gateway
from tests.browser.helpers import assert_fits, axe_violations, open_page, schemes
from tests.browser.watch import Watch
from tests.conftest import KeepLog

pytestmark = pytest.mark.needs_chromium

JUDGE = {"model": "judge", "criteria": "Does it name a capital?"}
CHECKS = [{"type": "contains", "value": "Lima"}]
ADDED = {"model": "gamma", "name": "Added"}
SHOWN = ["", "&prompt=1", "&show=results", "&show=judges", "&show=vote"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with writing(tmp_path_factory.mktemp("changed"), TEXTS, delay_ms=1) as gateway:
        yield gateway


@pytest.fixture
def gateway(models: Gateway, keep_log: KeepLog) -> Gateway:
    keep_log("the server", lambda: models.log)
    return models


def elsewhere(page: Page, gateway: Gateway, method: str, path: str, data: Any = None) -> Any:
    """Make a request as another browser does; return the JSON of its answer."""
    reply = page.request.fetch(f"{gateway.url}{path}", method=method, data=data)
    assert reply.ok, reply.text()
    return reply.json()


def begun(page: Page, gateway: Gateway, prompts: int, *targets: dict[str, Any]) -> str:
    """Begin a run; return its id."""
    asked = [f"Which capital is number {number}?" for number in range(1, prompts + 1)]
    kept = elsewhere(
        page, gateway, "POST", "prompt-sets", {"prompts": asked, "checks": CHECKS, "name": "Set"}
    )
    given = {"prompt_set": kept["id"], "targets": list(targets)}
    run: str = elsewhere(page, gateway, "POST", "runs", given)["id"]
    return run


def answered(page: Page, gateway: Gateway, run: str) -> None:
    """Wait until all is answered and judged: its stream ends then."""
    page.request.get(f"{gateway.url}runs/{run}/events?judges=1")


def two_models(page: Page, gateway: Gateway, prompts: int) -> str:
    """Return a run of two models without names of their own that is answered."""
    run = begun(page, gateway, prompts, {"model": "alpha"}, {"model": "beta"})
    answered(page, gateway, run)
    return run


def extended(page: Page, gateway: Gateway, run: str, **target: Any) -> None:
    """Have another target asked, and wait for its answers."""
    elsewhere(page, gateway, "POST", f"runs/{run}/extend", {"targets": [target or ADDED]})
    answered(page, gateway, run)


def opened(page: Page, gateway: Gateway, run: str, shown: str) -> Locator:
    """Open the page at a screen of a run; return the dialog."""
    open_page(page, f"{gateway.url}#run={run}{shown}")
    return page.get_by_role("dialog")


def table(runs: Locator) -> Locator:
    return runs.get_by_role("region", name="Results", exact=True)


def row(runs: Locator, name: str) -> Locator:
    """Return a row of the results by its whole name."""
    head = runs.page.get_by_role("rowheader", name=name, exact=True)
    return table(runs).get_by_role("row").filter(has=head)


def test_results_follow_the_answers_and_who_is_asked_meanwhile(
    page: Page, tmp_path: Path, keep_log: KeepLog, watch: Watch
) -> None:
    held = {"Beta": ["--hold-after=1"]}
    with writing(tmp_path, TEXTS, delay_ms=1, options=held) as gateway:
        keep_log("the server", lambda: gateway.log)
        run = begun(page, gateway, 2, {"model": "alpha"}, {"model": "beta"})
        runs = opened(page, gateway, run, "&show=results")
        expect(row(runs, "alpha")).to_contain_text("out")
        expect(row(runs, "beta")).not_to_contain_text("out")
        models = elsewhere(page, gateway, "GET", "models")
        (address,) = [one["server"]["address"] for one in models if one["id"] == "beta"]
        assert page.request.post(urljoin(address, "/_fake/release")).ok
        expect(row(runs, "beta")).to_contain_text("out")
        extended(page, gateway, run)
        expect(row(runs, "Added")).to_contain_text("out")
        expect(runs).not_to_contain_text("undefined")
        assert watch.complaints == []


def test_results_that_could_not_be_read_are_read_once_more_is_told(
    page: Page, gateway: Gateway
) -> None:
    run = two_models(page, gateway, 1)
    runs = opened(page, gateway, run, "&show=results")
    expect(row(runs, "beta")).to_contain_text("out")
    failed: list[str] = []

    def fail(route: Route) -> None:
        failed.append(route.request.url)
        route.abort()

    page.route("**/results", fail)
    extended(page, gateway, run)
    expect(runs.get_by_role("alert")).to_contain_text("cannot be reached")
    count = len(failed)
    page.unroute("**/results")
    elsewhere(page, gateway, "PATCH", f"runs/{run}", {"name": "Another name"})
    expect(row(runs, "Added")).to_contain_text("out")
    expect(runs.get_by_role("alert")).to_have_count(0)
    assert count < 20, "it is not asked without a pause"


def test_judges_name_a_target_that_is_added_while_they_are_shown(
    page: Page, gateway: Gateway, watch: Watch, artifacts: Path
) -> None:
    run = two_models(page, gateway, 2)
    judges = [elsewhere(page, gateway, "POST", f"runs/{run}/judges", JUDGE) for _ in range(2)]
    answered(page, gateway, run)
    runs = opened(page, gateway, run, "&show=judges")
    names = ("Judge", "Judge (2)")
    for name in names:
        told = runs.get_by_role("region", name=f"What judge {name} says", exact=True)
        expect(told).to_contain_text("4.00 of 5")
    assert axe_violations(page) == []
    expect(runs.get_by_text("4 replies of the model at most")).to_be_visible()
    extended(page, gateway, run)
    expect(runs.get_by_text("6 replies of the model at most")).to_be_visible()
    for judge in judges:
        elsewhere(page, gateway, "POST", f"runs/{run}/judges/{judge['id']}/continue")
    for name in names:
        told = runs.get_by_role("region", name=f"What judge {name} says", exact=True)
        expect(told.get_by_role("row", name="Added")).to_contain_text("4.00 of 5")
    expect(runs).not_to_contain_text("undefined")
    for scheme in schemes(page):
        page.screenshot(path=artifacts / f"judges-{scheme}.png")
        assert axe_violations(page) == []
    assert watch.complaints == []


def test_results_name_a_target_that_a_judge_judges_later(
    page: Page, gateway: Gateway, watch: Watch
) -> None:
    run = two_models(page, gateway, 2)
    judge = elsewhere(page, gateway, "POST", f"runs/{run}/judges", JUDGE)
    answered(page, gateway, run)
    runs = opened(page, gateway, run, "&show=results")
    told = runs.get_by_role("region", name="What judge Judge says", exact=True)
    expect(told.get_by_role("row", name="Beta")).to_contain_text("4.00 of 5")
    extended(page, gateway, run)
    elsewhere(page, gateway, "POST", f"runs/{run}/judges/{judge['id']}/continue")
    expect(told.get_by_role("row", name="Added")).to_contain_text("4.00 of 5")
    expect(row(runs, "Added")).to_contain_text("4.00 of 5")
    expect(runs).not_to_contain_text("undefined")
    assert watch.complaints == []


def test_a_ballot_names_a_target_that_is_added_while_somebody_votes(
    page: Page, gateway: Gateway, watch: Watch
) -> None:
    run = two_models(page, gateway, 4)
    runs = opened(page, gateway, run, "&show=vote")
    place = runs.get_by_role("status")
    expect(place).to_contain_text("Prompt 1 of 4")
    page.keyboard.press("a")
    expect(place).to_contain_text("1 of 4 voted")
    extended(page, gateway, run)
    for prompt in (2, 3, 4):
        page.keyboard.press("Enter")
        expect(place).to_contain_text(f"Prompt {prompt} of 4")
        expect(runs.get_by_role("button", name="A is be")).to_be_visible()
    # The answers to the next prompt are read beforehand, those to the last were not.
    expect(runs.get_by_role("heading", level=3)).to_have_text(["A", "B", "C"])
    page.keyboard.press("c")
    runs.get_by_role("button", name="Show names").click()
    names = runs.get_by_role("heading", level=3).all_inner_texts()
    assert sorted(name[3:] for name in names) == ["Added", "Alpha", "Beta"]
    assert watch.complaints == []


def test_what_judges_say_names_targets_and_judges_that_came_meanwhile(
    page: Page, gateway: Gateway, watch: Watch
) -> None:
    run = two_models(page, gateway, 2)
    runs = opened(page, gateway, run, "&prompt=1")
    expect(runs.get_by_role("region", name="Beta")).to_contain_text("Complete")
    extended(page, gateway, run)
    by_pairs = {**JUDGE, "mode": "pairs"}
    elsewhere(page, gateway, "POST", f"runs/{run}/judges", by_pairs)
    answered(page, gateway, run)
    page.keyboard.press("ArrowRight")
    expect(runs.get_by_role("status")).to_have_text("Prompt 2 of 2")
    judged = runs.get_by_role("region", name="Alpha").get_by_role("group", name="Judge Judge")
    expect(judged).to_contain_text("against Added")
    assert watch.complaints == []


def test_judges_that_could_not_be_read_once_are_read_for_the_next_prompt(
    page: Page, gateway: Gateway
) -> None:
    run = two_models(page, gateway, 2)
    elsewhere(page, gateway, "POST", f"runs/{run}/judges", JUDGE)
    answered(page, gateway, run)
    page.route("**/judges", lambda route: route.abort(), times=1)
    runs = opened(page, gateway, run, "&prompt=1")
    alert = runs.get_by_role("alert")
    expect(alert).to_contain_text("cannot be reached")
    page.keyboard.press("ArrowRight")
    judged = runs.get_by_role("region", name="Alpha").get_by_role("group", name="Judge Judge")
    expect(judged).to_contain_text("4 of 5")
    expect(alert).to_have_count(0)


@pytest.mark.parametrize("shown", SHOWN)
def test_another_name_reaches_the_title(
    page: Page, gateway: Gateway, watch: Watch, shown: str
) -> None:
    run = two_models(page, gateway, 1)
    runs = opened(page, gateway, run, shown)
    title = runs.get_by_role("heading", level=2)
    expect(title).to_contain_text("Set")
    elsewhere(page, gateway, "PATCH", f"runs/{run}", {"name": "Another name"})
    expect(title).to_contain_text("Another name")
    assert watch.complaints == []


def test_another_name_leaves_what_somebody_writes_as_the_name(page: Page, gateway: Gateway) -> None:
    run = two_models(page, gateway, 1)
    runs = opened(page, gateway, run, "")
    runs.get_by_role("button", name="Rename").click()
    field = runs.get_by_role("textbox", name="Name")
    elsewhere(page, gateway, "PATCH", f"runs/{run}", {"name": "Told elsewhere"})
    title = runs.locator("#runs-title")
    expect(title).to_have_text("Told elsewhere")
    expect(field).to_be_focused()
    # Left as it was, it takes no other name away.
    field.blur()
    expect(title).to_be_visible()
    expect(title).to_have_text("Told elsewhere")
    runs.get_by_role("button", name="Rename").click()
    field.fill("Written here")
    elsewhere(page, gateway, "PATCH", f"runs/{run}", {"name": "Told again"})
    expect(title).to_have_text("Told again")
    page.keyboard.press("Enter")
    expect(title).to_have_text("Written here")
    assert elsewhere(page, gateway, "GET", f"runs/{run}")["name"] == "Written here"


def test_long_names_do_not_widen_the_results_on_a_phone(
    page: Page, gateway: Gateway, artifacts: Path
) -> None:
    targets = [{"model": name, "name": f"{name}-{'x' * 94}"} for name in ("alpha", "beta")]
    run = begun(page, gateway, 1, *targets)
    answered(page, gateway, run)
    vote = {"among": [0, 1], "winners": [0]}
    elsewhere(page, gateway, "PUT", f"runs/{run}/prompts/0/vote", vote)
    page.set_viewport_size({"width": 360, "height": 740})
    runs = opened(page, gateway, run, "&show=results")
    expect(runs.get_by_role("heading", name="Comparisons")).to_be_visible()
    assert_fits(page, ".runs-body")
    runs.get_by_role("heading", name="Comparisons").scroll_into_view_if_needed()
    page.screenshot(path=artifacts / "results-phone.png")


def test_one_of_anything_is_no_plural_in_the_list(page: Page, gateway: Gateway) -> None:
    run = begun(page, gateway, 1, {"model": "alpha"})
    answered(page, gateway, run)
    runs = opened(page, gateway, run, "")
    expect(runs.get_by_role("grid")).to_be_visible()
    page.keyboard.press("Escape")
    first = runs.get_by_role("list", name="Runs").get_by_role("listitem").first
    expect(first).to_contain_text(" 1 prompt,")
