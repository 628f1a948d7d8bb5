"""Pictures and text files: given at the composer, shown in the chat, seen by the models."""

import asyncio
import base64
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import FilePayload, Locator, Page, expect

from tests.browser.conftest import running
from tests.browser.gateway import Gateway
from tests.browser.helpers import (
    ask,
    assert_fits,
    axe_violations,
    choose,
    column,
    edit,
    expect_end,
    open_page,
    schemes,
    strip,
    turn,
)
from tests.browser.watch import Watch
from tests.browser.wire import FakeWire, model
from tests.conftest import KeepLog
from tests.fakes.openai import Fake, serve
from tests.fakes.openai_options import FakeOptions
from tests.support.pictures import BOMB, REAL, SVG, png

pytestmark = pytest.mark.needs_chromium


def called(name: str, data: bytes) -> FilePayload:
    """Return a file; browsers guess what it is by its name."""
    return {"name": name, "mimeType": "", "buffer": data}


PICTURE = called("garden.png", REAL["png"])
NOTES = called("notes.md", b"# Roses\n\nRed.")
# What the model reads of a file.
FILE = '<file name="notes.md">\n# Roses\n\nRed.\n</file>\n'
SETTINGS = """\
[attachments]
max_file_size = 2M

[server]
instance = {{instance}}
state_dir = {{directory}}
shutdown_grace = 0

[model sees]
name = Sees
runner = remote
url = {url}
dialect = openai
model_id = fake-model
vision = yes

[model blind]
name = Blind
runner = remote
url = {url}
dialect = openai
model_id = fake-model
vision = no

[model unknown]
name = Unknown
runner = remote
url = {url}
dialect = openai
model_id = fake-model
"""

# Gives files by a drag or a paste, as a browser does; returns whether the page took the event.
GIVE = """([type, files, kinds = {}]) => {
  const data = new DataTransfer();
  for (const { name, text, bytes } of files) {
    const content = text ?? Uint8Array.from(atob(bytes), (letter) => letter.charCodeAt(0));
    data.items.add(new File([content], name));
  }
  for (const [kind, text] of Object.entries(kinds)) data.setData(kind, text);
  const options = { bubbles: true, cancelable: true, dataTransfer: data, clipboardData: data };
  const event = type === 'paste' ? new ClipboardEvent(type, options) : new DragEvent(type, options);
  (document.activeElement ?? document.body).dispatchEvent(event);
  return event.defaultPrevented;
}"""


