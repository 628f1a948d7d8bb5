"""What stands in answers beside text: code and mathematics."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import writing
from tests.browser.gateway import Gateway
from tests.browser.helpers import (
    act,
    answer,
    ask,
    axe_violations,
    choose,
    column,
    expect_end,
    open_page,
    schemes,
)
from tests.browser.watch import Watch
from tests.conftest import KeepLog

pytestmark = pytest.mark.needs_chromium

LONG = "\n".join(
    [
        "def area(radius: float) -> float:",
        '    """Return the area of a circle,',
        '    whatever its radius is."""',
        "    return 3.14159 * radius ** 2  # " + "and so on, " * 20,
        *(f'print("line {number}")' for number in range(5, 46)),
    ]
)
CODE = f"""\
استدعِ الدالة `open_file()` ثم `--name=value` وبعدها `a.b[0]` في السطر.

```python
{LONG}
```

```nosuch
if 1
```

```json
{{"a": ["b", 12]}}
```

- [ ] open
- [x] done

Name | Age
--- | ---
Ann | 5
"""

MATHS = r"""The sum $\sum_{i=1}^n x_i^2$ costs $5 or $6, or \(\text{<b>}\).

$$
\begin{align} a &= \color{red} b \\ c &= d \end{align}
$$

None is $\foo$, in any case."""


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    texts = {"Code": CODE, "Maths": MATHS}
    with writing(tmp_path_factory.mktemp("rich"), texts, delay_ms=5) as gateway:
        yield gateway


@pytest.fixture
def written(rich: Gateway, keep_log: KeepLog) -> Gateway:
    keep_log("the server", lambda: rich.log)
    return rich


def answered(page: Page, gateway: Gateway, name: str) -> Locator:
    open_page(page, gateway.url)
    choose(page, name)
    ask(page, "Go")
    expect_end(column(page, name), "Complete")
    return answer(column(page, name))


def test_code_is_coloured_wrapped_folded_and_its_head_stays_in_sight(
    page: Page, written: Gateway, watch: Watch, artifacts: Path
) -> None:
    shown = answered(page, written, "Code")
    block = shown.locator(".code").first
    expect(block.locator(".code-keyword")).to_have_text(["def", "return"])
    expect(block.locator(".code-string").nth(2)).to_have_text("    whatever its radius is.")
    expect(block.locator("pre")).to_have_text(f"{LONG}\n", use_inner_text=False)
    expect(shown.locator(".code").nth(1).locator("span[class^=code-]")).to_have_count(0)
    expect(shown.locator(".code").nth(2).locator(".code-number")).to_have_text("12")

    tasks = shown.locator("li.has-task")
    expect(tasks).to_have_text(["☐ open", "☑ done"])
    expect(tasks.get_by_role("img")).to_have_count(2)
    expect(tasks.last.get_by_role("img", name="Done")).to_be_visible()
    expect(shown.get_by_role("table").get_by_role("cell")).to_have_text(["Ann", "5"])

    # The head stays where the lines go by, and stays reachable.
    log = column(page, "Code").locator(".log")
    log.evaluate("(log) => { log.scrollTop = 400; }")
    head = block.locator(".code-head")
    top = head.evaluate("(head) => head.getBoundingClientRect().top")
    assert top == pytest.approx(log.evaluate("(log) => log.getBoundingClientRect().top"), abs=2)
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        page.screenshot(path=artifacts / f"code-{scheme}.png")
        assert axe_violations(page) == []

    sizes = "(pre) => [pre.scrollWidth > pre.clientWidth, pre.clientHeight]"
    is_wide, height = block.locator("pre").evaluate(sizes)
    assert is_wide
    wrap = block.get_by_role("button", name="Wrap")
    wrap.click()
    expect(wrap).to_have_attribute("aria-pressed", "true")
    assert block.locator("pre").evaluate(sizes)[0] is False

    fold = block.get_by_role("button", name="Fold")
    fold.press("Enter")
    unfold = block.get_by_role("button", name="All 45 lines")
    expect(unfold).to_be_focused()
    expect(unfold).to_have_attribute("aria-expanded", "false")
    expect(unfold).to_be_in_viewport()
    assert block.locator("pre").evaluate(sizes)[1] < height / 2
    page.screenshot(path=artifacts / "code-folded.png")
    unfold.click()
    expect(fold).to_have_attribute("aria-expanded", "true")
    expect(shown.locator(".code").nth(1).get_by_role("button", name="Fold")).to_have_count(0)

    # Code in a sentence from the right reads from the left.
    order = """(code) => {
      const edge = (at) => {
        const range = document.createRange();
        range.setStart(code.firstChild, at);
        range.setEnd(code.firstChild, at + 1);
        return range.getBoundingClientRect().left;
      };
      return [...code.textContent].every((_, at) => at === 0 || edge(at - 1) < edge(at));
    }"""
    assert [one.evaluate(order) for one in shown.locator("p code").all()] == [True, True, True]
    assert shown.locator("p").first.evaluate("(p) => getComputedStyle(p).direction") == "rtl"
    assert watch.complaints == []


