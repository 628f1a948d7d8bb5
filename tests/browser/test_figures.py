"""Figures: in one line, the server's, apart from starts and queues, and summed up for a chat."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.gateway import Gateway
from tests.browser.helpers import (
    act,
    ask,
    axe_violations,
    choose,
    column,
    expect_end,
    open_page,
)
from tests.browser.watch import Watch
from tests.browser.wire import FakeWire, model

pytestmark = pytest.mark.needs_chromium

LLAMAS = [f"Meta-Llama-3.1-8B-Instruct-{kind}" for kind in ("Q4_K_M", "Q8_0")]
NAMES = [*LLAMAS, "Qwen2.5-7B-Instruct", "Qwen2.5-14B-Instruct", "c", "d", "e", "f"]

# What is written of an element's text before it is cut off.
SEEN = """(name) => [...name.children].filter((part) => part.scrollWidth <= part.clientWidth)
  .map((part) => part.textContent).join('')"""


def timings(**more: Any) -> dict[str, Any]:
    return {"queued_ms": 0, "ttft_ms": None, "total_ms": 0, "tokens_per_second": None, **more}


def test_eight_columns_leave_room_to_read(page: Page, gateway: Gateway, artifacts: Path) -> None:
    wire = FakeWire(page, [model(name) for name in NAMES])
    wire.on_generate = lambda generation, _: wire.answer(
        generation,
        "Well. " * 90,
        timings=timings(
            queued_ms=15_000,
            starting_ms=11_000,
            ttft_ms=15_400,
            total_ms=17_900,
            tokens_per_second=41,
        ),
    )
    open_page(page, gateway.url)
    choose(page, *NAMES)
    ask(page, "How is the sea?")
    for name in NAMES:
        expect_end(column(page, name))
    page.screenshot(path=artifacts / "eight-columns.png")
    for name in NAMES:
        one = column(page, name)
        heading = one.get_by_role("heading", level=2)
        expect(heading).to_have_text(name)
        expect(heading).to_have_attribute("title", name)
        expect(one.locator(".figures")).to_contain_text("0.40 s")
        assert one.locator(".figures").evaluate("(one) => one.clientHeight") < 30, "one line"
        assert one.locator(".log").evaluate("(one) => one.clientHeight") > 190
    seen = [column(page, name).locator("h2").evaluate(SEEN) for name in NAMES[:4]]
    assert [one.strip("-") for one in seen[:2]] == ["Q4_K_M", "Q8_0"]
    assert ["7B" in seen[2], "14B" in seen[3]] == [True, True]
    first = column(page, "c").locator(".figures div").first
    expect(first).to_have_attribute("title", "First token")
    expect(first).to_contain_text("0.40 s + 11 s start + 4 s queue")
    # Who has arrived races no more.
    expect(column(page, "c").locator(".race")).to_have_attribute("style", "--share: 0;")


def test_long_names_are_cut_where_they_are_alike(
    page: Page, gateway: Gateway, watch: Watch, artifacts: Path
) -> None:
    """In the heads of columns, and beside the sizes in the list."""
    sizes = [f"{size}B" for size in (1, 4, 7, 10, 100, 115, 405, 671)]
    tail = "Instruct with a rather long name"
    models = [
        model(f"m{n}", name=f"Qwen-{n} {size} {tail}", details={"parameters": size})
        for n, size in enumerate(sizes)
    ]
    wire = FakeWire(page, models)
    wire.on_generate = lambda generation, _: wire.answer(generation, "Rain.")
    open_page(page, gateway.url)
    for one in models:
        page.get_by_role("checkbox", name=one["name"], exact=True).check()
    ask(page, "What is the weather?")
    cut = "(all) => all.filter((one) => one.scrollWidth > one.clientWidth).map((a) => a.innerText)"
    expect(page.locator("answer-column h2")).to_have_count(8)
    assert page.locator("answer-column h2 span:not(:last-child)").evaluate_all(cut) == []
    assert page.locator("answer-column h2 span:last-child").evaluate_all(cut) == [f" {tail}"] * 8
    expect(page.locator(".model-chips").get_by_text("115B")).to_be_visible()
    assert page.locator(".model-chips > span").evaluate_all(cut) == []
    page.screenshot(path=artifacts / "long-names.png")
    assert watch.complaints == []


@pytest.mark.parametrize("name", ["Big model", "gpt2", "A B", "Qwen-2.5 7B"])
def test_a_name_that_has_room_is_whole(page: Page, gateway: Gateway, name: str) -> None:
    wire = FakeWire(page, [model("a", name=name)])
    wire.on_generate = lambda generation, _: wire.answer(generation, "Rain.")
    open_page(page, gateway.url)
    ask(page, "What is the weather?")
    expect(page.locator("answer-column h2")).to_have_text(name)
    cut = "(all) => all.filter((one) => one.scrollWidth > one.clientWidth).map((a) => a.innerText)"
    assert page.locator("answer-column h2 span").evaluate_all(cut) == []


def test_queued_answers_show_how_long_and_why_they_wait(page: Page, gateway: Gateway) -> None:
    wire = FakeWire(page, [model("a")])
    page.clock.install()
    open_page(page, gateway.url)
    ask(page, "Why?")
    expect(page.locator(".waiting")).to_be_visible()
    limits = {"position": 3, "max_concurrent": 2, "queue_timeout": 600}
    wire.wait("g1", "queued", **limits)
    page.clock.run_for(12_500)
    waiting = column(page, "a").locator(".waiting")
    expect(waiting).to_have_text(
        "Queued for 12 s, number 3 in line · the server writes 2 answers at once · "
        "given up after 10 min"
    )
    wire.wait("g1", "queued", notice={"code": "server_busy", "message": "overloaded"})
    page.clock.run_for(1_000)
    expect(waiting).to_contain_text("Overloaded")
    expect(column(page, "a").locator(".column-state")).to_have_text("Overloaded")


def test_a_stalled_answer_gets_slower_and_an_interrupted_one_keeps_its_figures(
    page: Page, gateway: Gateway, watch: Watch
) -> None:
    wire = FakeWire(page, [model("a")])
    page.clock.install()
    open_page(page, gateway.url)
    ask(page, "Why?")
    expect(page.locator(".waiting")).to_be_visible()
    wire.say({"type": "delta", "generation": "g1", "seq": 1, "text": "Well"})
    expect(column(page, "a").locator(".answer")).to_have_text("Well")
    page.clock.run_for(1_000)
    wire.say({"type": "delta", "generation": "g1", "seq": 41, "text": ", well"})
    expect(column(page, "a").locator(".answer")).to_have_text("Well, well")
    speed = column(page, "a").locator(".figures dd").nth(1)
    page.clock.run_for(7_000)
    figures = [float((speed.text_content() or "").split()[0])]
    page.clock.run_for(8_000)
    figures.append(float((speed.text_content() or "").split()[0]))
    assert 4 < figures[0] < 6, "40 tokens in 8 seconds"
    assert 2 < figures[1] < 3, "40 tokens in 16 seconds"
    wire.hang_up()
    page.clock.run_for(60_000)
    # The page's clock runs on by itself, too: a second and what it took here, but no wait.
    expect_end(column(page, "a"), r"Interrupted after \d\.")
    expect(column(page, "a").locator(".figures")).to_contain_text("Tokens41")
    shown = column(page, "a").locator(".figures").text_content() or ""
    open_page(page, gateway.url)
    expect_end(column(page, "a"), r"Interrupted after \d\.")
    expect(column(page, "a").locator(".figures")).to_have_text(shown)  # once the models are known
    assert watch.complaints == []


def test_the_figures_of_a_chat_are_copied_as_a_table(
    page: Page, context: BrowserContext, gateway: Gateway, artifacts: Path
) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    wire = FakeWire(page, [model("a"), model("b")])
    speeds = iter([40, 10, 20, 30, 60, 50])
    wire.on_generate = lambda generation, _: wire.answer(
        generation,
        "One two three.",
        timings=timings(ttft_ms=200, total_ms=2_000, tokens_per_second=next(speeds)),
    )
    open_page(page, gateway.url)
    choose(page, "a", "b")
    for prompt in ("one", "two", "three"):
        ask(page, prompt)
        for name in ("a", "b"):
            expect(column(page, name).get_by_text("One two three.")).to_have_count(
                ("one", "two", "three").index(prompt) + 1
            )
    act(page, "a", "Figures of this chat")
    dialog = page.get_by_role("dialog", name="Figures of this chat")
    rows = dialog.get_by_role("row")
    expect(rows.nth(1)).to_have_text("a30.20 s40.0 /s392.00 s6.00 s")
    expect(rows.nth(2)).to_have_text("b30.20 s30.0 /s392.00 s6.00 s")
    expect(dialog).to_contain_text("Of the 3 turns")
    page.screenshot(path=artifacts / "chat-figures.png")
    left = "(one) => one.getBoundingClientRect().left"
    button = dialog.get_by_role("button", name="Copy as Markdown")
    assert button.evaluate(left) == dialog.locator("table").evaluate(left)
    assert axe_violations(page) == []
    dialog.get_by_role("button", name="Copy as Markdown").click()
    expect(dialog.get_by_role("status")).to_have_text("Copied.")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert "| a | 3 | 0.20 s | 40.0 /s | 3 | 9 | 2.00 s | 6.00 s |" in copied
    dialog.get_by_role("button", name="Copy for a spreadsheet").click()
    page.wait_for_function("navigator.clipboard.readText().then((text) => text.includes('\\t'))")
    assert "\nb\t3\t0.2\t30\t3\t9\t2\t6\n" in page.evaluate("navigator.clipboard.readText()")
    page.set_viewport_size({"width": 390, "height": 844})
    page.emulate_media(color_scheme="dark")
    page.screenshot(path=artifacts / "chat-figures-phone.png")
    assert axe_violations(page) == []
    dialog.get_by_role("button", name="Close").click()
    expect(page.locator("summary-view")).to_have_count(0)
