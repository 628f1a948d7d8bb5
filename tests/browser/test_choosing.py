"""Choosing among many models, and their parameters: the list, cards, shortlists, presets."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.gateway import Gateway
from tests.browser.helpers import act, ask, axe_violations, column, open_card, open_page, row
from tests.browser.watch import Watch
from tests.browser.wire import FakeWire, Json, elsewhere, model

pytestmark = pytest.mark.needs_chromium

LOADING = {"phase": "loading", "fraction": 0.4, "text": "Loading weights", "eta_seconds": 12}
BROKEN = {"code": "model_failed", "message": "the weights are gone", "hint": "set `weights`"}
TAB_STOPS = "(list) => list.querySelectorAll('[tabindex=\"0\"]').length"
PLACES = "(rows) => rows.map((row) => row.querySelector('.model-name').textContent)"


def forty() -> list[Json]:
    """Return our own models in every state, a server's, and one that was found."""
    ours = [model(f"own-{n}", state="stopped", details={"parameters": "8B"}) for n in range(20)]
    ours[1] |= {"state": "ready", "limits": {"max_total_tokens": 131072}}
    ours[2] |= {"state": "loading", "progress": LOADING}
    ours[3] |= {"state": "failed", "error": BROKEN}
    there: Json = {"name": "box", "dialect": "ollama"}
    theirs = [elsewhere(f"far-{n}", "http://box:1", "Ollama", server=there) for n in range(19)]
    found = {"name": "lmstudio", "found": True}
    return [*ours, *theirs, elsewhere("new", "http://127.0.0.1:1", "LM Studio", server=found)]


def headings(page: Page) -> Locator:
    return page.locator("#models h3:visible")


def test_forty_models_are_chosen_in_lines_and_groups_by_the_keyboard(
    page: Page, gateway: Gateway, watch: Watch, artifacts: Path
) -> None:
    FakeWire(page, forty())
    open_page(page, gateway.url)
    picker, search = page.locator("#models"), page.get_by_role("searchbox", name="Find a model")
    grid = picker.get_by_role("grid", name="Models")
    expect(headings(page)).to_have_text(
        [
            "Chosen",
            "Running here",
            "Here, not running",
            "LM Studio · 127.0.0.1:1",
            "box · Ollama · box:1",
        ]
    )
    expect(picker.get_by_role("row").first).to_contain_text("Chosen")
    expect(row(page, "own-1").locator(".model-chips > span")).to_have_text(["8B", "128k"])
    expect(row(page, "own-1").locator(".model-dot")).to_be_hidden()
    expect(row(page, "own-0").locator(".model-dot")).to_have_attribute("title", "Not running")
    plain = row(page, "own-0").bounding_box()
    assert plain is not None
    assert plain["height"] <= 36, "one line"
    expect(row(page, "own-2").locator(".model-more")).to_contain_text("Loading weights · 40 %")
    expect(row(page, "own-3").locator(".model-more")).to_contain_text("The weights are gone.")
    page.screenshot(path=artifacts / "forty.png")
    assert axe_violations(page) == []
    # One Tab stop, whatever was gone to.
    search.focus()
    page.keyboard.press("Tab")
    expect(page.get_by_role("checkbox", name="own-0", exact=True)).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("checkbox", name="own-2", exact=True)).to_be_focused()
    assert grid.evaluate(TAB_STOPS) == 1
    page.keyboard.press("ArrowRight")
    about = page.get_by_role("button", name="About own-2", exact=True)
    expect(about).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("button", name="Stop running: own-2")).to_be_focused()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="own-2")).to_be_visible()
    page.keyboard.press("Escape")
    expect(about).to_be_focused()
    expect(picker.locator("model-row")).to_have_count(40)
    page.keyboard.press("End")
    expect(page.get_by_role("button", name="About far-18")).to_be_focused()
    expect(search).to_be_in_viewport()
    page.keyboard.press("Tab")
    expect(picker.locator(":focus")).to_have_count(0)
    page.keyboard.press("Shift+Tab")
    # Letters search, arrows move, Space chooses.
    page.keyboard.type("far-1")
    expect(search).to_be_focused()
    expect(search).to_have_value("far-1")
    expect(picker.get_by_role("status")).to_have_text("10 of 40 models")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    expect(page.get_by_role("checkbox", name="far-10", exact=True)).to_be_checked()
    expect(page.get_by_role("checkbox", name="far-10", exact=True)).to_be_focused()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowUp")
    expect(search).to_be_focused()
    expect(headings(page).first).to_have_text("Chosen")
    page.keyboard.press("Escape")
    expect(search).to_have_value("")
    chosen = page.locator("model-group").first.locator("model-row").evaluate_all(PLACES)
    assert chosen == ["own-0", "own-1", "far-10"]
    assert watch.complaints == []


