"""An operator sees the machines: what is on them, and what is wrong."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import running
from tests.browser.gateway import SETTINGS, Gateway
from tests.browser.helpers import assert_fits, axe_violations, open_page, schemes
from tests.browser.watch import Watch
from tests.conftest import KeepLog

pytestmark = pytest.mark.needs_chromium

LOST_SWARM = """
[swarm]
host = unix:///nowhere/at-all.sock

[model far]
name = Far
runner = swarm
model_id = org/far
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running(tmp_path_factory.mktemp("machines"), SETTINGS + LOST_SWARM) as gateway:
        yield gateway


@pytest.fixture
def gateway_of_a_lost_swarm(shared: Gateway, keep_log: KeepLog) -> Gateway:
    """Return a server with a model in a swarm of which no manager answers."""
    keep_log("the server", lambda: shared.log)
    return shared


def test_machines_are_seen_by_the_keyboard_and_on_a_phone(
    page: Page, gateway_of_a_lost_swarm: Gateway, watch: Watch, artifacts: Path
) -> None:
    """A model that starts meanwhile is shown; its name leads to its card, and back."""
    open_page(page, gateway_of_a_lost_swarm.url)
    opener = page.get_by_role("button", name="Machines…")
    opener.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Machines")
    expect(dialog.get_by_role("status")).to_have_text("One machine, 1 problem")
    expect(dialog.get_by_role("list", name="What is wrong")).to_contain_text("cannot be asked")
    here = dialog.get_by_role("region", name=re.compile("this machine"))
    expect(here).to_contain_text("No model server")
    page.request.post(f"{gateway_of_a_lost_swarm.url}/models/small/start")
    servers = here.get_by_role("list", name=re.compile("Model servers on"))
    expect(servers).to_contain_text(re.compile("Small.*Ready"))
    assert axe_violations(page) == []
    servers.get_by_role("button", name="About Small").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="Small", exact=True)).to_be_visible()
    page.keyboard.press("Escape")
    expect(servers.get_by_role("button", name="About Small")).to_be_focused()
    page.set_viewport_size({"width": 375, "height": 667})
    for scheme in schemes(page):
        assert_fits(page, "machine-list dialog")
        assert axe_violations(page) == []
        page.screenshot(path=artifacts / f"machines-{scheme}.png")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    assert watch.complaints == []


def test_a_server_that_is_gone_is_told_and_what_was_seen_stays(
    page: Page, gateway_of_a_lost_swarm: Gateway
) -> None:
    open_page(page, gateway_of_a_lost_swarm.url)
    page.get_by_role("button", name="Machines…").click()
    dialog = page.get_by_role("dialog", name="Machines")
    here = dialog.get_by_role("region", name=re.compile("this machine"))
    expect(here).to_be_visible()
    page.route("**/machines", lambda route: route.abort())
    expect(dialog.get_by_role("alert")).to_contain_text("The server cannot be reached")
    expect(here).to_be_visible()
    page.unroute("**/machines")
    expect(dialog.get_by_role("alert")).to_have_count(0)
