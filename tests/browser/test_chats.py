"""The list of chats, as long as a year makes it; their addresses; what goes on behind others."""

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import running
from tests.browser.gateway import ROOT, Gateway
from tests.browser.helpers import ask, axe_violations, choose, column, open_page
from tests.browser.many_chats import ages, chat, give
from tests.browser.thinker import thinking
from tests.browser.watch import Watch
from tests.support.ports import free_ports

pytestmark = pytest.mark.needs_chromium

EXPORTS = ROOT / "tests/recordings/exports"
SETTINGS = """\
[server]
instance = {{instance}}
state_dir = {{directory}}
shutdown_grace = 0

[model small]
name = Small
runner = remote
dialect = openai
url = http://127.0.0.1:{port}/v1

[model brief]
name = Brief
runner = remote
dialect = openai
url = http://127.0.0.1:{port}/v1
"""
CALL = {"index": 0, "id": "call_1", "name": "look", "arguments": "x" * 2000}
RED = "rgb(172, 34, 25)"
IN_ONE_LINE = """({ children }) => {
  const boxes = [...children].map((one) => one.getBoundingClientRect());
  return boxes.every(({ top }) => top < boxes[0].bottom);
}"""
HIDE = """(isHidden) => {
  Object.defineProperty(document, 'hidden', { value: isHidden, configurable: true });
  document.dispatchEvent(new Event('visibilitychange'));
}"""


@pytest.fixture
def idle(tmp_path: Path) -> Iterator[Gateway]:
    """Run a gateway whose models answer nothing."""
    port, _ = free_ports(1)
    with running(tmp_path, SETTINGS.format(port=port)) as gateway:
        yield gateway


def chats(page: Page) -> Locator:
    """Show the list of chats."""
    page.get_by_role("tab", name="Chats").click()
    return page.locator("chat-list")


def reload(page: Page) -> None:
    """Load the page again; to go to its address would only go to the same place in it."""
    page.reload()
    expect(page.locator("connection-state")).to_have_attribute("data-state", "connected")


def stored(gateway: Gateway, query: str = "") -> list[dict[str, Any]]:
    """Return what the server lists."""
    with urlopen(f"{gateway.url}conversations?limit=200{query}") as response:
        found: list[dict[str, Any]] = json.load(response)["conversations"]
    return found