def test_rows_keep_their_places_while_somebody_is_at_them(
    page: Page, gateway: Gateway, watch: Watch
) -> None:
    wire = FakeWire(page, forty())
    open_page(page, gateway.url)
    own = page.locator("#models model-row", has_text="own")
    before = own.evaluate_all(PLACES)
    row(page, "own-5").hover()
    page.get_by_role("checkbox", name="own-5", exact=True).check()
    started = {**forty()[7], "state": "starting", "progress": {**LOADING, "fraction": None}}
    wire.say({"type": "model", "model": started})
    stop = page.get_by_role("button", name="Stop running: own-7")
    expect(row(page, "own-7").locator(".model-more")).to_contain_text("Loading weights · 12 s")
    assert own.evaluate_all(PLACES) == before
    # A button is not made anew while the progress goes on, or clicks would be lost.
    handle = stop.element_handle()
    wire.say({"type": "model", "model": {**started, "progress": LOADING}})
    expect(row(page, "own-7").locator(".model-more")).to_contain_text("40 %")
    assert handle.evaluate("(button) => button.isConnected")
    page.mouse.move(900, 300)
    page.get_by_role("textbox", name="Prompt").focus()
    expect(page.locator("model-group").first.locator("model-row")).to_have_count(3)
    expect(page.locator("model-group").nth(1).locator("model-row")).to_have_count(2)
    assert watch.complaints == []


def test_rows_of_thousands_of_models_are_made_as_they_come_into_view(
    page: Page, gateway: Gateway, watch: Watch
) -> None:
    there: Json = {"name": "box", "dialect": "ollama"}
    many = [elsewhere(f"m-{n}", "http://box:1", "Ollama", server=there) for n in range(2000)]
    wire = FakeWire(page, [model("own"), *many])
    open_page(page, gateway.url)
    rows = page.locator("#models model-row")
    expect(rows.first).to_be_visible()
    assert rows.count() <= 125
    page.locator("#models").evaluate("(list) => { list.scrollTop = list.scrollHeight }")
    expect(rows.nth(125)).to_be_attached()
    page.get_by_role("searchbox", name="Find a model").fill("m-1999")
    expect(rows).to_have_count(1)
    # A model whose row is not there changes without one.
    wire.say({"type": "model", "model": {**many[1500], "state": "stopped"}})
    page.get_by_role("searchbox", name="Find a model").fill("m-1500")
    expect(row(page, "m-1500")).to_contain_text("Not loaded")
    assert watch.complaints == []


def test_a_card_tells_all_of_a_model_and_starts_it(
    page: Page, gateway: Gateway, watch: Watch, artifacts: Path
) -> None:
    config = {"system": "Be <b>brief</b>.", "chosen": ["temperature"], "weights": "hf:o/r/x.gguf"}
    one = model("a", state="stopped", config=config, parameters={"temperature": 0.7})
    wire = FakeWire(page, [one, model("b")])
    wire.refusals["start"] = {"code": "forbidden", "message": "this is for operators"}
    open_page(page, gateway.url)
    card = open_card(page, "a")
    expect(card.get_by_role("status")).to_have_text("Not running")
    expect(card.locator(".card-facts").first).to_contain_text("hf:o/r/x.gguf")
    expect(card.locator(".card-system")).to_have_text("Be <b>brief</b>.")
    expect(card).to_contain_text("0.7, set by the model")
    card.get_by_role("button", name="Start: a").click()
    expect(card.get_by_role("alert")).to_contain_text("This is for operators.")
    page.screenshot(path=artifacts / "card.png")
    assert axe_violations(page) == []
    wire.refusals.clear()
    card.get_by_role("button", name="Start: a").click()
    wire.say({"type": "model", "model": {**one, "state": "loading", "progress": LOADING}})
    expect(card.get_by_role("status")).to_contain_text("Loading · Loading weights · 40 %")
    expect(card.get_by_role("alert")).to_have_count(0)
    card.get_by_role("button", name="Log: a").click()
    expect(card).to_be_hidden()
    expect(page.get_by_role("region", name="Log: a")).to_be_visible()
    assert watch.complaints == []


