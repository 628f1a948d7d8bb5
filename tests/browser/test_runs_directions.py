"""Runs on a page that is read from right to left, on small screens, and by keys alone."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.answered_runs import TEXTS, a_run, open_run, open_runs
from tests.browser.conftest import writing
from tests.browser.gateway import Gateway
from tests.browser.helpers import assert_fits, axe_violations
from tests.browser.watch import Watch
from tests.conftest import KeepLog

pytestmark = pytest.mark.needs_chromium

ARABIC = "عاصمة فرنسا هي **باريس**، وهي مدينة كبيرة."
RIGHT_TO_LEFT = "document.documentElement.dir = 'rtl'"
# What has the focus, as a reader would call it; empty where the focus is lost.
FOCUSED = """() => {
  const { activeElement: one } = document;
  if (one === document.body) return '';
  return one.getAttribute('aria-label') || one.textContent || one.id || one.tagName;
}"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    texts = {"Alpha": TEXTS["Alpha"], "Arabic": ARABIC, "Judge": TEXTS["Judge"]}
    with writing(tmp_path_factory.mktemp("directions"), texts, delay_ms=1) as gateway:
        yield gateway


@pytest.fixture
def gateway(models: Gateway, keep_log: KeepLog) -> Gateway:
    keep_log("the server", lambda: models.log)
    return models


def assert_sound(page: Page, *fitting: str) -> None:
    """Assert that nothing is cut or inaccessible, and that the focus is somewhere."""
    assert axe_violations(page) == []
    for selector in (".runs-body", *fitting):
        assert_fits(page, selector)
    assert page.evaluate(FOCUSED)


def left(one: Locator) -> float:
    box = one.bounding_box()
    assert box
    return box["x"]


def test_right_to_left_the_arrows_go_where_they_point(
    page: Page, gateway: Gateway, watch: Watch
) -> None:
    runs = open_run(page, gateway, a_run(page, gateway, 3, "Alpha", "Arabic"))
    page.evaluate(RIGHT_TO_LEFT)
    expect(runs.get_by_role("gridcell").first).to_contain_text("Paris")
    prompt = runs.get_by_role("rowheader").first
    alpha, arabic = (runs.get_by_role("gridcell").nth(number) for number in range(2))
    assert left(prompt) > left(alpha) > left(arabic)
    prompt.focus()
    page.keyboard.press("ArrowLeft")
    expect(alpha).to_be_focused()
    page.keyboard.press("ArrowLeft")
    expect(arabic).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(alpha).to_be_focused()
    assert_sound(page)
    page.keyboard.press("Enter")
    place = runs.get_by_role("status")
    expect(place).to_have_text("Prompt 1 of 3")
    page.keyboard.press("ArrowLeft")
    expect(place).to_have_text("Prompt 2 of 3")
    page.keyboard.press("ArrowRight")
    expect(place).to_have_text("Prompt 1 of 3")
    assert_sound(page)
    page.keyboard.press("Escape")
    runs.get_by_role("button", name="Vote blind").click()
    expect(place).to_have_text("Prompt 1 of 3 · 0 of 3 voted")
    page.keyboard.press("ArrowLeft")
    expect(place).to_have_text("Prompt 2 of 3 · 0 of 3 voted")
    page.keyboard.press("ArrowRight")
    expect(place).to_have_text("Prompt 1 of 3 · 0 of 3 voted")
    assert_sound(page)
    page.keyboard.press("Escape")
    runs.get_by_role("button", name="Results").click()
    expect(runs.get_by_text("Nobody has voted.")).to_be_visible()
    assert_sound(page)
    assert watch.complaints == []


