"""Take the pictures of docs/EVALUATE.md: a run of the real small model and two presets of it.

`python -m tests.browser.run_pictures` asks the questions of the tests, votes on some answers, and
writes `docs/images/run-*.png`.
"""

import re
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Locator, Page, expect, sync_playwright

from server.doctor.checks import find_chromium
from tests.browser.conftest import CEILING_MS, CHROMIUM_FLAGS, running
from tests.browser.gateway import ROOT
from tests.browser.helpers import choose, open_page
from tests.browser.test_runs_small_model import (
    ANSWERS,
    CEILING_SECONDS,
    MODELS,
    PROMPTS,
    SETTINGS,
    written,
)

IMAGES = ROOT / "docs" / "images"
VOTES = 8
WIDTH, HEIGHT, FORM_HEIGHT = 1280, 720, 960


def main() -> int:
    """Write the pictures."""
    expect.set_options(timeout=CEILING_MS)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_FLAGS)
        with running(Path(folder), SETTINGS) as gateway:
            page = browser.new_page(
                viewport={"width": WIDTH, "height": FORM_HEIGHT}, device_scale_factor=1.5
            )
            page.set_default_timeout(CEILING_MS)
            open_page(page, gateway.url)
            choose(page, *MODELS)
            page.get_by_role("button", name="Runs", exact=True).click()
            _take(page, written(Path(folder, "capitals.jsonl")))
        browser.close()
    return 0


def _take(page: Page, prompts: Path) -> None:
    runs = page.get_by_role("dialog")
    runs.get_by_role("button", name="New run").click()
    runs.get_by_label("Or a file").set_input_files(prompts)
    runs.get_by_label("Name", exact=True).fill("Capitals")
    _shot(page, "form")
    page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
    runs.get_by_role("button", name="Begin").click()
    status = runs.get_by_role("status")
    expect(status).to_have_text(re.compile(rf"^Running · [2-5]\d of {ANSWERS} answers"))
    _shot(page, "grid")
    expect(status).to_have_text(re.compile("^Done"), timeout=CEILING_SECONDS * 1000)
    _vote(page, runs)
    page.keyboard.press("Escape")
    runs.get_by_role("button", name="Results").click()
    expect(runs.get_by_text(f"Made of {VOTES} votes")).to_be_visible()
    _shot(page, "results")


def _vote(page: Page, runs: Locator) -> None:
    """Vote for the first answer that names the capital, else for none."""
    runs.get_by_role("button", name="Vote blind").click()
    capitals = re.compile("Paris|Lima|Tokyo|Rome|Madrid|Cairo|Nairobi|Santiago")
    for number in range(VOTES):
        place = runs.get_by_role("status")
        expect(place).to_have_text(re.compile(rf" · {number} of {PROMPTS} voted"))
        answers = runs.get_by_role("region", name="Answers").locator(".answer")
        expect(answers).to_have_count(len(MODELS))
        said = answers.all_inner_texts()
        right = [key for key, text in zip("abc", said, strict=True) if capitals.search(text)]
        page.keyboard.press(right[0] if right else "0")
        expect(place).to_have_text(re.compile(rf" · {number + 1} of {PROMPTS} voted"))
        if number == VOTES // 2:
            _shot(page, "vote")
        page.keyboard.press("Enter")


def _shot(page: Page, name: str) -> None:
    page.screenshot(path=IMAGES / f"run-{name}.png")


if __name__ == "__main__":
    sys.exit(main())