def test_a_shortlist_brings_back_what_was_chosen(
    page: Page, gateway: Gateway, watch: Watch, artifacts: Path
) -> None:
    wire = FakeWire(page, forty())
    open_page(page, gateway.url)
    opener = page.get_by_role("button", name="Shortlists")
    opener.click()
    dialog = page.get_by_role("dialog", name="Shortlists")
    name, state = dialog.get_by_label("Name"), dialog.locator("named-sets").get_by_role("status")
    expect(name).to_be_focused()
    dialog.get_by_role("button", name="Save").click()
    expect(state).to_contain_text("Give it a name first.")
    name.fill("The first two")
    name.press("Enter")
    expect(state).to_contain_text("“The first two” is saved.")
    expect(dialog.get_by_role("button", name="own-0, own-1")).to_be_visible()
    page.screenshot(path=artifacts / "shortlists.png")
    assert axe_violations(page) == []
    page.keyboard.press("Escape")
    expect(opener).to_be_focused()
    for one in ("own-0", "own-1"):
        page.get_by_role("checkbox", name=one, exact=True).uncheck()
    opener.click()
    name.fill("None")
    name.press("Enter")
    expect(state).to_contain_text("Choose models first.")
    # What is removed can be had back, and a reload keeps it, but for models that are gone.
    dialog.get_by_role("button", name="Remove The first two").click()
    expect(dialog.get_by_role("button", name="own-0, own-1")).to_have_count(0)
    dialog.get_by_role("button", name="Undo").click()
    expect(dialog.get_by_role("button", name="own-0, own-1")).to_be_visible()
    wire.models = wire.models[1:]
    open_page(page, gateway.url)
    opener.click()
    dialog.get_by_role("button", name="The first two own-1").click()
    expect(dialog).to_contain_text("1 of 2 models are not here any more.")
    page.keyboard.press("Escape")
    expect(page.get_by_role("checkbox", checked=True)).to_have_count(1)
    expect(page.get_by_role("checkbox", name="own-1", exact=True)).to_be_checked()
    assert watch.complaints == []


def test_a_column_gets_another_of_forty_models(
    page: Page, gateway: Gateway, watch: Watch, artifacts: Path
) -> None:
    wire = FakeWire(page, forty())
    wire.on_generate = lambda generation, command: wire.answer(generation, "Yes.")
    page.set_viewport_size({"width": 1280, "height": 600})
    open_page(page, gateway.url)
    ask(page, "Are you there?")
    act(page, "own-0", "Replace the model")
    dialog = page.get_by_role("dialog", name="Replace own-0 by")
    search = dialog.get_by_role("searchbox", name="Find a model")
    expect(search).to_be_focused()
    expect(search).to_be_in_viewport(ratio=1)
    expect(dialog.get_by_role("radio", name="own-0", exact=True)).to_be_checked()
    expect(dialog.get_by_role("radio", name="new")).to_have_count(0)  # it is not in use
    page.screenshot(path=artifacts / "replace.png")
    assert axe_violations(page) == []
    last = dialog.get_by_role("radio", name="far-18")
    last.scroll_into_view_if_needed()
    expect(last).to_be_in_viewport()
    expect(search).to_be_in_viewport(ratio=1)
    page.keyboard.type("far-18")
    page.keyboard.press("Enter")  # it is the only one
    expect(dialog).to_be_hidden()
    expect(column(page, "far-18").locator(".footnote")).to_contain_text("by own-0")
    expect(row(page, "own-0").get_by_role("checkbox")).not_to_be_checked()
    expect(row(page, "far-18").get_by_role("checkbox")).to_be_checked()
    assert watch.complaints == []


