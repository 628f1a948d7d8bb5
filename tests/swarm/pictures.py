"""Take the picture of docs/SWARM.md: a model with three replicas, on three nodes of a real swarm.

`python -m tests.swarm.pictures`, as root, makes the bed of the tests and runs the gateway over it.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

from playwright.async_api import async_playwright, expect

from server.doctor.checks import find_chromium
from tests.browser.conftest import CHROMIUM_FLAGS
from tests.docker import image
from tests.docker.engine import INSTANCE
from tests.support.gateway import ROOT, gateway
from tests.swarm.bed import Bed, make_bed
from tests.swarm.settings import settings_of

PICTURE = ROOT / "docs" / "images" / "machines.png"
MODELS = """\
[model popular]
name = Popular
description = One of its servers on each of three machines.
runner = swarm
gpus = 1
replicas = 3
model_id = fake/slow-words
"""
_TIMEOUT_MS = 30_000


def main() -> int:
    """Write the picture."""
    fake = image.fake_image()
    with make_bed(fake) as bed, tempfile.TemporaryDirectory() as folder:
        asyncio.run(_take(bed, fake, Path(folder)))
        bed.clean()
    return 0


async def _take(bed: Bed, fake: str, folder: Path) -> None:
    settings = settings_of(bed, fake, folder, MODELS, swarm="")
    async with (
        gateway(settings, folder, instance=INSTANCE) as server,
        async_playwright() as playwright,
    ):
        browser = await playwright.chromium.launch(
            executable_path=find_chromium(), args=CHROMIUM_FLAGS
        )
        page = await browser.new_page(
            viewport={"width": 1280, "height": 900}, device_scale_factor=1.5
        )
        page.set_default_timeout(_TIMEOUT_MS)
        await page.goto(f"http://{server.address}/")
        prompt = page.get_by_role("textbox", name="Prompt")
        for question in ("Why is the sea blue?", "And the sky?"):
            await prompt.fill(question)
            await prompt.press("Enter")
        await page.locator("#machines").evaluate("button => button.click()")
        ready = page.get_by_role("dialog").locator("li[data-state=ready]")
        await expect(ready).to_have_count(3, timeout=_TIMEOUT_MS)
        await page.screenshot(path=PICTURE)
        await browser.close()


if __name__ == "__main__":
    sys.exit(main())
