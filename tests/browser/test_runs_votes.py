"""Blind votes on the answers of a run: what is hidden, what is kept, and that none is lost."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, Request, Route, expect

from tests.browser.answered_runs import TEXTS, a_run, open_run
from tests.browser.conftest import writing
from tests.browser.gateway import Gateway
from tests.browser.helpers import assert_fits, axe_violations, schemes
from tests.browser.watch import Watch
from tests.conftest import KeepLog

pytestmark = pytest.mark.needs_chromium

# Tells whether the page asks before it closes.
LEAVE = """() => {
  const leaving = new Event('beforeunload', { cancelable: true });
  dispatchEvent(leaving);
  return leaving.defaultPrevented;
}"""
TARGETS = ("Alpha", "Beta", "Gamma")
# What would tell whose an answer is.
TELLING = re.compile(r"alpha|beta|gamma|judge|\d (?:s|ms|tokens?)\b|complete|/s\b", re.IGNORECASE)

DONE: dict[str, Any] = {"prompt": 1, "repeat": 0, "state": "done"}
ROW: dict[str, Any] = {
    "prompt": 1,
    "text": "Which?",
    "cells": [
        DONE | {"target": 0, "finish_reason": "stop"},
        DONE | {"target": 1, "finish_reason": "failed", "code": "engine_error"},
    ],
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with writing(tmp_path_factory.mktemp("votes"), TEXTS, delay_ms=1) as gateway:
        yield gateway


@pytest.fixture
def gateway(models: Gateway, keep_log: KeepLog) -> Gateway:
    keep_log("the server", lambda: models.log)
    return models


def votes_of(page: Page, gateway: Gateway, name: str) -> list[dict[str, Any]]:
    """Return what the server has of the votes on a run."""
    listed = page.request.get(f"{gateway.url}runs").json()["runs"]
    (run,) = [one for one in listed if one["name"] == name]
    votes: list[dict[str, Any]] = page.request.get(f"{gateway.url}runs/{run['id']}/votes").json()[
        "votes"
    ]
    return votes


def begin_voting(runs: Locator) -> None:
    runs.get_by_role("button", name="Vote blind").click()
    expect(runs.get_by_role("region", name="Answer A")).to_be_visible()


def order(runs: Locator) -> list[int]:
    """Return the targets whose answers are shown, in their order."""
    shown = runs.get_by_role("region", name="Answers").locator(".answer").all_inner_texts()
    known = [text.replace("**", "") for text in TEXTS.values()]
    return [known.index(text.strip()) for text in shown]


def assert_blind(runs: Locator) -> None:
    """Assert that neither text nor attributes tell whose an answer is."""
    html = runs.locator(".run-whole").evaluate("(one) => one.outerHTML")
    seen = html.replace("It is <strong>Paris</strong>.", "").replace("It may be Lima.", "")
    assert not TELLING.search(seen), seen


def test_votes_are_blind_by_keys_and_kept_as_they_were_seen(
    page: Page, gateway: Gateway, watch: Watch, artifacts: Path
) -> None:
    name = a_run(page, gateway, 3, *TARGETS)
    runs = open_run(page, gateway, name)
    begin_voting(runs)
    place = runs.get_by_role("status")
    expect(place).to_have_text("Prompt 1 of 3 · 0 of 3 voted")
    expect(runs.get_by_role("button", name="Show names")).to_be_hidden()
    assert_blind(runs)
    for scheme in schemes(page):
        page.screenshot(path=artifacts / f"vote-{scheme}.png")
        assert axe_violations(page) == []

    seen = order(runs)
    assert sorted(seen) == [0, 1, 2]
    paris = "ABC"[seen.index(0)]
    page.keyboard.press(paris.lower())
    best = runs.get_by_role("button", name=f"{paris} is best")
    expect(best).to_have_attribute("aria-pressed", "true")
    expect(place).to_have_text("Prompt 1 of 3 · 1 of 3 voted")
    assert_blind(runs)
    page.screenshot(path=artifacts / "vote-chosen.png")
    runs.get_by_role("button", name="Show names").click()
    expect(runs.get_by_role("heading", name=f"{paris}: Alpha")).to_be_visible()
    with pytest.raises(AssertionError, match="Alpha"):
        assert_blind(runs)
    page.keyboard.press("Enter")
    expect(place).to_have_text("Prompt 2 of 3 · 1 of 3 voted")
    assert_blind(runs)
    # By figures; several may be best; the same key takes it back.
    page.keyboard.press("1")
    page.keyboard.press("2")
    expect(runs.get_by_role("button", name="B is best")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("2")
    expect(runs.get_by_role("button", name="B is best")).to_have_attribute("aria-pressed", "false")
    page.keyboard.press("Backspace")
    expect(place).to_have_text("Prompt 1 of 3 · 2 of 3 voted")
    expect(best).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("ArrowRight")
    expect(place).to_have_text("Prompt 2 of 3 · 2 of 3 voted")

    # It goes on at the first without a vote, in the order in which answers were seen.
    page.keyboard.press("Escape")
    expect(runs.get_by_role("grid")).to_be_visible()
    begin_voting(runs)
    expect(place).to_have_text("Prompt 3 of 3 · 2 of 3 voted")
    page.keyboard.press("0")
    expect(runs.get_by_role("button", name="None is better")).to_have_attribute(
        "aria-pressed", "true"
    )
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(place).to_have_text("Prompt 1 of 3 · 3 of 3 voted")
    assert order(runs) == seen
    for _ in range(3):
        page.keyboard.press("Enter")
    expect(runs.get_by_text("All have your vote.")).to_be_visible()
    runs.get_by_role("button", name="Show names and ranking").click()
    ranking = runs.get_by_role("region", name="Ranking")
    expect(ranking.get_by_role("row", name="Alpha")).to_be_visible()
    expect(runs.get_by_text("Made of 3 votes by 1 voter, all of them blind.")).to_be_visible()
    expect(runs.get_by_text("too few to tell who is better")).to_be_visible()
    assert axe_violations(page) == []
    page.screenshot(path=artifacts / "vote-end.png")
    page.keyboard.press("Escape")
    runs.get_by_role("button", name="Results").click()
    votes = runs.get_by_role("region", name=re.compile("votes$")).last
    expect(votes.get_by_role("row", name="Alpha")).to_be_visible()
    expect(runs.get_by_text("Made of 3 votes by 1 voter, all of them blind.")).to_be_visible()
    expect(runs.get_by_role("region", name=re.compile("^Judge"))).to_have_count(0)
    page.screenshot(path=artifacts / "results-votes.png")

    first, second, third = votes_of(page, gateway, name)
    assert (first["among"], first["winners"], first["blind"]) == (seen, [0], True)
    assert second["winners"] == second["among"][:1]
    assert (third["winners"], sorted(third["among"])) == ([], [0, 1, 2])
    assert watch.complaints == []


def test_a_vote_after_names_were_seen_is_not_blind_even_after_a_reload(
    page: Page, gateway: Gateway
) -> None:
    name = a_run(page, gateway, 3, "Alpha", "Beta")
    runs = open_run(page, gateway, name)
    runs.get_by_role("rowheader", name="Which capital is number 3?").click()
    expect(runs.get_by_role("region", name="Alpha").locator("strong")).to_have_text("Paris")
    page.keyboard.press("Escape")
    begin_voting(runs)
    place = runs.get_by_role("status")
    page.keyboard.press("a")
    runs.get_by_role("button", name="Show names").click()
    page.keyboard.press("Enter")
    expect(place).to_have_text("Prompt 2 of 3 · 1 of 3 voted")
    with page.expect_response("**/prompts/1/vote"):
        page.keyboard.press("a")
    expect(place).to_have_text("Prompt 2 of 3 · 2 of 3 voted")
    runs = open_run(page, gateway, name)
    begin_voting(runs)
    place = runs.get_by_role("status")
    expect(place).to_have_text("Prompt 3 of 3 · 2 of 3 voted")
    page.keyboard.press("a")
    page.keyboard.press("ArrowLeft")
    expect(place).to_have_text("Prompt 2 of 3 · 3 of 3 voted")
    page.keyboard.press("ArrowLeft")
    expect(place).to_have_text("Prompt 1 of 3 · 3 of 3 voted")
    with page.expect_response("**/prompts/0/vote"):
        page.keyboard.press("b")
    assert [vote["blind"] for vote in votes_of(page, gateway, name)] == [False, True, False]


def test_two_at_a_time_draws_pairs_of_every_repeat(page: Page, gateway: Gateway) -> None:
    name = a_run(page, gateway, 1, *TARGETS, repeats=3)
    runs = open_run(page, gateway, name)
    begin_voting(runs)
    runs.get_by_role("button", name="Two at a time").click()
    place = runs.get_by_role("status")
    expect(runs.get_by_role("region", name="Answer C")).to_have_count(0)
    for time in (1, 2, 3):
        expect(place).to_have_text(f"Prompt 1 of 1, time {time} of 3 · {time - 1} of 3 voted")
        page.keyboard.press("a")
        page.keyboard.press("b")  # instead
        expect(runs.get_by_role("button", name="A is better")).to_have_attribute(
            "aria-pressed", "false"
        )
        page.keyboard.press("Enter")
    expect(runs.get_by_text("All have your vote.")).to_be_visible()
    # Each of the three pairs came once.
    runs.get_by_role("button", name="Show names and ranking").click()
    expect(runs.get_by_text("Made of 3 votes")).to_be_visible()
    page.keyboard.press("Escape")
    votes = votes_of(page, gateway, name)
    assert sorted(sorted(vote["among"]) for vote in votes) == [[0, 1], [0, 2], [1, 2]]
    assert [vote["winners"] for vote in votes] == [vote["among"][1:] for vote in votes]


def test_a_run_without_two_answers_has_nothing_to_vote_on(page: Page, gateway: Gateway) -> None:
    name = a_run(page, gateway, 2, "Alpha", "Beta")
    page.route(
        "**/rows?*",
        lambda route: route.fulfill(json={"total": 2, "rows": [ROW | {"prompt": 0}, ROW]}),
    )
    runs = open_run(page, gateway, name)
    runs.get_by_role("button", name="Vote blind").click()
    expect(runs.get_by_text("No prompt has two complete answers.")).to_be_visible()
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    expect(runs.get_by_role("status")).to_have_text("0 of 0 voted")
    assert votes_of(page, gateway, name) == []


def test_votes_wait_while_the_server_is_away_and_none_is_lost(page: Page, gateway: Gateway) -> None:
    name = a_run(page, gateway, 2, "Alpha", "Beta")
    runs = open_run(page, gateway, name)
    begin_voting(runs)
    page.route("**/vote", lambda route: route.abort())
    page.keyboard.press("a")
    alert = runs.get_by_role("alert")
    expect(alert).to_contain_text("A vote is not saved yet, and kept here.")
    expect(runs.get_by_role("button", name="A is better")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Enter")
    expect(runs.get_by_role("status")).to_have_text("Prompt 2 of 2 · 1 of 2 voted")
    page.keyboard.press("b")
    expect(alert).to_contain_text("2 votes are not saved yet")
    assert axe_violations(page) == []
    assert votes_of(page, gateway, name) == []
    # Neither another screen nor another look loses them.
    page.keyboard.press("Escape")
    runs.get_by_role("button", name="Vote blind").click()
    expect(runs.get_by_text("All have your vote.")).to_be_visible()
    expect(alert).to_contain_text("2 votes are not saved yet")
    assert page.evaluate(LEAVE)
    page.unroute("**/vote")
    runs.get_by_role("button", name="Try again").click()
    expect(alert).to_be_empty()
    assert not page.evaluate(LEAVE)
    votes = votes_of(page, gateway, name)
    assert [vote["winners"] for vote in votes] == [
        votes[0]["among"][:1],
        votes[1]["among"][1:],
    ]


def test_a_key_that_comes_before_the_answers_votes_on_none(page: Page, gateway: Gateway) -> None:
    name = a_run(page, gateway, 2, "Alpha", "Beta")
    held: list[Route] = []
    page.route("**/prompts/1", lambda route: held.insert(0, route))
    runs = open_run(page, gateway, name)
    with page.expect_request("**/prompts/1"):
        begin_voting(runs)
    page.keyboard.press("a")
    expect(runs.get_by_role("status")).to_have_text("Prompt 1 of 2 · 1 of 2 voted")
    page.keyboard.press("Enter")
    page.keyboard.press("a")  # it would take the first vote back
    page.keyboard.press("b")
    held[0].continue_()
    place = runs.get_by_role("status")
    expect(place).to_have_text("Prompt 2 of 2 · 1 of 2 voted")
    page.keyboard.press("Backspace")
    expect(place).to_have_text("Prompt 1 of 2 · 1 of 2 voted")
    expect(runs.get_by_role("button", name="A is better")).to_have_attribute("aria-pressed", "true")


def test_answers_that_cannot_be_read_leave_those_in_sight(page: Page, gateway: Gateway) -> None:
    name = a_run(page, gateway, 3, "Alpha", "Beta")
    others = re.compile(r"/prompts/[12]$")
    page.route(others, lambda route: route.abort())
    runs = open_run(page, gateway, name)
    begin_voting(runs)
    failed: list[Request] = []

    def both(request: Request) -> bool:
        failed.extend([request] if others.search(request.url) else [])
        return len(failed) == 2

    # A key that comes before both have failed is about other answers, and does nothing.
    with page.expect_event("requestfailed", both):
        page.keyboard.press("Enter")
        page.keyboard.press("Enter")
    expect(runs.get_by_role("alert").filter(has_text="cannot be reached")).to_be_visible()
    page.keyboard.press("a")
    place = runs.get_by_role("status")
    expect(place).to_have_text("Prompt 1 of 3 · 1 of 3 voted")
    page.unroute(others)
    page.keyboard.press("Enter")
    expect(place).to_have_text("Prompt 2 of 3 · 1 of 3 voted")
    expect(runs.get_by_role("alert").filter(has_text="cannot be reached")).to_have_count(0)


def test_a_vote_that_is_refused_is_told_at_its_prompt(page: Page, gateway: Gateway) -> None:
    name = a_run(page, gateway, 2, "Alpha", "Beta")
    runs = open_run(page, gateway, name)
    begin_voting(runs)
    refusal = {"code": "invalid_command", "message": "target 1 has no answer", "hint": None}
    page.route("**/vote", lambda route: route.fulfill(status=409, json={"error": refusal}))
    page.keyboard.press("a")
    alert = runs.get_by_role("alert")
    expect(alert).to_contain_text("The vote on prompt 1 was not taken")
    expect(alert).not_to_contain_text("target")
    expect(runs.get_by_role("status")).to_have_text("Prompt 1 of 2 · 0 of 2 voted")


def test_a_vote_that_is_refused_after_its_screen_was_left_is_told(
    page: Page, gateway: Gateway
) -> None:
    name = a_run(page, gateway, 1, "Alpha", "Beta")
    runs = open_run(page, gateway, name)
    begin_voting(runs)
    held: list[Route] = []
    page.route("**/vote", lambda route: held.insert(0, route))
    with page.expect_request("**/vote"):
        page.keyboard.press("a")
    page.keyboard.press("Escape")
    expect(runs.get_by_role("grid")).to_be_visible()
    refusal = {"code": "invalid_command", "message": "target 1 has no answer", "hint": None}
    held[0].fulfill(status=409, json={"error": refusal})
    alert = runs.get_by_role("alert")
    expect(alert).to_contain_text("A vote on prompt 1 of a run that was left was not taken")
    runs.get_by_role("button", name="Results").click()
    expect(runs.get_by_text("Nobody has voted.")).to_be_visible()
    expect(alert).to_contain_text("was not taken")
    assert axe_violations(page) == []
    runs.get_by_role("button", name="I have read it").click()
    expect(alert).to_have_count(0)


def test_an_answer_that_comes_leaves_the_folds_of_others_open(page: Page, gateway: Gateway) -> None:
    name = a_run(page, gateway, 1, "Alpha", "Beta")
    runs = open_run(page, gateway, name)
    run = f"{gateway.url}runs/{page.url.split('#run=')[1]}"
    whole = page.request.get(f"{run}/prompts/0").json()
    first, second = sorted(whole["answers"], key=lambda answer: int(answer["target"]))
    first["reasoning"] = "Hm, a river."
    given = [whole | {"answers": [first]}]
    page.route("**/prompts/0", lambda route: route.fulfill(json=given[-1]))
    runs.get_by_role("rowheader").first.click()
    beta = runs.get_by_role("region", name="Beta")
    expect(beta.get_by_text("No answer.")).to_be_visible()
    runs.get_by_text("Thinking").click()
    expect(runs.get_by_text("Hm, a river.")).to_be_visible()
    given.append(whole | {"answers": [first, second]})
    page.request.patch(run, data={"name": f"{name} again"})  # so that the page looks again
    expect(beta.get_by_text("It may be Lima.")).to_be_visible()
    expect(beta.get_by_text("No answer.")).to_be_hidden()
    expect(runs.get_by_text("Hm, a river.")).to_be_visible()
    expect(runs.locator("summary", has_text="Thinking")).to_be_focused()


def test_where_a_run_is_deleted_elsewhere_its_prompt_and_its_ballots_say_so(
    page: Page, gateway: Gateway
) -> None:
    for opens in (False, True):
        name = a_run(page, gateway, 2, "Alpha", "Beta")
        runs = open_run(page, gateway, name)
        address = page.url.split("#run=")[1]
        if opens:
            runs.get_by_role("rowheader").first.click()
            expect(runs.get_by_role("region", name="Alpha")).to_be_visible()
        else:
            begin_voting(runs)
        page.request.delete(f"{gateway.url}runs/{address}")
        expect(runs.get_by_role("alert").filter(has_text=re.compile(r"\w"))).to_contain_text(
            "The run was deleted, or is no longer shared"
        )
        page.keyboard.press("a")
        expect(runs.get_by_text("Vote again")).to_have_count(0)


@pytest.mark.timeout(120)
def test_on_a_phone_answers_are_chosen_by_touch(
    browser: Browser, gateway: Gateway, watch: Watch, artifacts: Path
) -> None:
    context = browser.new_context(
        viewport={"width": 1440, "height": 900}, has_touch=True, is_mobile=True, color_scheme="dark"
    )
    page = context.new_page()
    watch.follow(page)
    name = a_run(page, gateway, 1, *TARGETS)
    runs = open_run(page, gateway, name)
    page.set_viewport_size({"width": 390, "height": 844})
    begin_voting(runs)
    page.screenshot(path=artifacts / "vote-phone.png")
    assert_fits(page, ".run-answers")
    assert axe_violations(page) == []
    runs.get_by_role("button", name="C is best").tap()
    expect(runs.get_by_role("status")).to_have_text("Prompt 1 of 1 · 1 of 1 voted")
    runs.get_by_role("button", name="Next").tap()
    runs.get_by_role("button", name="Show names and ranking").tap()
    expect(runs.get_by_role("region", name="Ranking")).to_be_visible()
    page.screenshot(path=artifacts / "vote-phone-end.png")
    assert_fits(page, ".runs-body")
    assert axe_violations(page) == []
    runs.get_by_role("button", name="Back").tap()
    runs.get_by_role("button", name="Judges").tap()
    page.screenshot(path=artifacts / "judges-phone.png")
    assert_fits(page, ".runs-body")
    assert axe_violations(page) == []
    assert watch.complaints == []
    context.close()