def test_parameters_say_what_holds_and_what_is_changed(
    page: Page, gateway: Gateway, watch: Watch, artifacts: Path
) -> None:
    config = {"chosen": ["temperature"], "system": "Answer in verse."}
    one = model("a", config=config, parameters={"temperature": 0.7, "max_new_tokens": 1024})
    other = model("b", parameters={"max_new_tokens": 1024}, defaults={"top_k": 40})
    wire = FakeWire(page, [one, other])
    open_page(page, gateway.url)
    page.get_by_role("button", name="System prompt").click()
    dialog = page.get_by_role("dialog", name="Parameters")
    system, temperature = dialog.get_by_label("System prompt"), dialog.get_by_label("Temperature")
    longest, top_k = dialog.get_by_label("Max tokens"), dialog.get_by_label("Top-k")
    expect(system).to_be_focused()
    expect(system).to_have_attribute("placeholder", "Each model has its own.")
    expect(temperature).to_have_attribute("placeholder", "differs by model")
    expect(longest).to_have_attribute("placeholder", re.compile("^1024, the gateway.s setting$"))
    dialog.get_by_label("For").select_option("a")
    expect(system).to_have_attribute("placeholder", "Answer in verse. (set by the model)")
    expect(temperature).to_have_attribute("placeholder", "0.7, set by the model")
    expect(top_k).to_have_attribute("placeholder", re.compile("^the server.s default$"))
    page.screenshot(path=artifacts / "parameters.png")
    assert axe_violations(page) == []
    dialog.get_by_label("For").select_option("")
    # The slider, the field and its keys are one.
    slider = dialog.locator(".field", has_text="Temperature").locator("[type=range]")
    slider.fill("0.5")
    expect(temperature).to_have_value("0.5")
    temperature.press("ArrowDown")
    expect(temperature).to_have_value("0.45")
    expect(slider).to_have_js_property("value", "0.45")
    # What is wrong is told where it stands, and the others hold.
    longest.fill("0")
    top_k.fill("7")
    expect(longest).to_have_attribute("aria-invalid", "true")
    expect(longest).to_have_accessible_description("Expected a number of at least 1.")
    system.fill("Be brief.")
    expect(page.get_by_role("button", name="Parameters (2)")).to_be_attached()
    page.screenshot(path=artifacts / "parameters-wrong.png")
    assert axe_violations(page) == []
    dialog.get_by_role("button", name="Reset Max tokens").click()
    expect(longest).to_be_focused()
    expect(longest).to_have_attribute("aria-invalid", "false")
    expect(dialog.get_by_role("button", name=re.compile("^Reset "))).to_have_count(4)
    dialog.get_by_label("Name").fill("Mine")
    dialog.get_by_label("Name").press("Enter")
    dialog.get_by_role("button", name="Reset all").click()
    expect(temperature).to_have_value("")
    dialog.get_by_role("button", name="Mine Temperature 0.45 · Top-k 7 · “Be brief.”").click()
    expect(top_k).to_have_value("7")
    expect(system).to_have_value("Be brief.")
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="System prompt ✓")).to_be_focused()
    page.reload()
    ask(page, "Well?")
    expect(page.locator("answer-view")).to_have_count(2)
    [command, _] = wire.commands("generate")
    [target] = command["targets"]
    assert target["parameters"] == {"temperature": 0.45, "top_k": 7}
    assert target["system"] == "Be brief."
    assert watch.complaints == []


def test_wrong_parameters_are_not_dropped_without_a_word(
    page: Page, gateway: Gateway, watch: Watch, artifacts: Path
) -> None:
    FakeWire(page, [model("a")])
    open_page(page, gateway.url)
    page.get_by_role("button", name="Parameters").click()
    dialog = page.get_by_role("dialog", name="Parameters")
    temperature, longest = dialog.get_by_label("Temperature"), dialog.get_by_label("Max tokens")
    temperature.fill("9")
    longest.fill("-3")
    longest.press("Escape")
    warning = dialog.get_by_role("alert")
    expect(warning).to_contain_text("Temperature and Max tokens. Correct them, or leave again")
    expect(temperature).to_be_focused()
    expect(warning).to_be_in_viewport()
    page.screenshot(path=artifacts / "parameters-kept.png")
    assert axe_violations(page) == []
    # What is correct afterwards is left without a question.
    temperature.fill("0.9")
    dialog.get_by_role("button", name="Close").click()
    expect(warning).to_contain_text("Max tokens. Correct it")
    dialog.get_by_label("For").select_option("a")
    expect(dialog.get_by_label("For")).to_have_value("a")
    expect(warning).to_have_text("")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.get_by_role("button", name="Parameters (1)").click()
    longest.fill("-3")
    for _ in range(2):
        expect(dialog).to_be_visible()
        page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert watch.complaints == []


def test_the_help_lists_features_keys_and_the_api(
    page: Page, gateway: Gateway, watch: Watch, artifacts: Path
) -> None:
    open_page(page, gateway.url)
    page.get_by_role("button", name="Help").click()
    dialog = page.get_by_role("dialog", name="Help")
    expect(dialog.get_by_role("term").filter(has_text="Shortlists")).to_be_visible()
    boxes = [key.bounding_box() for key in dialog.locator("kbd").all()]
    assert len({box["height"] for box in boxes if box is not None}) == 1
    assert all(text.strip() for text in dialog.locator("kbd").all_inner_texts())
    assert axe_violations(page) == []
    page.screenshot(path=artifacts / "help.png")
    dialog.get_by_role("link", name="the HTTP API").click()
    expect(page).to_have_title("Sidestream HTTP API")
    assert watch.complaints == []