def test_formulas_are_typeset(page: Page, written: Gateway, watch: Watch, artifacts: Path) -> None:
    shown = answered(page, written, "Maths")
    expect(shown.locator(".formula.is-typeset math")).to_have_count(3)
    expect(shown.locator("p").first).to_have_text(
        "The sum \u2211i=1nxi2 costs $5 or $6, or <b>.", use_inner_text=False
    )
    block = shown.locator(".formula.is-block math")
    expect(block).to_have_attribute("display", "block")
    styles = (
        "(math) => [...math.querySelectorAll('[style]')].map((one) => getComputedStyle(one).color)"
    )
    assert "rgb(255, 0, 0)" in block.evaluate(styles)
    parts = "(math) => [...math.querySelectorAll('mtd')].map((one) => one.textContent)"
    assert [part for part in block.evaluate(parts) if part] == ["a", "=b", "(1)", "c", "=d", "(2)"]
    wrong = shown.locator(".formula:not(.is-typeset)")
    expect(wrong).to_have_text("$\\foo$")
    expect(wrong).to_have_attribute("title", re.compile(r"cannot be typeset: .*\\foo"))
    for scheme in schemes(page):
        page.screenshot(path=artifacts / f"maths-{scheme}.png")
        assert axe_violations(page) == [], scheme
    # The answer's source is what is copied, and shown where that is asked for.
    column(page, "Maths").get_by_role("button", name="As it was written").click()
    expect(column(page, "Maths").get_by_text("$\\sum_{i=1}^n x_i^2$")).to_be_visible()
    assert watch.complaints == []


def test_formulas_that_the_server_does_not_typeset_stay_as_they_were_written(
    page: Page, written: Gateway
) -> None:
    page.route("**/formulas", lambda route: route.abort())
    with page.expect_request("**/formulas"):
        shown = answered(page, written, "Maths")
    expect(shown.locator(".formula").first).to_have_text("$\\sum_{i=1}^n x_i^2$")
    page.unroute("**/formulas")
    page.reload()
    expect(answer(column(page, "Maths")).locator("math")).to_have_count(3)


def test_a_table_is_opened_over_the_page(
    page: Page, written: Gateway, watch: Watch, artifacts: Path
) -> None:
    shown = answered(page, written, "Code")
    page.set_viewport_size({"width": 390, "height": 844})
    shown.get_by_role("table").hover()
    shown.get_by_role("button", name="Open this table over the page").click()
    dialog = page.get_by_role("dialog", name="Table")
    expect(dialog.get_by_role("cell")).to_have_text(["Ann", "5"])
    page.screenshot(path=artifacts / "table.png")
    assert axe_violations(page) == []
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(shown.get_by_role("table")).to_have_count(1)
    assert watch.complaints == []


def test_a_column_is_shown_alone_until_all_are_wanted_again(
    page: Page, written: Gateway, watch: Watch
) -> None:
    open_page(page, written.url)
    choose(page, "Code", "Maths")
    ask(page, "Go")
    for name in ("Code", "Maths"):
        expect_end(column(page, name), "Complete")
    width = "(one) => one.clientWidth"
    before = column(page, "Maths").evaluate(width)
    act(page, "Maths", "Show this column alone")
    expect(column(page, "Code")).to_be_hidden()
    assert column(page, "Maths").evaluate(width) > 1.9 * before
    assert axe_violations(page) == []
    ask(page, "Go on")
    expect(column(page, "Maths").locator("answer-turn")).to_have_count(2)
    expect_end(column(page, "Maths"), "Complete")
    column(page, "Maths").get_by_role("button", name="Show all columns").click()
    expect(column(page, "Code").locator("answer-turn")).to_have_count(2)
    expect(column(page, "Code")).to_be_visible()
    expect_end(column(page, "Code"))
    act(page, "Maths", "Show this column alone")
    page.keyboard.press("Escape")  # nothing is left to be stopped
    expect(column(page, "Code")).to_be_visible()
    act(page, "Maths", "Show this column alone")
    act(page, "Maths", "Remove")
    expect(column(page, "Code")).to_be_visible()
    assert watch.complaints == []