@pytest.mark.parametrize(
    ("width", "height", "is_forced"),
    [(844, 390, False), (360, 740, False), (640, 400, False), (1280, 800, True)],
)
def test_small_screens_and_forced_colours_show_all_of_a_run(
    page: Page, gateway: Gateway, width: int, height: int, is_forced: bool
) -> None:
    page.emulate_media(forced_colors="active" if is_forced else "none")
    name = a_run(page, gateway, 2, "Alpha", "Arabic", "Judge")
    runs = open_run(page, gateway, name)
    page.set_viewport_size({"width": width, "height": height})
    cell = runs.get_by_role("gridcell").first
    expect(cell).to_contain_text("Paris")
    assert_sound(page)
    cell.click()
    expect(runs.get_by_role("region", name="Alpha")).to_contain_text("Paris")
    assert_sound(page)
    page.keyboard.press("Escape")
    for screen in ("Results", "Vote blind", "Judges"):
        runs.get_by_role("button", name=screen).click()
        expect(runs.get_by_role("heading", name=re.compile(f"^{screen}: "))).to_be_visible()
        expect(runs.get_by_text("Reading the answers…")).to_have_count(0)
        assert_sound(page)
        page.keyboard.press("Escape")


def press_until(page: Page, key: str, wanted: str) -> None:
    """Press a key until what is called so has the focus, which is never lost on the way."""
    for _ in range(60):
        focused = page.evaluate(FOCUSED)
        assert focused, f"the focus is lost on the way to {wanted}"
        if re.match(wanted, focused.strip()):
            return
        page.keyboard.press(key)
    raise AssertionError(f"{wanted} is not reached: {focused}")


def go(page: Page, wanted: str) -> None:
    """Press the button of this name, to which Tab leads."""
    press_until(page, "Tab", wanted)
    page.keyboard.press("Enter")


def test_a_run_is_made_voted_on_judged_and_read_by_keys_alone(
    page: Page, gateway: Gateway, watch: Watch
) -> None:
    runs = open_runs(page, gateway, "Alpha", "Arabic")
    go(page, "New run")
    expect(runs.get_by_label("Prompts, one a line")).to_be_focused()
    page.keyboard.type("Name a river.\nName a sea.")
    go(page, "Begin$")
    expect(runs.get_by_role("status")).to_have_text("Done · 4 answers")
    go(page, "Vote blind")
    place = runs.get_by_role("status")
    for number in (1, 2):
        expect(place).to_have_text(f"Prompt {number} of 2 · {number - 1} of 2 voted")
        page.keyboard.press("a")
        expect(place).to_have_text(f"Prompt {number} of 2 · {number} of 2 voted")
        page.keyboard.press("Enter")
    expect(runs.get_by_text("All have your vote.")).to_be_visible()
    assert page.evaluate(FOCUSED)
    page.keyboard.press("Escape")
    expect(runs.get_by_role("grid")).to_be_visible()
    go(page, "Judges")
    expect(runs.get_by_text("No model has judged this run.")).to_be_visible()
    press_until(page, "Tab", "judge-criteria")
    page.keyboard.type("Is it right?")
    page.keyboard.press("Tab")
    page.keyboard.type("Judge")
    expect(runs.get_by_label("Model", exact=True)).to_have_value("judge")
    go(page, "Begin$")
    expect(runs.get_by_role("region", name="Judge", exact=True)).to_contain_text(
        "Done · 4 of 4 graded"
    )
    assert page.evaluate(FOCUSED)
    page.keyboard.press("Escape")
    go(page, "Results")
    expect(runs.get_by_text("Made of 2 votes by 1 voter")).to_be_visible()
    assert page.evaluate(FOCUSED)
    page.keyboard.press("Escape")
    press_until(page, "Tab", r"\dName a")
    page.keyboard.press("Control+Home")
    page.keyboard.press("Enter")
    expect(place).to_have_text("Prompt 1 of 2")
    assert page.evaluate(FOCUSED)
    for _ in range(3):
        page.keyboard.press("Escape")
        page.wait_for_function("document.activeElement !== document.body")
    expect(runs).to_have_count(0)
    assert watch.complaints == []
