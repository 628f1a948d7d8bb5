"""What stands in answers beside text: code."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import running
from tests.browser.gateway import ROOT, Gateway
from tests.browser.helpers import (
    answer,
    ask,
    axe_violations,
    choose,
    column,
    expect_end,
    open_page,
)
from tests.browser.watch import Watch
from tests.conftest import KeepLog
from tests.support.ports import free_ports

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


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Run a server with a model for each text."""
    directory = tmp_path_factory.mktemp("rich")
    texts = {"Code": CODE}
    ports = free_ports(len(texts) + 1)
    settings = "[server]\ninstance = {instance}\nstate_dir = {directory}\nshutdown_grace = 0\n\n"
    models = []
    with (directory / "models.log").open("w") as log:
        try:
            for (name, text), port in zip(texts.items(), ports, strict=False):
                settings += (
                    f"[model {name.lower()}]\nname = {name}\nrunner = remote\n"
                    f"url = http://127.0.0.1:{port}\n\n"
                )
                command = [sys.executable, "-m", "tests.fakes.tgi", f"--port={port}"]
                models.append(
                    subprocess.Popen(
                        [*command, "--delay-ms=5", f"--text={text}"], cwd=ROOT, stdout=log
                    )
                )
            with running(directory, settings) as gateway:
                yield gateway
        finally:
            for model in models:
                model.kill()
                model.wait()


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
