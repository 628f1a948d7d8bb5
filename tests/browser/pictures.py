"""Take the pictures of the README and the docs from the running product.

`python -m tests.browser.pictures` runs the server with the settings that are shipped, has two
real models answer, and writes `docs/images/*.png`. A picture is taken while they write.
"""

import os
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, expect, sync_playwright

from server.doctor.checks import find_chromium
from tests.browser.conftest import CHROMIUM_FLAGS
from tests.browser.gateway import ROOT, Gateway
from tests.browser.helpers import column, expect_longer, open_page

IMAGES = ROOT / "docs" / "images"
MODEL = "SmolLM2 135M"
QUESTION = "Explain at length why the sea looks blue, and what a lighthouse is for."
ENOUGH_CHARACTERS = 320

SHOTS: dict[str, dict[str, object]] = {
    "side-by-side.png": {"viewport": {"width": 1280, "height": 760}, "color_scheme": "light"},
    "side-by-side-dark.png": {"viewport": {"width": 1280, "height": 760}, "color_scheme": "dark"},
    "phone.png": {
        "viewport": {"width": 390, "height": 760},
        "color_scheme": "light",
        "has_touch": True,
        "is_mobile": True,
    },
}


def main() -> int:
    """Write every picture."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory, sync_playwright() as playwright:
        os.environ["SIDESTREAM_SERVER__STATE_DIR"] = directory
        shipped = (ROOT / "settings.ini").read_text()
        server = Gateway(Path(directory), shipped.replace("{", "{{").replace("}", "}}"))
        server.start()
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_FLAGS)
        try:
            for name, options in SHOTS.items():
                _take(browser, server, IMAGES / name, options)
        finally:
            browser.close()
            server.stop()
    return 0


def _take(browser: Browser, server: Gateway, path: Path, options: dict[str, object]) -> None:
    context = browser.new_context(**options, device_scale_factor=1.5)  # type: ignore[arg-type]
    context.set_default_timeout(60_000)
    expect.set_options(timeout=60_000)
    page = context.new_page()
    open_page(page, server.url)
    page.get_by_role("textbox", name="Prompt").fill(QUESTION)
    page.keyboard.press("Enter")
    expect_longer(column(page, MODEL), ENOUGH_CHARACTERS)
    page.screenshot(path=path)
    page.keyboard.press("Escape")
    context.close()


if __name__ == "__main__":
    sys.exit(main())
