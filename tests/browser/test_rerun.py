"""A stored chat asked again: equal if nothing has changed, else with the differences."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.gateway import Gateway
from tests.browser.helpers import (
    ask,
    axe_violations,
    begin,
    column,
    expect_end,
    expect_longer,
    open_page,
    schemes,
    turn,
)
from tests.browser.watch import Watch

pytestmark = pytest.mark.needs_chromium

NAMES = ("Small", "Brief")
Stored = dict[str, Any]


def talk(page: Page, gateway: Gateway) -> None:
    """Have two models answer twice, one of them once more, with details."""
    begin(page, gateway.url, *NAMES, tokens=12)
    page.get_by_role("button", name="How sure", exact=True).click()
    ask(page, "Name a river.")
    for name in NAMES:
        expect_end(column(page, name))
    turn(column(page, "Small")).get_by_role("button", name="Go on with this answer").click()
    expect(column(page, "Small").locator(".figures")).to_contain_text("Tokens24")
    ask(page, "And a lighthouse?")
    for name in NAMES:
        expect_end(column(page, name))


def conversations(gateway: Gateway) -> list[Stored]:
    with urlopen(f"{gateway.url}conversations") as response:
        found: list[Stored] = json.load(response)["conversations"]
    return found


def stored(gateway: Gateway, conversation: str) -> Stored:
    with urlopen(f"{gateway.url}conversations/{conversation}?full=1") as response:
        found: Stored = json.load(response)
    return found


def look_at(page: Page, title: str) -> Locator:
    """Open the dialog of the first chat of this name."""
    if page.locator("chat-list").is_hidden():
        page.get_by_role("tab", name="Chats").click()
    page.get_by_role("button", name=f"More: {title}", exact=True).first.click()
    page.get_by_role("menuitem", name="Run again and compare…").click()
    return page.get_by_role("dialog", name="Run again")


def import_changed(
    page: Page, gateway: Gateway, tmp_path: Path, change: Callable[[Stored], object]
) -> str:
    """Export the newest chat, change it, import that under a title of its own; return it."""
    title = tmp_path.name
    newest = conversations(gateway)[0]["id"]
    with urlopen(f"{gateway.url}conversations/{newest}/export?form=json") as response:
        export = json.load(response)
    export["conversation"]["title"] = title
    change(export["conversation"])
    file = tmp_path / "changed.json"
    file.write_text(json.dumps(export))
    page.get_by_role("tab", name="Chats").click()
    page.get_by_label("File to import").set_input_files(file)
    expect(page.get_by_role("button", name=f"More: {title}", exact=True)).to_have_count(1)
    return title


def outcomes(dialog: Locator) -> Locator:
    return dialog.locator("tbody td:last-child")


@pytest.mark.needs_node
def test_an_export_run_again_says_the_same(
    page: Page, gateway: Gateway, watch: Watch, artifacts: Path, tmp_path: Path
) -> None:
    talk(page, gateway)
    title = import_changed(page, gateway, tmp_path, lambda _: None)
    original = stored(gateway, conversations(gateway)[0]["id"])
    dialog = look_at(page, title)
    expect(outcomes(dialog)).to_have_text(["To be asked"] * 5)
    dialog.get_by_role("button", name="Run again").click()
    expect(dialog.get_by_role("status")).to_have_text("5 the same.")
    for scheme in schemes(page):
        page.screenshot(path=artifacts / f"run-again-{scheme}.png")
        assert axe_violations(page) == [], scheme
    dialog.get_by_role("button", name="The same").first.click()
    both = page.get_by_role("dialog", name="Differences")
    expect(both.get_by_role("status")).to_have_text("They are the same.")
    for scheme in schemes(page):
        assert axe_violations(page) == [], scheme
    page.keyboard.press("Escape")
    page.set_viewport_size({"width": 390, "height": 844})
    for scheme in schemes(page):
        page.screenshot(path=artifacts / f"run-again-phone-{scheme}.png")
        assert axe_violations(page) == [], scheme
    page.set_viewport_size({"width": 1440, "height": 900})
    dialog.get_by_role("button", name="Open as a chat").click()
    expect(page.locator(".turn-name").first).to_have_text("1 · Name a river.")
    expect(page.get_by_role("button", name=f"Again: {title}", exact=True)).to_have_count(1)

    made = stored(gateway, conversations(gateway)[0]["id"])
    assert made["view"]["repeats"] == original["id"]
    before = {one["id"]: one for one in original["answers"]}
    assert [one["repeats"] for one in made["answers"]] == list(before)
    for one in made["answers"]:
        then = before[one["repeats"]]
        assert one["text"] == then["text"]
        assert one["parameters"] == then["parameters"]
        assert one["turn"] == then["turn"]
        assert one["has_tokens"]
    ids = [one["id"] for one in made["answers"]]
    assert [one["continues"] for one in made["answers"]] == [None, None, ids[0], None, None]
    assert [one["parent"] for one in made["turns"]] == [None, made["turns"][0]["id"]]
    assert watch.complaints == []


def test_reruns_report_which_answers_differ_and_why(
    page: Page, gateway: Gateway, tmp_path: Path
) -> None:
    def change(chat: Stored) -> None:
        first, second, third, fourth, fifth = chat["answers"]
        first["text"] = "The Nile, of course."
        second["engine"] |= {"version": "0.1", "weights": "sha256:" + "0" * 64}
        second["text"] = second["text"][:9]
        second["finish_reason"] = "interrupted"
        second["usage"]["completion_tokens"] = 3
        third["engine"] = None
        fourth["model"] = "gone"
        fifth["parameters"]["top_p"] = 2

    talk(page, gateway)
    title = import_changed(page, gateway, tmp_path, change)
    dialog = look_at(page, title)
    expect(outcomes(dialog).nth(3)).to_contain_text("Not possibleThere is no model “gone” here.")
    dialog.get_by_role("button", name="Run again").click()
    expect(dialog.get_by_role("status")).to_have_text(
        "2 the same, 1 different, 1 failed, 1 not possible."
    )
    expect(outcomes(dialog)).to_contain_text(
        ["Different", "The same", "The same", "Not possible", "Failed"]
    )
    told = outcomes(dialog).nth(1)
    expect(told).to_contain_text("Other weights")
    expect(told).to_contain_text(re.compile(r"Another version of the engine: 0\.1 → \S+"))
    expect(outcomes(dialog).nth(2)).to_have_text("The same")
    expect(outcomes(dialog).nth(4)).to_contain_text("top_p")
    dialog.get_by_role("button", name="Different").click()
    both = page.get_by_role("dialog", name="Differences")
    expect(both.get_by_role("region", name="Then")).to_have_text("The Nile, of course.")
    expect(both.locator("mark").first).to_be_visible()


def test_a_run_is_stopped_left_and_gone_on_with(page: Page, gateway: Gateway) -> None:
    begin(page, gateway.url, *NAMES, tokens=150)
    # In turns, as they are asked again: answers that are computed together may differ a little.
    page.get_by_label("How the models are asked").select_option("One after the other")
    ask(page, "Tell me of a river.")
    for name in NAMES:
        expect_end(column(page, name))
    dialog = look_at(page, "Tell me of a river.")
    dialog.get_by_role("button", name="Run again").click()
    expect(outcomes(dialog).first).to_have_text("Writing")
    dialog.get_by_role("button", name="Close").click()
    look_at(page, "Tell me of a river.")
    expect(dialog.get_by_role("button", name="Stop")).to_be_visible()
    dialog.get_by_role("button", name="Stop").click()
    expect(outcomes(dialog)).to_have_text(["To be asked"] * 2)
    expect(dialog.get_by_role("button", name="Go on")).to_be_visible()

    open_page(page, gateway.url)
    look_at(page, "Again: Tell me of a river.")
    dialog.get_by_role("button", name="Go on").click()
    expect(outcomes(dialog)).to_have_text(["The same", "Writing"])
    # What is being asked again is a chat like any other, also while it is written.
    dialog.get_by_role("button", name="Open as a chat").click()
    expect_longer(column(page, "Brief"), 10)
    look_at(page, "Again: Tell me of a river.")
    expect(dialog.get_by_role("status")).to_have_text("2 the same.")
    dialog.get_by_role("button", name="Close").click()
    ask(page, "Hello.")  # the page goes on as before
    expect_end(column(page, "Small"))


def test_one_is_asked_at_a_time_in_whatever_window(
    page: Page, gateway: Gateway, tmp_path: Path
) -> None:
    def lengthen(chat: Stored) -> None:
        (answer,) = chat["answers"]
        answer["finish_reason"] = "interrupted"
        answer["usage"]["completion_tokens"] = 1500  # it takes longer than all that is done here

    begin(page, gateway.url, "Small", tokens=4)
    ask(page, "Tell me of a lake.")
    expect_end(column(page, "Small"))
    title = import_changed(page, gateway, tmp_path, lengthen)
    dialog = look_at(page, title)
    dialog.get_by_role("button", name="Run again").click()
    expect(outcomes(dialog)).to_have_text(["Writing"])
    dialog.get_by_role("button", name="Close").click()

    look_at(page, "Tell me of a lake.")
    dialog.get_by_role("button", name="Run again").click()
    expect(dialog.get_by_role("alert")).to_contain_text(f"“{title}” is being run again.")
    expect(outcomes(dialog)).to_have_text(["To be asked"])

    other = page.context.new_page()
    open_page(other, gateway.url)
    there = look_at(other, f"Again: {title}")
    there.get_by_role("button", name="Go on").click()
    expect(there.get_by_role("alert")).to_contain_text("in another window")
    other.close()

    dialog.get_by_role("button", name="Close").click()
    look_at(page, title)
    dialog.get_by_role("button", name="Stop").click()
    expect(dialog.get_by_role("status")).to_have_text("1 to be asked.")


def test_a_chat_without_answers_is_said_to_have_none(
    page: Page, gateway: Gateway, tmp_path: Path
) -> None:
    begin(page, gateway.url, "Small", tokens=4)
    ask(page, "Name a bird.")
    expect_end(column(page, "Small"))
    title = import_changed(page, gateway, tmp_path, lambda chat: chat.update(answers=[]))
    dialog = look_at(page, "Name a bird.")
    dialog.get_by_role("button", name="Close").click()
    look_at(page, title)
    expect(dialog.get_by_role("status")).to_have_text("There are no answers in this chat.")
    expect(dialog.get_by_role("button", name="Run again")).to_be_hidden()


def test_without_the_server_it_waits_and_says_what_is_wrong(
    page: Page, own_gateway: Gateway
) -> None:
    with page.expect_websocket() as opened:
        begin(page, own_gateway.url, "Small", tokens=300)
    ask(page, "Tell me of a river.")
    expect_end(column(page, "Small"))
    dialog = look_at(page, "Tell me of a river.")
    # What was not yet acknowledged would be asked again by itself.
    with opened.value.expect_event("framereceived", lambda frame: '"delta"' in frame):
        dialog.get_by_role("button", name="Run again").click()
    expect(outcomes(dialog)).to_have_text("Writing")
    own_gateway.stop(9)
    expect(dialog.get_by_role("status")).to_have_text("Waiting for the connection.")
    own_gateway.start()
    expect(dialog.get_by_role("alert")).to_contain_text("no longer")
    expect(outcomes(dialog)).to_have_text("To be asked")
    dialog.get_by_role("button", name="Go on").click()
    expect(dialog.get_by_role("status")).to_have_text("1 the same.")
    own_gateway.stop()
    dialog.get_by_role("button", name="Close").click()
    look_at(page, "Tell me of a river.")
    expect(page.get_by_text("The server cannot be reached.")).to_be_visible()