def test_a_long_list_by_keyboard(page: Page, idle: Gateway, watch: Watch, artifacts: Path) -> None:
    several = [chat(number, age, pinned=number == 7) for number, age in enumerate(ages(180))]
    several[3]["conversation"]["tags"] = ["sea"]
    give(idle.url, several)
    open_page(page, idle.url)
    listed = chats(page)
    rows = listed.get_by_role("listitem")
    expect(rows).to_have_count(51)
    headings = listed.get_by_role("heading")
    expect(headings.nth(0)).to_have_text("Pinned")
    expect(headings.nth(1)).to_have_text("Today")
    assert listed.get_by_role("list", name="Pinned").get_by_role("listitem").count() == 1
    first = rows.nth(1).locator(".chat")
    expect(first).to_have_accessible_name(re.compile("^A week in Bergen 0$"))
    expect(first).to_have_accessible_description(re.compile(r"Small|Brief|qwen|llama"))
    page.screenshot(path=artifacts / "chats.png")
    assert axe_violations(page) == []

    # One row can be reached with Tab, and the arrows go on from it.
    listed.get_by_role("button", name="#sea").focus()
    page.keyboard.press("Tab")
    expect(rows.nth(0).get_by_role("checkbox")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    expect(first).to_be_focused()
    # The list grows where it is looked at.
    while (count := rows.count()) < 180:
        page.keyboard.press("End")
        page.wait_for_function(
            "(count) => document.querySelectorAll('chat-list li').length > count", arg=count
        )
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("F2")
    page.keyboard.type("A week in the rain")
    page.keyboard.press("Enter")
    expect(first).to_be_focused()
    expect(first).to_have_accessible_name("A week in the rain")
    page.keyboard.press("Delete")
    expect(listed.get_by_role("status").first).to_contain_text("Deleted “A week in the rain”.")
    expect(listed.get_by_role("button", name="Undo")).to_be_focused()
    page.keyboard.press("Enter")
    expect(first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_title("A week in the rain · Sidestream")
    expect(first).to_have_attribute("aria-current", "true")
    assert watch.complaints == []


def test_several_are_tagged_exported_and_deleted_at_once(
    page: Page, idle: Gateway, tmp_path: Path, artifacts: Path
) -> None:
    give(idle.url, [chat(number, age) for number, age in enumerate(ages(12))])
    open_page(page, idle.url)
    listed = chats(page)
    rows = listed.get_by_role("listitem")
    expect(rows).to_have_count(12)
    bar = listed.get_by_role("toolbar", name="Chosen chats")
    title = "button.chat"
    rows.nth(1).locator(title).click(modifiers=["ControlOrMeta"])
    rows.nth(11).locator(title).click(modifiers=["Shift"])
    expect(bar).to_contain_text("11 chosen")
    assert bar.evaluate(IN_ONE_LINE)
    page.screenshot(path=artifacts / "chats-chosen.png")
    rows.nth(4).locator(title).click(modifiers=["ControlOrMeta"])
    expect(bar).to_contain_text("10 chosen")
    expect(page.locator("answer-column:visible")).to_have_count(0)  # none was opened
    page.keyboard.press("Escape")
    expect(bar).to_be_hidden()
    rows.nth(2).hover()
    rows.nth(2).get_by_role("checkbox").check()
    rows.nth(5).get_by_role("checkbox").click(modifiers=["Shift"])
    expect(bar).to_contain_text("4 chosen")
    bar.get_by_role("button", name="Tags").click()
    dialog = page.get_by_role("dialog", name="Tags of 4 chats")
    assert axe_violations(page) == []
    dialog.get_by_label("New tags").fill("work, a b")
    page.keyboard.press("Enter")
    expect(listed.get_by_role("button", name="#work")).to_be_visible()
    assert [one["tags"] for one in stored(idle, "&tag=work")] == [["a b", "work"]] * 4
    bar.get_by_role("button", name="Export").click()
    with page.expect_download() as download:
        page.get_by_role("menuitem", name="As Markdown").click()
    download.value.save_as(tmp_path / "chats.zip")
    assert len(zipfile.ZipFile(tmp_path / "chats.zip").namelist()) == 4
    rows.nth(2).get_by_role("checkbox").uncheck()
    rows.nth(2).get_by_role("button", name=re.compile("^More")).click()
    page.get_by_role("menuitem", name="Tags…").click()
    dialog = page.get_by_role("dialog", name=re.compile("^Tags of “"))
    dialog.get_by_role("checkbox", name="work").uncheck()
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    listed.get_by_role("button", name="#work").click()
    expect(rows).to_have_count(3)
    expect(bar).to_be_hidden()
    rows.first.hover()
    rows.first.get_by_role("checkbox").check()
    bar.get_by_role("button", name="All").click()
    bar.get_by_role("button", name="Delete").click()
    # The tag is gone with the last that had it, and the list shows all again.
    expect(listed.get_by_role("status").first).to_contain_text("Deleted 3 chats.")
    expect(rows).to_have_count(9)
    listed.get_by_role("button", name="Undo").click()
    expect(rows).to_have_count(12)
    rows.nth(4).get_by_role("button", name=re.compile("^More")).click()
    page.get_by_role("menuitem", name="Pin", exact=True).click()
    expect(listed.get_by_role("list", name="Pinned").get_by_role("listitem")).to_have_count(1)


@pytest.mark.needs_node
def test_long_lines_of_an_exported_page_are_scrolled_by_keys(page: Page, idle: Gateway) -> None:
    long = "x" * 2000
    one = chat(0, 1)
    for answer in one["conversation"]["answers"]:
        answer |= {"text": f"```\n{long}\n```\n\n    {long}", "tool_calls": [CALL]}
    [made] = give(idle.url, [one])
    export = page.request.get(f"{idle.url}conversations/{made}/export?form=html").text()
    page.set_content(export)
    blocks = page.locator("pre")
    assert blocks.count() >= 6
    assert axe_violations(page) == []
    blocks.first.focus()
    expect(blocks.first).to_be_focused()


def test_a_hit_is_shown_in_its_line_and_opens_there(
    page: Page, idle: Gateway, artifacts: Path
) -> None:
    long = "\n\n".join(f"Paragraph {number} of many." for number in range(60))
    whole = chat(0, 100.0, turns=3, title="A journey")
    answers = whole["conversation"]["answers"]
    answers[0]["text"] = f"{long}\n\nFrom **東京都** one takes `the train`.\n\n{long}"
    # A branch that is not shown.
    whole["conversation"]["turns"].append(
        {"id": "b", "parent": "t0", "text": "And by *bicycle* then?", "created": 1.0}
    )
    whole["conversation"]["view"] = {"leaf": "t2"}
    give(idle.url, [whole, chat(1, 200.0), chat(2, 300.0)])
    open_page(page, idle.url)
    listed = chats(page)
    search = listed.get_by_role("searchbox")
    search.fill("京都 train")
    expect(listed.locator(".chat-words")).to_have_text(["From 東京都 one takes the train."])
    expect(listed.locator("mark")).to_have_text(["京都", "train"])
    page.screenshot(path=artifacts / "search-hit.png")
    listed.locator(".chat").click()
    found = "() => [...CSS.highlights.get('found') ?? []].map(String)"
    page.wait_for_function(f"({found})().length === 2")
    assert page.evaluate(found) == ["京都", "train"]
    expect(page.get_by_text("東京都").first).to_be_in_viewport()
    search.fill("bicycle")
    expect(listed.locator(".chat-words")).to_have_text(["And by bicycle then?"])
    listed.locator(".chat").click()
    expect(page.locator("turn-strip .prompt")).to_have_text("And by *bicycle* then?")
    page.wait_for_function(f"({found})().length === 1")
    search.fill("nowhere to be found")
    expect(listed).to_contain_text("Nothing found.")
    search.fill("")
    expect(listed.get_by_role("listitem")).to_have_count(3)
    assert page.evaluate(found) == []


def test_exports_of_other_tools_are_imported_or_refused_in_words(
    page: Page, idle: Gateway, tmp_path: Path, artifacts: Path
) -> None:
    open_page(page, idle.url)
    choose(page, "Small", "Brief")
    listed = chats(page)
    expect(listed).to_contain_text("What you ask is kept here.")
    notice = listed.get_by_role("status").first
    wrong = tmp_path / "wrong.json"
    for body, words in (
        ('[{"a": 1}]', "This is not a Sidestream export, nor one of ChatGPT or Open WebUI"),
        ('{"hello": 1}', "an object with the field hello."),
        ('[{"mapping": {"a": {"message": {}}}}]', "author of message"),
        ("[{", "it breaks off in line 1"),
    ):
        wrong.write_text(body)
        listed.get_by_label("File to import").set_input_files(wrong)
        expect(notice).to_contain_text(words)
        expect(notice.locator(".is-wrong")).to_have_css("color", RED)
    expect(listed.get_by_role("listitem")).to_have_count(0)
    listed.get_by_label("File to import").set_input_files(EXPORTS / "chatgpt.json")
    expect(notice).to_contain_text("Imported 2 chats of ChatGPT. Left out: 1 picture")
    listed.get_by_role("button", name="Undo").click()
    expect(listed.get_by_role("listitem")).to_have_count(0)
    listed.get_by_label("File to import").set_input_files(EXPORTS / "open_webui.json")
    expect(listed.get_by_role("listitem")).to_have_count(2)
    listed.get_by_role("button", name="A picture", exact=True).click()
    # Its models are not here; its columns are, also after a reload.
    for _ in range(2):
        expect(column(page, "qwen:4b")).to_contain_text("One pixel.")
        expect(column(page, "qwen:4b").locator("header")).to_contain_text("Model not here")
        expect(page.locator("answer-column")).to_have_count(3)
        reload(page)
    ask(page, "And now?")
    alert = column(page, "qwen:4b").get_by_role("alert")
    expect(alert).to_contain_text("“Replace the model…” in")
    page.screenshot(path=artifacts / "models-not-here.png")
    assert axe_violations(page) == []
    page.get_by_role("button", name="New chat").click()
    expect(page.locator(".welcome-models .chip")).to_have_text(["Small", "Brief"])


def test_each_chat_has_an_address_and_one_opens_a_comparison(page: Page, idle: Gateway) -> None:
    ids = give(idle.url, [chat(0, 10.0, title="One"), chat(1, 20.0, title="Two")])
    open_page(page, idle.url)
    expect(page).to_have_title("Sidestream")
    choose(page, "Small", "Brief")
    listed = chats(page)
    for number, title in enumerate(("One", "Two")):
        listed.get_by_role("button", name=title, exact=True).click()
        expect(page).to_have_url(f"{idle.url}#chat={ids[number]}")
        expect(page).to_have_title(f"{title} · Sidestream")
    page.go_back()
    expect(page).to_have_title("One · Sidestream")
    page.go_back()
    expect(page).to_have_title("Sidestream")
    expect(page).to_have_url(idle.url)
    page.go_forward()
    page.go_forward()
    expect(page).to_have_title("Two · Sidestream")
    expect(page.locator(".prompt").first).to_be_visible()
    # In another tab, where nothing was open.
    other = page.context.new_page()
    open_page(other, f"{idle.url}#chat={ids[0]}")
    expect(other).to_have_title("One · Sidestream")
    open_page(other, f"{idle.url}?elsewhere#chat=c_none")
    expect(other.locator(".hint.is-fault")).to_contain_text("The chat of this address is not there")
    other.close()

    page.get_by_role("button", name="New chat").click()
    prompt = page.get_by_role("textbox", name="Prompt")
    prompt.fill("What I was writing")
    open_page(page, f"{idle.url}?models=Brief,gone&prompt=Say+%3Cb%3Ehello%3C/b%3E")
    expect(prompt).to_have_value("Say <b>hello</b>")
    expect(page.locator(".hint.is-fault")).to_have_text(
        "The address asks for gone, which is not here."
    )
    expect(page.locator(".welcome-models .chip")).to_have_text(["Brief"])
    assert len(stored(idle)) == 2, "nothing is sent by an address"
    page.get_by_role("button", name="Send").click()
    expect(page.locator("turn-strip .prompt")).to_have_text("Say <b>hello</b>")
    expect(page).to_have_url(re.compile(r"/#chat=c_\w+$"))
    expect(prompt).to_have_value("What I was writing")
    page.get_by_role("button", name="New chat").click()
    expect(page.locator(".welcome-models .chip")).to_have_text(["Small", "Brief"])


def test_answers_and_their_queue_go_on_behind_another_chat(page: Page, tmp_path: Path) -> None:
    with thinking(tmp_path, "--hold-after=1", "--text=One two three.") as (gateway, thinker):
        open_page(page, gateway.url)
        ask(page, "The first")
        thinker.reaches(held=1)
        ask(page, "The second")
        queue = page.get_by_role("list", name="Prompts that wait")
        expect(queue).to_contain_text("The second")
        listed = chats(page)
        row = listed.get_by_role("listitem").filter(has_text="The first")
        page.get_by_role("button", name="New chat").click()
        expect(page).to_have_title("Sidestream")
        expect(queue).to_be_hidden()
        expect(row).to_contain_text("Answering…")
        reload(page)
        expect(queue).to_be_hidden()
        listed = chats(page)
        expect(row).to_contain_text("Answering…")
        row.locator(".chat").click()
        expect(page).to_have_title("The first · Sidestream")
        expect(queue).to_contain_text("The second")
        reload(page)
        expect(queue).to_contain_text("The second")
        page.get_by_role("button", name="New chat").click()
        page.evaluate(HIDE, True)
        thinker.release()
        expect(page).to_have_title("(1 done) Sidestream")
        thinker.reaches(held=2)
        thinker.release()
        expect(page).to_have_title("(2 done) Sidestream")
        page.evaluate(HIDE, False)
        expect(page).to_have_title("Sidestream")
        listed = chats(page)
        expect(row).not_to_contain_text("Answering…")
        row.locator(".chat").click()
        expect(column(page, "Thinker").locator(".turn-name")).to_contain_text(
            ["The first", "The second"]
        )
        expect(column(page, "Thinker").locator(".answer")).to_have_text(["One two three."] * 2)
