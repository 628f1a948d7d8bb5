"""The results of a run on the page: columns for votes and each judge, and who voted."""

from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.answered_runs import TEXTS
from tests.browser.conftest import writing
from tests.browser.helpers import assert_fits, axe_violations, schemes
from tests.browser.test_access import GatewayKeys, enter
from tests.browser.test_run_board import a_run, ask, open_runs
from tests.conftest import KeepLog

pytestmark = pytest.mark.needs_chromium


def show_results(runs: Locator) -> Locator:
    """Show what came of the run that is open; return the table."""
    runs.get_by_role("button", name="Results").click()
    table = runs.get_by_role("region", name="Results", exact=True)
    expect(table.get_by_role("row", name="alpha").first).to_be_visible()
    return table


def heads(table: Locator) -> list[str]:
    return table.get_by_role("columnheader").all_inner_texts()


@pytest.mark.timeout(120)
def test_votes_and_judges_have_columns_of_their_own_and_voters_their_names(
    page: Page, tmp_path: Path, keep_log: KeepLog, artifacts: Path
) -> None:
    with writing(tmp_path, TEXTS, delay_ms=1) as gateway:
        keep_log("the server", lambda: gateway.log)
        keys = GatewayKeys(gateway)
        anna, ben = keys.add("anna"), keys.add("ben")
        page.goto(gateway.url)
        enter(page, gateway, anna)
        run = a_run(gateway, anna)
        runs = open_runs(page)
        runs.get_by_role("list", name="Runs").get_by_role("button").first.click()
        table = show_results(runs)
        assert heads(table)[2:4] == ["95 % interval", "First token"]
        expect(runs.get_by_text("Nobody has voted.")).to_be_visible()
        page.keyboard.press("Escape")

        ask(gateway, "PATCH", f"/runs/{run}", {"shared_with": ["ben"]}, anna)
        for prompt in range(8):
            given = {"among": [0, 1], "winners": [0], "blind": True}
            ask(gateway, "PUT", f"/runs/{run}/prompts/{prompt}/vote", given, anna)
        given = {"among": [1, 2], "winners": [], "blind": False}
        ask(gateway, "PUT", f"/runs/{run}/prompts/0/vote", given, ben)
        judge = {"model": "judge", "criteria": "Does it name a capital?"}
        ask(gateway, "POST", f"/runs/{run}/judges", judge, anna)
        ask(gateway, "POST", f"/runs/{run}/judges", {**judge, "mode": "pairs"}, anna)
        runs.get_by_role("button", name="Judges").click()
        for name in ("Judge", "Judge (2)"):
            judged = runs.get_by_role("region", name=name, exact=True)
            expect(judged).to_contain_text("Done · ")
        page.keyboard.press("Escape")
        table = show_results(runs)
        assert heads(table)[2:6] == ["95 % interval", "Votes won", "Judge Judge", "Judge Judge (2)"]
        alpha, beta = (table.get_by_role("row", name=name).first for name in ("alpha", "beta"))
        expect(alpha).to_contain_text("100 % (68 to 100 %)")
        expect(beta).to_contain_text("6 % (1 to 38 %)")
        expect(alpha).to_contain_text("4.00 of 5 (4.00 to 4.00)")
        # Ben has tied it with one other answer.
        warm = table.get_by_role("row", name="warm")
        expect(warm).to_contain_text("0.5 of 1 pair, too few winners")
        expect(runs.get_by_text("Made of 9 votes by 2 voters, 8 of them blind.")).to_be_visible()
        runs.get_by_text("Who voted").click()
        voters = runs.get_by_role("region", name="Who voted")
        expect(voters.get_by_role("row", name="anna (you)")).to_contain_text("88")
        expect(voters.get_by_role("row", name="ben")).to_contain_text("10")
        for scheme in schemes(page):
            table.scroll_into_view_if_needed()
            page.screenshot(path=artifacts / f"rates-{scheme}.png")
            voters.scroll_into_view_if_needed()
            page.screenshot(path=artifacts / f"voters-{scheme}.png")
            assert axe_violations(page) == []
        page.set_viewport_size({"width": 390, "height": 844})
        table.scroll_into_view_if_needed()
        assert_fits(page, ".runs-body")
        page.screenshot(path=artifacts / "rates-phone.png")
        voters.scroll_into_view_if_needed()
        page.screenshot(path=artifacts / "voters-phone.png")
        assert axe_violations(page) == []
