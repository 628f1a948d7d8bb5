"""Runs that are answered, and what of them is open on the page."""

from playwright.sync_api import Locator, Page, expect

from tests.browser.gateway import Gateway
from tests.browser.helpers import choose, open_page

GRADE = '{"reason": "It names one.", "grade": 4}'
# What the models of tests say, by their names.
TEXTS = {
    "Alpha": "It is **Paris**.",
    "Beta": "It may be Lima.",
    "Gamma": "Ask a map.",
    "Judge": GRADE,
}


def a_run(page: Page, gateway: Gateway, prompts: int, *targets: str, repeats: int = 1) -> str:
    """Have models answer prompts; return the run's name, which is shown in the list."""
    asked = [f"Which capital is number {number}?" for number in range(1, prompts + 1)]
    kept = page.request.post(f"{gateway.url}prompt-sets", data={"prompts": asked, "name": "Set"})
    given = {
        "prompt_set": kept.json()["id"],
        "targets": [{"model": name.lower(), "name": name} for name in targets],
        "repeats": repeats,
        "name": f"Run {kept.json()['id']}",
    }
    run = page.request.post(f"{gateway.url}runs", data=given).json()
    # The stream ends with the run.
    page.request.get(f"{gateway.url}runs/{run['id']}/events")
    name: str = run["name"]
    return name


def open_runs(page: Page, gateway: Gateway, *models: str) -> Locator:
    """Open the page with these models chosen, and the dialog of runs; return the dialog."""
    open_page(page, gateway.url)
    choose(page, *models)
    page.get_by_role("button", name="Runs", exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading", name="Runs")).to_be_visible()
    return dialog


def open_run(page: Page, gateway: Gateway, name: str) -> Locator:
    """Open the page and a run in it; return the dialog."""
    open_page(page, gateway.url)
    page.get_by_role("button", name="Runs", exact=True).click()
    runs = page.get_by_role("dialog")
    runs.get_by_role("button", name=name).click()
    expect(runs.get_by_role("grid")).to_be_visible()
    return runs
