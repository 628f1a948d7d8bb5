"""Markdown is rendered while it streams."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.browser.conftest import writing
from tests.browser.gateway import Gateway
from tests.browser.helpers import (
    RENDER,
    answer,
    ask,
    axe_violations,
    choose,
    column,
    expect_end,
    expect_writing,
    open_page,
    schemes,
)
from tests.browser.watch import Watch
from tests.conftest import KeepLog

pytestmark = pytest.mark.needs_chromium

CODE = "def area(radius):\n\n    # a long line, longer than any column is wide on any screen that people use to read an answer, surely\n    return 3.14159 * radius ** 2"  # noqa: E501
MARKDOWN = f"""\
## How to do it

Take **two steps**, then *wait*. See [the manual](https://manual.example/a?b=1&c=2), never
[this](javascript:alert(1)) nor <script>alert(2)</script>, and ![a picture](https://a.example/b.png).

1. Write the function:
   - short
   - with ~~no~~ a `name`
2. Call it.

```python
{CODE}
```

| radius | area |
|:-------|-----:|
| 1 | $\\pi * 1 * 1$ |
| 2 | 12.57 |

> It is \\(x_1 * y_1\\) in all.

---

שלום, עולם
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("written")
    with writing(folder, {"Written": MARKDOWN}, delay_ms=10) as gateway:
        yield gateway


@pytest.fixture
def written(shared: Gateway, keep_log: KeepLog) -> Gateway:
    """Return a server whose one model answers with the text above, token by token."""
    keep_log("the server", lambda: shared.log)
    return shared


def whole(page: Page) -> str:
    """Return what the text becomes when it comes at once."""
    html: str = page.evaluate_handle(RENDER, MARKDOWN).evaluate("(answer) => answer.innerHTML")
    return html


def wait_for_answer(page: Page, gateway: Gateway) -> Locator:
    open_page(page, gateway.url)
    choose(page, "Written")
    ask(page, "How?")
    expect_writing(column(page, "Written"))
    expect_end(column(page, "Written"), "Complete")
    return answer(column(page, "Written"))


def test_streamed_markdown_renders_like_the_whole_text(
    page: Page, written: Gateway, watch: Watch
) -> None:
    page.route("**/formulas", lambda route: None)  # they are typeset later, if at all
    shown = wait_for_answer(page, written)
    html = whole(page)
    # Code is coloured a moment after its last line has come.
    page.wait_for_function(
        "([shown, html]) => shown.innerHTML === html", arg=[shown.element_handle(), html]
    )
    expect(shown.get_by_role("heading", level=2)).to_have_text("How to do it")
    expect(shown.locator("ol > li > ul > li")).to_have_text(["short", "with no a name"])
    expect(shown.locator("strong, em, del")).to_have_text(["two steps", "wait", "no"])
    expect(shown.get_by_role("row")).to_have_count(3)
    expect(shown.get_by_role("cell").nth(1)).to_have_text("$\\pi * 1 * 1$")
    expect(shown.locator("blockquote")).to_have_text("It is \\(x_1 * y_1\\) in all.")
    expect(shown.locator("pre")).to_have_text(f"{CODE}\n")
    last = shown.locator("p", has_text="שלום")
    assert last.evaluate("(line) => getComputedStyle(line).direction") == "rtl"
    # Links lead outside in a tab of their own, and nothing is fetched.
    links = shown.get_by_role("link")
    expect(links).to_have_text(["the manual", "a picture"])
    for link in links.all():
        expect(link).to_have_attribute("rel", "noopener noreferrer")
        expect(link).to_have_attribute("target", "_blank")
    expect(shown.locator("img, script, [onerror]")).to_have_count(0)
    expect(shown).to_contain_text("<script>alert(2)</script>")
    assert not [url for url in watch.requests if ".example" in url]
    # What is selected in code is the code.
    shown.locator("pre").evaluate("(code) => getSelection().selectAllChildren(code)")
    assert page.evaluate("getSelection().toString()").rstrip("\n") == CODE
    assert watch.complaints == []


def test_the_button_copies_the_code(
    page: Page, context: BrowserContext, written: Gateway, watch: Watch
) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    shown = wait_for_answer(page, written)
    shown.get_by_role("button", name="Copy code").click()
    expect(shown.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == CODE
    page.evaluate("navigator.clipboard.writeText('')")
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error()); }")
    expect(shown.get_by_role("button", name="Copy code")).to_be_visible()
    shown.get_by_role("button", name="Copy code").press("Enter")
    expect(shown.get_by_role("button", name="Copied")).to_be_focused()
    assert page.evaluate("navigator.clipboard.readText()") == CODE
    assert watch.complaints == []


def test_a_selection_stays_while_the_answer_grows(page: Page, written: Gateway) -> None:
    open_page(page, written.url)
    choose(page, "Written")
    ask(page, "How?")
    shown = answer(column(page, "Written"))
    expect(shown.locator("strong")).to_have_text("two steps")
    shown.locator("strong").evaluate("(bold) => { getSelection().selectAllChildren(bold); }")
    expect_end(column(page, "Written"), "Complete")
    assert page.evaluate("getSelection().toString()") == "two steps"


@pytest.mark.needs_node
def test_nothing_is_wider_than_its_column_and_axe_finds_nothing(
    page: Page, written: Gateway, artifacts: Path
) -> None:
    wait_for_answer(page, written)
    log = column(page, "Written").locator(".log")
    for width in (1440, 390):
        page.set_viewport_size({"width": width, "height": 1200})
        assert log.evaluate("(log) => log.scrollWidth - log.clientWidth") == 0, width
        assert log.locator("pre").evaluate("(code) => code.scrollWidth - code.clientWidth") > 0
        for scheme in schemes(page):
            page.screenshot(path=artifacts / f"markdown-{scheme}-{width}.png")
            assert axe_violations(page) == [], f"{scheme}, {width} pixels wide"