class ModelServer:
    """A fake of OpenAI's form in a loop of its own: Playwright has the one of the tests."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._stack = AsyncExitStack()

    def __enter__(self) -> Fake:
        self._thread.start()
        options = FakeOptions(text="A red rose.")
        entering = self._stack.enter_async_context(serve(options))
        return asyncio.run_coroutine_threadsafe(entering, self._loop).result(timeout=10)

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stack.aclose(), self._loop).result(timeout=10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture(scope="module")
def fake() -> Iterator[Fake]:
    with ModelServer() as fake:
        yield fake


@pytest.fixture(scope="module")
def shared(fake: Fake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running(tmp_path_factory.mktemp("seeing"), SETTINGS.format(url=fake.url)) as gateway:
        yield gateway


@pytest.fixture
def seeing(shared: Gateway, fake: Fake, keep_log: KeepLog) -> Gateway:
    """Return a server with models that see, do not, and do not say."""
    keep_log("the server", lambda: shared.log)
    fake.state.requests.clear()
    return shared


def given(page: Page) -> Locator:
    """Return the files at the composer."""
    return (
        page.locator("prompt-composer").get_by_role("list", name="Attached").get_by_role("listitem")
    )


def status(page: Page) -> Locator:
    return page.locator("attachment-tray").get_by_role("status")


def give(page: Page, *files: FilePayload) -> None:
    """Choose files."""
    with page.expect_file_chooser() as choosing:
        page.get_by_role("button", name="Add pictures and text files").click()
    assert choosing.value.is_multiple()
    choosing.value.set_files(files)


def event(page: Page, kind: str, *files: FilePayload, **kinds: str) -> bool:
    """Let files be dragged, dropped or pasted where the focus is."""
    listed = [
        {"name": file["name"], "bytes": base64.b64encode(file["buffer"]).decode()} for file in files
    ]
    taken: bool = page.evaluate(
        GIVE, [kind, listed, {name.replace("_", "/"): text for name, text in kinds.items()}]
    )
    return taken


def asked(fake: Fake, place: int = -1) -> Any:
    """Return the content of the last message that a model server was asked with."""
    return fake.state.requests[place]["messages"][-1]["content"]


def part(data: bytes) -> dict[str, Any]:
    url = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}


def test_files_that_are_chosen_go_to_the_model_and_stay_in_the_chat(
    page: Page, seeing: Gateway, fake: Fake, watch: Watch, artifacts: Path
) -> None:
    open_page(page, seeing.url)
    choose(page, "Sees")
    give(page, PICTURE, NOTES)
    expect(given(page)).to_have_text(["garden.png23 \u00d7 17 · 554 bytes", "notes.md13 bytes"])
    expect(status(page)).to_have_text("File notes.md added, 13 bytes.")
    expect(page.locator(".sight")).to_be_hidden()
    page.screenshot(path=artifacts / "given.png")
    ask(page, "What is this?")
    sees = column(page, "Sees")
    expect_end(sees)
    expect(given(page)).to_have_count(0)
    assert asked(fake) == [
        part(REAL["png"]),
        {"type": "text", "text": f"\n{FILE}"},
        {"type": "text", "text": "What is this?"},
    ]
    shown = strip(page).get_by_role("list", name="Attached")
    expect(shown.get_by_role("img", name="garden.png")).to_be_visible()
    expect(shown.get_by_role("link", name="notes.md")).to_have_text("notes.md13 bytes")
    page.screenshot(path=artifacts / "shown.png")
    assert watch.complaints == []


def test_files_are_dropped_anywhere(page: Page, seeing: Gateway, fake: Fake) -> None:
    open_page(page, seeing.url)
    choose(page, "Sees")
    page.get_by_role("heading", name="Sidestream").click()
    assert not event(page, "dragover", text_plain="Some words.")
    composer = page.locator("prompt-composer")
    expect(composer).not_to_have_attribute("data-drop", "")
    assert event(page, "dragover", PICTURE)
    expect(composer).not_to_have_attribute("data-drop", "")  # the pointer moves on no more
    assert event(page, "drop", PICTURE, NOTES)
    expect(given(page)).to_have_count(2)
    assert event(page, "drop", PICTURE)
    expect(status(page)).to_have_text("File notes.md added, 13 bytes.")
    expect(given(page)).to_have_count(2)  # it is there already
    expect(page.get_by_role("textbox", name="Prompt")).to_be_focused()
    page.keyboard.press("Enter")
    expect_end(column(page, "Sees"))
    assert [one["type"] for one in asked(fake)] == ["image_url", "text"]
    expect(strip(page).locator(".prompt")).to_be_hidden()


def test_a_drag_is_shown_over_the_page(page: Page, seeing: Gateway, artifacts: Path) -> None:
    open_page(page, seeing.url)
    event(page, "dragover", PICTURE)
    expect(page.locator("attachment-tray")).to_have_count(1)
    shown = page.evaluate(
        """() => {
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File(['x'], 'x.txt'));
          document.dispatchEvent(new DragEvent('dragover', { cancelable: true, dataTransfer }));
          const composer = document.querySelector('prompt-composer');
          return getComputedStyle(composer, '::after').content;
        }"""
    )
    assert "Drop pictures" in shown
    page.screenshot(path=artifacts / "drag.png")


def test_pictures_are_pasted_and_text_stays_text(page: Page, seeing: Gateway) -> None:
    open_page(page, seeing.url)
    page.get_by_role("textbox", name="Prompt").focus()
    assert event(page, "paste", PICTURE, text_html="<img>")
    expect(given(page)).to_have_count(1)
    # A table of an office program comes with its picture.
    assert not event(page, "paste", NOTES, text_html="<b>A</b>", text_plain="A")
    assert not event(page, "paste", text_plain="A" * 100_000)
    page.get_by_role("tab", name="Chats").click()
    page.get_by_role("searchbox", name="Search").focus()
    assert not event(page, "paste", NOTES)
    expect(given(page)).to_have_count(1)


def test_refused_attachments_say_why_and_are_not_sent(
    page: Page, seeing: Gateway, fake: Fake, artifacts: Path
) -> None:
    open_page(page, seeing.url)
    choose(page, "Sees")
    refused = {
        "drawing.svg": (SVG, "SVG picture is not taken"),
        "bomb.png": (BOMB, "40,000 x 40,000 pixels"),
        "half.png": (REAL["png"][:200], "."),
        "scan.pdf": (b"%PDF-1.7\n", "A PDF is not taken"),
        "large.txt": (b"x" * 3_000_000, "too large"),
        "nothing.txt": (b"", "The file is empty"),
    }
    give(page, *(called(name, data) for name, (data, _) in refused.items()), NOTES)
    expect(given(page)).to_contain_text([*(words for _, words in refused.values()), "notes.md"])
    page.get_by_role("textbox", name="Prompt").fill("What?")
    page.keyboard.press("Enter")
    expect(page.locator(".hint")).to_have_text("Remove what was not added")
    expect(page.locator(".hint")).to_have_class("hint is-fault")
    expect(given(page).first).to_contain_text("Remove it, so that the prompt can be sent.")
    expect(page.get_by_role("button", name="Send")).to_be_disabled()
    page.screenshot(path=artifacts / "refused.png")
    for name in refused:
        page.get_by_role("button", name=f"Remove {name}").click()
        expect(status(page)).to_have_text(f"{name} is removed.")
    page.get_by_role("textbox", name="Prompt").press("Enter")
    expect_end(column(page, "Sees"))
    assert asked(fake) == f"{FILE}What?"


def test_a_new_chat_begins_without_the_files_of_another(page: Page, seeing: Gateway) -> None:
    open_page(page, seeing.url)
    give(page, NOTES, called("nothing.txt", b""))
    expect(given(page)).to_contain_text(["notes.md", "The file is empty"])
    field = page.get_by_role("textbox", name="Prompt")
    new = page.get_by_role("button", name="New chat")
    field.fill("What is in it?")
    new.click()
    expect(given(page)).to_have_count(1)  # it belongs to what is written
    expect(field).to_be_focused()
    field.fill("")
    new.click()
    expect(given(page)).to_have_count(0)
    page.reload()
    expect(field).to_be_visible()
    expect(given(page)).to_have_count(0)


def test_a_model_that_cannot_see_is_asked_without_pictures(
    page: Page, seeing: Gateway, fake: Fake, artifacts: Path
) -> None:
    open_page(page, seeing.url)
    choose(page, "Sees", "Blind", "Unknown")
    give(page, PICTURE)
    sight = page.locator(".sight")
    expect(sight).to_have_text(
        "Blind cannot see pictures, and is asked without them. "
        "Whether Unknown can see pictures is not known."
    )
    choose(page, "Sees")
    expect(sight).to_be_hidden()
    choose(page, "Sees", "Blind")
    page.screenshot(path=artifacts / "sight.png")
    ask(page, "What is this?")
    for name in ("Sees", "Blind"):
        expect_end(column(page, name))
    contents = [request["messages"][-1]["content"] for request in fake.state.requests]
    assert sorted(contents, key=str) == [
        "What is this?",
        [part(REAL["png"]), {"type": "text", "text": "What is this?"}],
    ]
    remark = column(page, "Blind").locator(".remarks")
    expect(remark).to_have_text("A picture was left out: the model takes none.")
    expect(column(page, "Sees").locator(".remarks")).to_be_hidden()
    ask(page, "And the colour?")
    for name in ("Sees", "Blind"):
        expect_end(column(page, name))
    expect(column(page, "Blind").locator(".remarks").last).to_contain_text("left out")
    page.screenshot(path=artifacts / "left-out.png")


def test_where_a_server_takes_no_pictures_it_is_asked_without(page: Page, seeing: Gateway) -> None:
    wire = FakeWire(page, [model("m")])
    wire.refusals["generate"] = {"code": "cannot_see", "message": "m takes no pictures"}
    open_page(page, seeing.url)
    give(page, PICTURE)
    ask(page, "What is this?")
    m = column(page, "m")
    expect(m.get_by_role("alert")).to_contain_text("The model takes no pictures")
    del wire.refusals["generate"]
    wire.on_generate = lambda generation, command: wire.answer(generation, "Something.")
    m.get_by_role("button", name="Ask without pictures").click()
    expect_end(m)
    first, second = wire.commands("generate")
    assert first["messages"] == second["messages"]
    assert [one["targets"][0].get("lenient") for one in (first, second)] == [None, True]


def test_a_prompt_waits_for_its_files(page: Page, seeing: Gateway, fake: Fake) -> None:
    open_page(page, seeing.url)
    choose(page, "Sees")
    held: list[Any] = []
    page.route("**/attachments?*", lambda route: held.insert(0, route))
    give(page, PICTURE)
    expect(given(page).get_by_role("progressbar", name="Sending garden.png")).to_be_visible()
    ask(page, "What is this?")
    expect(page.locator(".hint")).to_have_text("Sent as soon as the files are there")
    expect(page.get_by_role("textbox", name="Prompt")).to_have_value("What is this?")
    held.pop().continue_()
    expect_end(column(page, "Sees"))
    assert len(asked(fake)) == 2
    give(page, NOTES)
    ask(page, "And this?")
    expect(page.locator(".hint")).to_have_text("Sent as soon as the files are there")
    held.pop().abort()
    expect(given(page)).to_contain_text("The server cannot be reached.")
    expect(page.get_by_role("textbox", name="Prompt")).to_have_value("And this?")
    assert len(fake.state.requests) == 1


def test_attachments_survive_a_reload(page: Page, seeing: Gateway) -> None:
    open_page(page, seeing.url)
    give(page, PICTURE, NOTES)
    expect(status(page)).to_contain_text("notes.md")
    open_page(page, seeing.url)
    expect(given(page)).to_contain_text(["garden.png", "notes.md"])
    expect(given(page).get_by_role("img", name="garden.png")).to_be_visible()
    saved = """() => localStorage['sidestream.attached'] =
      localStorage['sidestream.attached'].replace(/"id":"./, '"id":"')"""
    page.evaluate(saved)
    open_page(page, seeing.url)
    expect(given(page)).to_contain_text(["The server no longer has it.", "notes.md"])


def test_branches_further_answers_and_stored_chats_keep_them(
    page: Page, seeing: Gateway, fake: Fake, watch: Watch
) -> None:
    open_page(page, seeing.url)
    choose(page, "Sees")
    sees = column(page, "Sees")
    give(page, PICTURE, NOTES)
    ask(page, "What is in my garden?")
    expect_end(sees)
    first = asked(fake)
    turn(sees).get_by_role("button", name="Ask again").click()
    expect(turn(sees).get_by_role("group", name="Answer")).to_contain_text("2 of 2")
    expect_end(sees)
    assert asked(fake) == first
    edit(page, "And what is not?")
    expect(strip(page).get_by_role("group", name="Branch")).to_contain_text("2 of 2")
    expect_end(sees)
    assert asked(fake) == [*first[:2], {"type": "text", "text": "And what is not?"}]
    ask(page, "Thank you.")
    expect(sees.locator("answer-turn")).to_have_count(2)
    expect_end(sees)
    history = fake.state.requests[-1]["messages"]
    assert [one["content"] for one in history] == [
        [*first[:2], {"type": "text", "text": "And what is not?"}],
        "A red rose.",
        "Thank you.",
    ]
    shown = strip(page).get_by_role("list", name="Attached")
    for is_stored in (False, True):
        open_page(page, seeing.url)
        if is_stored:
            open_newest(page)
        strip(page).get_by_role("button", name="Turn before").click()
        expect(shown.get_by_role("img", name="garden.png")).to_be_visible()
        expect(shown.get_by_role("link", name="notes.md")).to_be_visible()
    ask(page, "And again.")
    expect(sees.locator("answer-turn")).to_have_count(3)
    expect_end(sees)
    assert fake.state.requests[-1]["messages"][0] == history[0]
    assert watch.complaints == []


def open_newest(page: Page) -> None:
    """Open the newest stored chat in place of the open one."""
    page.get_by_role("button", name="New chat").click()
    expect(page.locator("answer-turn")).to_have_count(0)
    page.get_by_role("tab", name="Chats").click()
    page.locator(".chat").first.click()


def test_exports_have_them_and_an_import_brings_them_back(
    page: Page, seeing: Gateway, tmp_path: Path
) -> None:
    open_page(page, seeing.url)
    choose(page, "Sees")
    give(page, PICTURE, NOTES)
    ask(page, "What will be exported?")
    expect_end(column(page, "Sees"))
    page.get_by_role("tab", name="Chats").click()
    texts = {}
    for form in ("Markdown", "a page", "JSON"):
        page.get_by_role("button", name="More: What will be exported?", exact=True).first.click()
        with page.expect_download() as download:
            page.get_by_role("menuitem", name=f"Export as {form}").click()
        download.value.save_as(tmp_path / "export")
        texts[form] = (tmp_path / "export").read_text()
    assert "- Picture: garden.png, 23 x 17 pixels\n- File: notes.md, 13 bytes" in texts["Markdown"]
    assert part(REAL["png"])["image_url"]["url"] in texts["a page"]
    changed = texts["JSON"].replace("What will be exported?", "What was imported?")
    (tmp_path / "export.json").write_text(changed)
    page.get_by_label("File to import").set_input_files(tmp_path / "export.json")
    expect(strip(page).locator(".prompt")).to_have_text("What was imported?")
    expect(strip(page).get_by_role("img", name="garden.png")).to_be_visible()
    expect(strip(page).get_by_role("link", name="notes.md")).to_be_visible()


def test_a_picture_is_looked_at_and_removed_with_the_keyboard(
    page: Page, seeing: Gateway, artifacts: Path
) -> None:
    open_page(page, seeing.url)
    choose(page, "Sees")
    give(page, PICTURE, NOTES)
    expect(status(page)).to_contain_text("notes.md")
    picture = given(page).get_by_role("button", name="garden.png", exact=True)
    picture.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="garden.png")
    expect(dialog.get_by_role("img", name="garden.png")).to_be_visible()
    expect(dialog).to_contain_text("23 \u00d7 17 · 554 bytes")
    assert axe_violations(page) == []
    page.screenshot(path=artifacts / "picture.png")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(picture).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(given(page)).to_contain_text(["notes.md"])
    expect(page.get_by_role("button", name="Remove notes.md")).to_be_focused()
    page.keyboard.press("Enter")
    expect(given(page)).to_have_count(0)
    expect(page.get_by_role("textbox", name="Prompt")).to_be_focused()


