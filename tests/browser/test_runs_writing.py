"""The answers to one prompt of a run, side by side, while they are written."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Request, expect

from tests.browser.gateway import Gateway, Wire
from tests.browser.helpers import assert_fits, axe_violations, open_page, schemes
from tests.browser.thinker import Thinker, thinking
from tests.browser.watch import Watch
from tests.conftest import KeepLog

pytestmark = pytest.mark.needs_chromium

THOUGHT = "It is by the sea."
TEXT = "It is **Lima**, by the sea, and it is large."
# Events with words of the thought come before those of the answer.
HELD_AMID_TEXT = "--hold-after=15"
Held = tuple[Gateway, Thinker]


@pytest.fixture
def held(tmp_path: Path, keep_log: KeepLog) -> Iterator[Held]:
    """Run a model that stops amid its answer until it is released, and a gateway before it."""
    flags = (f"--reasoning={THOUGHT}", f"--text={TEXT}", HELD_AMID_TEXT)
    with thinking(tmp_path, *flags) as (gateway, thinker):
        keep_log("the server", lambda: gateway.log)
        yield gateway, thinker


def begun(page: Page, gateway: Gateway, prompts: int = 1, **more: Any) -> str:
    """Begin a run; return its id."""
    asked = {
        "prompts": [f"Which capital is number {number}?" for number in range(1, prompts + 1)],
        "checks": [{"type": "contains", "value": "Lima"}],
    }
    kept = page.request.post(f"{gateway.url}prompt-sets", data=asked).json()
    given = {"prompt_set": kept["id"], "targets": [{"model": "thinker"}], **more}
    reply = page.request.post(f"{gateway.url}runs", data=given)
    assert reply.ok, reply.text()
    run: str = reply.json()["id"]
    return run


def opened(page: Page, url: str, run: str, prompt: int = 0) -> Locator:
    """Open the page at a prompt of a run; return the dialog."""
    open_page(page, f"{url}#run={run}&prompt={prompt + 1}")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("region", name="Thinker")).to_be_visible()
    return dialog


def answer(runs: Locator) -> Locator:
    return runs.get_by_role("region", name="Thinker").locator(".answer:not(.thoughts)")


def streams(page: Page) -> list[Request]:
    """Return what follows prompts from now on."""
    found: list[Request] = []

    def note(request: Request) -> None:
        if request.url.endswith("/events"):
            found.append(request)

    page.on("request", note)
    return found


def test_text_grows_and_becomes_the_whole_answer_where_it_stands(
    page: Page, held: Held, watch: Watch, artifacts: Path
) -> None:
    gateway, thinker = held
    run = begun(page, gateway)
    thinker.reaches(held=1)
    runs = opened(page, gateway.url, run)
    thinker_region = runs.get_by_role("region", name="Thinker")
    expect(answer(runs).locator("strong")).to_have_text("Lima")
    expect(thinker_region).to_contain_text("Writing…")
    expect(thinker_region.locator(".thoughts")).to_be_empty()
    thinker_region.get_by_text("Thinking", exact=True).click()
    expect(thinker_region.locator(".thoughts")).to_have_text(THOUGHT)
    thinker_region.locator("article").evaluate("(one) => { one.wasThere = true; }")
    for scheme in schemes(page):
        page.screenshot(path=artifacts / f"writing-{scheme}.png")
        assert axe_violations(page) == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert_fits(page, ".run-answers")
    page.screenshot(path=artifacts / "writing-phone.png")
    page.set_viewport_size({"width": 1440, "height": 900})
    seen = page.evaluate("localStorage.getItem('sidestream.seenBallots')")
    assert f"{run} 0 0" in seen, "who has read a part of it with its name votes blind no more"
    thinker.release()
    expect(thinker_region.get_by_role("list", name="Checks")).to_contain_text("Passed: contains")
    expect(answer(runs)).to_have_text("It is Lima, by the sea, and it is large.")
    expect(thinker_region).to_contain_text("Complete")
    expect(thinker_region).not_to_contain_text("Writing…")
    expect(thinker_region.locator(".thoughts")).to_be_visible()
    assert thinker_region.locator("article").evaluate("(one) => one.wasThere")
    expect(runs.get_by_role("status")).to_have_text("Prompt 1 of 1")
    assert axe_violations(page) == []
    assert watch.complaints == []


def test_another_prompt_ends_the_stream_at_once_and_the_way_back_begins_one(
    page: Page, held: Held, watch: Watch
) -> None:
    gateway, thinker = held
    run = begun(page, gateway, prompts=2)
    thinker.reaches(held=2)
    found = streams(page)
    runs = opened(page, gateway.url, run)
    expect(answer(runs).locator("strong")).to_have_text("Lima")
    with page.expect_event("requestfailed", lambda request: "/prompts/0/" in request.url):
        page.keyboard.press("ArrowRight")
    expect(runs.get_by_role("status")).to_have_text("Prompt 2 of 2")
    expect(answer(runs).locator("strong")).to_have_text("Lima")
    with page.expect_event("requestfailed", lambda request: "/prompts/1/" in request.url):
        page.keyboard.press("ArrowLeft")
    expect(runs.get_by_role("status")).to_have_text("Prompt 1 of 2")
    expect(answer(runs).locator("strong")).to_have_text("Lima")
    assert [request.url.split("/prompts/")[1] for request in found] == [
        "0/events",
        "1/events",
        "0/events",
    ]
    with page.expect_event("requestfailed", lambda request: "/prompts/0/" in request.url):
        page.keyboard.press("Escape")
    expect(runs.get_by_role("grid")).to_be_visible()
    thinker.release()
    expect(runs.get_by_role("status")).to_contain_text("Done")
    assert watch.complaints == []


def test_after_a_cut_the_text_goes_on_without_a_word_twice(page: Page, held: Held) -> None:
    gateway, thinker = held
    run = begun(page, gateway)
    thinker.reaches(held=1)
    with Wire(gateway.port) as wire:
        found = streams(page)
        runs = opened(page, wire.url, run)
        expect(answer(runs).locator("strong")).to_have_text("Lima")
        # What stands there is not written anew, and never taken away.
        answer(runs).locator("strong").evaluate("(one) => { one.wasThere = true; }")
        before = answer(runs).text_content()
        for _ in range(2):
            # With its response it has told all that is there.
            with page.expect_response(lambda response: response.url.endswith("/events")):
                wire.cut()
        assert answer(runs).text_content() == before
        thinker.release()
        expect(runs.get_by_role("list", name="Checks")).to_contain_text("Passed: contains")
        expect(answer(runs)).to_have_text("It is Lima, by the sea, and it is large.")
        assert answer(runs).locator("strong").evaluate("(one) => one.wasThere")
        assert len(found) >= 3


def test_an_answer_that_a_restarted_server_asks_again_begins_anew(page: Page, held: Held) -> None:
    gateway, thinker = held
    run = begun(page, gateway)
    thinker.reaches(held=1)
    runs = opened(page, gateway.url, run)
    expect(answer(runs).locator("strong")).to_have_text("Lima")
    gateway.stop(signal.SIGKILL)
    gateway.start()
    thinker.reaches(held=2)
    thinker.release()
    expect(runs.get_by_role("list", name="Checks")).to_contain_text("Passed: contains")
    expect(answer(runs)).to_have_text("It is Lima, by the sea, and it is large.")
    expect(runs.locator(".run-answer")).to_have_count(1)


def test_what_a_cancelled_run_has_not_answered_is_taken_back_and_asked_again(
    page: Page, held: Held, watch: Watch
) -> None:
    gateway, thinker = held
    run = begun(page, gateway)
    thinker.reaches(held=1)
    runs = opened(page, gateway.url, run)
    expect(answer(runs).locator("strong")).to_have_text("Lima")
    runs.get_by_text("Thinking", exact=True).focus()
    page.request.post(f"{gateway.url}runs/{run}/cancel")
    expect(runs.get_by_role("region", name="Thinker")).to_contain_text("No answer.")
    expect(runs.get_by_role("region", name="Thinker")).to_be_focused()
    expect(runs.locator(".run-answer")).to_have_count(0)
    page.request.post(f"{gateway.url}runs/{run}/continue")
    expect(answer(runs).locator("strong")).to_have_text("Lima")
    thinker.release()
    expect(runs.get_by_role("list", name="Checks")).to_contain_text("Passed: contains")
    assert watch.complaints == []


def test_a_deleted_run_ends_the_stream(page: Page, held: Held, watch: Watch) -> None:
    gateway, thinker = held
    run = begun(page, gateway)
    thinker.reaches(held=1)
    found = streams(page)
    runs = opened(page, gateway.url, run)
    expect(answer(runs).locator("strong")).to_have_text("Lima")
    page.request.delete(f"{gateway.url}runs/{run}")
    expect(runs.get_by_role("alert")).to_contain_text("The run was deleted, or is no longer shared")
    assert len(found) == 1
    thinker.release()
    assert watch.complaints == []


def test_a_stream_that_fell_silent_is_not_waited_for_once_the_run_is_over(
    page: Page, held: Held
) -> None:
    gateway, thinker = held
    run = begun(page, gateway)
    thinker.reaches(held=1)
    # Nothing comes of it, and it does not end either.
    page.route("**/prompts/0/events", lambda route: None)
    with page.expect_request("**/prompts/0/events"):
        runs = opened(page, gateway.url, run)
    thinker.release()
    expect(runs.get_by_role("list", name="Checks")).to_contain_text("Passed: contains")
    expect(answer(runs)).to_have_text("It is Lima, by the sea, and it is large.")
