"""The report of a run in a browser: names of any length leave the figures in sight."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import writing
from tests.browser.gateway import Gateway
from tests.browser.helpers import axe_violations, schemes

pytestmark = pytest.mark.needs_chromium

TEXTS = {"Alpha": "It is Paris."}
# Names that overlap what stands beside them in their row.
OVERLAPS = """() => [...document.querySelectorAll('.chart')].flatMap((chart) => {
  const texts = [...chart.querySelectorAll('text:not(.number)')];
  const boxes = texts.map((one) => one.getBoundingClientRect());
  return boxes.filter((a, at) => boxes.some((b, other) => at < other && Math.abs(a.top - b.top) < 2
    && a.left < b.right && b.left < a.right));
}).length"""


@pytest.fixture(scope="module")
def a_model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with writing(tmp_path_factory.mktemp("reports"), TEXTS, delay_ms=1) as gateway:
        yield gateway


@pytest.mark.parametrize("letters", ["x", "W", "long name ", "漢"])
def test_a_long_name_leaves_the_figures_in_sight(
    page: Page, a_model: Gateway, tmp_path: Path, letters: str
) -> None:
    ask = page.request
    check = {"type": "contains", "value": "Paris"}
    kept = ask.post(
        f"{a_model.url}prompt-sets", data={"prompts": ["Of France?", "Of Peru?"], "checks": [check]}
    ).json()
    names = [(letters * 200)[:197] + end for end in (" 1", " 2")]
    targets = [{"model": "alpha", "name": name} for name in names]
    run = ask.post(f"{a_model.url}runs", data={"prompt_set": kept["id"], "targets": targets}).json()
    ask.get(f"{a_model.url}runs/{run['id']}/events")
    report = tmp_path / "report.html"
    report.write_text(ask.get(f"{a_model.url}runs/{run['id']}/export?form=html").text())
    page.goto(report.as_uri())
    passed = page.get_by_role("cell", name="2 of 2").first
    expect(passed).to_be_visible()
    box = passed.bounding_box()
    assert box is not None
    assert box["x"] + box["width"] < 500
    assert page.evaluate(OVERLAPS) == 0
    assert page.locator(".chart text > title").first.text_content() == names[0]
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate(OVERLAPS) == 0


def test_axe_finds_nothing_in_a_report(page: Page, a_model: Gateway, tmp_path: Path) -> None:
    """It tells what passed and what failed, in colours of their own, and who voted."""
    ask = page.request
    checks = [{"type": "contains", "value": place} for place in ("Paris", "Lima")]
    kept = ask.post(
        f"{a_model.url}prompt-sets", data={"prompts": ["Of France?", "Of Peru?"], "checks": checks}
    ).json()
    targets = [{"model": "alpha", "name": name} for name in ("one", "other")]
    run = ask.post(f"{a_model.url}runs", data={"prompt_set": kept["id"], "targets": targets}).json()
    address = f"{a_model.url}runs/{run['id']}"
    ask.get(f"{address}/events")
    assert ask.put(f"{address}/prompts/0/vote", data={"among": [0, 1], "winners": [1]}).ok
    report = tmp_path / "report.html"
    report.write_text(ask.get(f"{address}/export?form=html").text())
    page.goto(report.as_uri())
    for words in ("Passed: contains", "Failed: contains", "People's votes"):
        expect(page.get_by_text(words).first).to_be_visible()
    # Named, or axe takes the canvas for white, which it is not in dark colours.
    page.evaluate("document.documentElement.style.background = 'Canvas'")
    for scheme in schemes(page):
        assert axe_violations(page) == [], scheme
