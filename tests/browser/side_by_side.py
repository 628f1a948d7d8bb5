"""A user who compares models: `python -m tests.browser.side_by_side URL PICTURE NAME...`.

It uses the servers that were discovered on this machine, selects the models, asks them all, waits
until each has answered, takes a picture, and prints the texts by their models' names as JSON, with
what the browser complained of. A program of its own: while Playwright runs in a process, nothing
else can have an event loop there.
"""

import json
import sys

from playwright.sync_api import expect, sync_playwright

from server.doctor.checks import find_chromium
from tests.browser.conftest import CEILING_MS, CHROMIUM_FLAGS
from tests.browser.helpers import answer, ask, choose, column, expect_end, open_page
from tests.browser.watch import Watch


def main(url: str, picture: str, *names: str) -> int:
    expect.set_options(timeout=CEILING_MS)
    watch = Watch()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_FLAGS)
        page = browser.new_page(viewport={"width": 1800, "height": 900})
        watch.follow(page)
        open_page(page, url)
        page.get_by_role("button", name="Use ").click()
        expect(page.locator(".group-found:visible")).to_have_count(0)
        choose(page, *names)
        page.get_by_role("button", name="Parameters").click()
        page.get_by_label("Max tokens").fill("12")
        # The likeliest words: servers differ in the temperature of a request that names none.
        page.get_by_label("Temperature").fill("0")
        page.keyboard.press("Escape")
        ask(page, "Name a colour.")
        expect(page.locator("answer-column")).to_have_count(len(names))
        columns = {name: column(page, name) for name in names}
        for one in columns.values():
            expect_end(one)
        page.screenshot(path=picture)
        texts = {name: answer(one).inner_text() for name, one in columns.items()}
        browser.close()
    print(json.dumps({"texts": texts, "complaints": watch.complaints}))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
