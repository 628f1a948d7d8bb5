"""Judges of a run on the page, another name for it, and more to ask."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.answered_runs import GRADE, TEXTS, a_run, open_run
from tests.browser.conftest import writing
from tests.browser.gateway import Gateway
from tests.browser.helpers import axe_violations, choose, open_page, schemes
from tests.browser.watch import Watch
from tests.conftest import KeepLog

pytestmark = pytest.mark.needs_chromium


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with writing(tmp_path_factory.mktemp("judges"), TEXTS, delay_ms=1) as gateway:
        yield gateway


@pytest.fixture
def gateway(models: Gateway, keep_log: KeepLog) -> Gateway:
    keep_log("the server", lambda: models.log)
    return models


def test_a_judge_is_begun_read_at_the_answers_and_never_mixed_with_votes(
    page: Page, gateway: Gateway, watch: Watch, artifacts: Path
) -> None:
    name = a_run(page, gateway, 2, "Alpha", "Beta")
    runs = open_run(page, gateway, name)
    runs.get_by_role("button", name="Judges").click()
    expect(runs.get_by_text("No model has judged this run.")).to_be_visible()
    expect(runs.get_by_text("4 replies of the model at most")).to_be_visible()
    runs.get_by_label("How it judges").select_option("pairs")
    expect(runs.get_by_label("Grades from 1")).to_be_hidden()
    runs.get_by_label("How it judges").select_option("grades")
    runs.get_by_label("Criteria, in your words").fill("Does it name a capital?")
    # What was written outlives the screen.
    page.keyboard.press("Escape")
    runs.get_by_role("button", name="Judges").click()
    runs.get_by_label("Model", exact=True).select_option(label="Judge")
    assert axe_violations(page) == []
    runs.get_by_role("button", name="Begin").click()
    judge = runs.get_by_role("region", name="Judge", exact=True)
    expect(judge).to_contain_text("Done · 4 of 4 graded")
    expect(judge).to_contain_text("Criteria: Does it name a capital?")
    expect(judge.get_by_role("row", name="Alpha")).to_contain_text("4.00 of 5")
    expect(runs.get_by_label("Criteria, in your words")).to_have_value("")

    # Of its replies none is a preference: each is unreadable, and counted.
    runs.get_by_label("Criteria, in your words").fill("Which is better?")
    runs.get_by_label("Model", exact=True).select_option(label="Judge")
    runs.get_by_label("How it judges").select_option("pairs")
    runs.get_by_role("button", name="Begin").click()
    pairs = runs.get_by_role("region", name="Judge (2)", exact=True)
    expect(pairs).to_contain_text("Done · 4 of 4 replies, a pair in both orders · 4 unreadable")
    for scheme in schemes(page):
        page.screenshot(path=artifacts / f"judges-{scheme}.png")
        assert axe_violations(page) == []

    page.keyboard.press("Escape")
    runs.get_by_role("rowheader", name="Which capital is number 1?").click()
    alpha = runs.get_by_role("region", name="Alpha")
    graded = alpha.get_by_role("group", name="Judge Judge", exact=True)
    expect(graded).to_contain_text("4 of 5. It names one.")
    graded.get_by_text("What it was asked and said").click()
    asked = graded.get_by_role("region", name="What the judge was asked")
    expect(asked).to_contain_text("Does it name a capital?")
    expect(asked).to_contain_text("It is **Paris**.")
    expect(graded).to_contain_text(GRADE)
    paired = alpha.get_by_role("group", name="Judge Judge (2)")
    expect(paired).to_contain_text("Unreadable, against Beta")
    page.screenshot(path=artifacts / "judgements.png")
    assert axe_violations(page) == []

    page.keyboard.press("Escape")
    runs.get_by_role("button", name="Results").click()
    expect(runs.get_by_text("Nobody has voted.")).to_be_visible()
    told = runs.get_by_role("region", name="Judge Judge", exact=True)
    expect(told.get_by_role("row", name="Beta")).to_contain_text("4.00 of 5")
    for scheme in schemes(page):
        page.screenshot(path=artifacts / f"results-{scheme}.png")
        assert axe_violations(page) == []
    page.keyboard.press("Escape")
    runs.get_by_role("button", name="Judges").click()
    judge.get_by_role("button", name="Delete…").click()
    expect(judge.get_by_role("button", name="Keep it")).to_be_focused()
    judge.get_by_role("button", name="Delete it").click()
    expect(runs.get_by_text("Does it name a capital?")).to_have_count(0)
    expect(runs.get_by_text("Which is better?")).to_be_visible()
    assert watch.complaints == []


def test_a_judge_that_is_refused_leaves_its_criteria(page: Page, gateway: Gateway) -> None:
    name = a_run(page, gateway, 1, "Alpha", "Beta")
    runs = open_run(page, gateway, name)
    runs.get_by_role("button", name="Judges").click()
    runs.get_by_label("Criteria, in your words").fill("Is it right?")
    runs.get_by_role("button", name="Begin").click()
    expect(
        runs.get_by_label("Model", exact=True)
    ).to_be_focused()  # the browser tells that it is missing
    refusal = {"code": "unknown_model", "message": "there is no model 'judge'", "hint": None}
    page.route("**/judges", lambda route: refuse(route, refusal))
    runs.get_by_label("Model", exact=True).select_option(label="Judge")
    runs.get_by_role("button", name="Begin").click()
    expect(runs.get_by_role("alert").filter(has_text="There is no model")).to_be_visible()
    expect(runs.get_by_label("Criteria, in your words")).to_have_value("Is it right?")


def refuse(route: Route, error: dict[str, Any]) -> None:
    """Refuse what is posted; let the rest through."""
    if route.request.method == "POST":
        route.fulfill(status=404, json={"error": error})
    else:
        route.continue_()


def test_a_run_is_renamed_in_its_title(page: Page, gateway: Gateway, watch: Watch) -> None:
    name = a_run(page, gateway, 1, "Alpha", "Beta")
    runs = open_run(page, gateway, name)
    runs.get_by_role("button", name="Rename").click()
    field = runs.get_by_role("textbox", name="Name")
    expect(field).to_be_focused()
    expect(field).to_have_value(name)
    assert axe_violations(page) == []
    field.fill("Not this")
    page.keyboard.press("Escape")
    expect(runs.get_by_role("heading", name=name)).to_be_visible()
    expect(runs.get_by_role("button", name="Rename")).to_be_focused()
    runs.get_by_role("button", name="Rename").click()
    renamed = f"Renamed {name}"
    field.fill(renamed)
    page.keyboard.press("Enter")
    expect(runs.get_by_role("heading", name=renamed)).to_be_visible()
    runs.get_by_role("button", name="Results").click()
    expect(runs.get_by_role("heading", name=f"Results: {renamed}")).to_be_visible()
    expect(runs.get_by_role("button", name="Rename")).to_be_hidden()
    page.keyboard.press("Escape")
    # What the server refuses is told, and the name stays.
    refusal = {"code": "storage_failed", "message": "the disk is full", "hint": None}
    page.route(
        "**/runs/r_*", lambda route: route.fulfill(status=503, json={"error": refusal}), times=1
    )
    runs.get_by_role("button", name="Rename").click()
    field.fill("Never")
    page.keyboard.press("Enter")
    expect(runs.get_by_role("alert")).to_contain_text("The disk is full.")
    expect(runs.get_by_role("heading", name=renamed)).to_be_visible()
    page.keyboard.press("Escape")
    expect(runs.get_by_role("list", name="Runs")).to_contain_text(renamed)


def test_a_run_is_extended_by_a_column_and_by_repeats(
    page: Page, gateway: Gateway, watch: Watch, artifacts: Path
) -> None:
    name = a_run(page, gateway, 2, "Alpha", "Beta")
    open_page(page, gateway.url)
    choose(page, "Gamma")
    page.get_by_role("button", name="Runs", exact=True).click()
    runs = page.get_by_role("dialog")
    runs.get_by_role("button", name=name).click()
    runs.get_by_role("button", name="Extend…").click()
    gamma = runs.get_by_role("checkbox", name="Gamma")
    expect(gamma).to_be_focused()
    expect(runs.get_by_text("2 more answers")).to_be_visible()
    gamma.uncheck()
    expect(runs.get_by_text("Nothing more to ask.")).to_be_visible()
    expect(runs.get_by_role("button", name="Ask", exact=True)).to_be_disabled()
    page.keyboard.press("Escape")
    expect(runs.get_by_role("form", name="Extend")).to_have_count(0)
    expect(runs.get_by_role("button", name="Extend…")).to_be_focused()
    runs.get_by_role("button", name="Extend…").click()
    runs.get_by_label("How often each is asked").fill("2")
    expect(runs.get_by_text("8 more answers")).to_be_visible()
    page.screenshot(path=artifacts / "extend.png")
    assert axe_violations(page) == []
    refusal = {"code": "run_limit", "message": "the run would have too many", "hint": None}
    page.route(
        "**/extend", lambda route: route.fulfill(status=409, json={"error": refusal}), times=1
    )
    runs.get_by_role("button", name="Ask", exact=True).click()
    expect(runs.get_by_role("form", name="Extend")).to_contain_text("The run would have too many.")
    expect(runs.get_by_label("How often each is asked")).to_have_value("2")
    runs.get_by_role("button", name="Ask", exact=True).click()
    expect(runs.get_by_role("status")).to_have_text("Done · 12 answers")
    expect(runs.get_by_role("columnheader", name="Gamma")).to_be_visible()
    assert len([one for one in watch.complaints if "409" not in one]) == 0


def test_a_judge_that_cannot_go_on_says_why(page: Page, gateway: Gateway) -> None:
    name = a_run(page, gateway, 2, "Alpha", "Beta")
    judge = {
        "id": "j_1",
        "model": "judge",
        "criteria": "Is it right?",
        "mode": "grades",
        "grades": 5,
        "created": 1,
        "state": "running",
        "judged": 1,
        "unreadable": 0,
        "total": 4,
        "error": None,
    }
    listed = {"judge": judge, "grades": [], "ranking": [], "inconsistent": 0, "cost": 0.0123}
    done: list[str] = []

    def act(route: Route) -> None:
        done.append(route.request.url.rpartition("/")[2])
        judge["state"] = "paused" if done[-1] == "pause" else "running"
        route.fulfill(json=judge)

    page.route("**/judges", lambda route: route.fulfill(json={"judges": [listed]}))
    page.route("**/judges/j_1/*", act)
    runs = open_run(page, gateway, name)
    runs.get_by_role("button", name="Judges").click()
    shown = runs.get_by_role("region", name="Judge", exact=True)
    expect(shown).to_contain_text("Running · 1 of 4 graded · $0.0123")
    shown.get_by_role("button", name="Pause").click()
    expect(shown).to_contain_text("Paused · 1 of 4 graded")
    expect(shown.get_by_role("button", name="Continue")).to_be_focused()
    shown.get_by_role("button", name="Continue").click()
    expect(shown).to_contain_text("Running")
    # It is looked at again once something is told of the run.
    judge.update(state="incomplete", error={"code": "model_failed", "message": "it is gone"})
    (known,) = (
        one for one in page.request.get(f"{gateway.url}runs").json()["runs"] if one["name"] == name
    )
    page.request.patch(f"{gateway.url}runs/{known['id']}", data={"name": f"Renamed {name}"})
    expect(shown).to_contain_text("It is gone.")
    assert done == ["pause", "continue"]