@pytest.mark.parametrize("width", [390, 1440])
def test_axe_finds_nothing_and_nothing_is_too_wide(
    page: Page, seeing: Gateway, artifacts: Path, width: int
) -> None:
    page.emulate_media(reduced_motion="reduce")
    page.set_viewport_size({"width": width, "height": 800})
    open_page(page, seeing.url)
    if width < 1000:
        page.get_by_role("button", name="Models and chats").click()
    choose(page, "Sees", "Blind")
    if width < 1000:
        page.keyboard.press("Escape")
    named = f"{'حديقة' * 6} garden.png"
    files = [called(named, png(320, 200)), NOTES]
    give(page, *files)
    ask(page, "What is this?")
    for name in ("Sees", "Blind"):
        expect_end(column(page, name))
    give(page, *files, called("drawing.svg", SVG))
    expect(given(page)).to_contain_text(["garden", "notes", "SVG picture"])
    page.get_by_role("textbox", name="Prompt").fill("And these?")
    for scheme in schemes(page):
        assert axe_violations(page) == [], scheme
        page.screenshot(path=artifacts / f"attachments-{scheme}-{width}.png")
    for large, direction in (("100%", "rtl"), ("200%", "ltr"), ("200%", "rtl")):
        page.evaluate(
            """([size, direction]) => {
              Object.assign(document.documentElement, { dir: direction }).style.fontSize = size;
              dispatchEvent(new Event('resize'));
            }""",
            [large, direction],
        )
        assert_fits(page)
        expect(page.locator("prompt-composer form")).to_be_in_viewport(ratio=1)
        page.screenshot(path=artifacts / f"attachments-{width}-{large}-{direction}.png")
