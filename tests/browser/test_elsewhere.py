"""Models on remote servers: the list, their answers, and waits."""

import re
import time
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.gateway import Gateway
from tests.browser.helpers import ask, axe_violations, column, open_card, open_page, row, turn
from tests.browser.watch import Watch
from tests.browser.wire import FakeWire, Json, elsewhere, model

pytestmark = pytest.mark.needs_chromium

AWAY = {"code": "engine_error", "message": "connection refused", "hint": "is it running?"}
ABLE = {"chat": True, "cancel": True, "logprobs": True}


def ollama(name: str, *, server: Json | None = None, **more: Json | str | None) -> Json:
    """Return a model of an Ollama that is in use."""
    said: Json = {"name": "ollama", "dialect": "ollama", "seen": time.time(), **(server or {})}
    capabilities = {**ABLE, "load": True}
    values: Json = {"capabilities": capabilities, **more}
    return elsewhere(name, "http://127.0.0.1:11434", "Ollama", server=said, **values)


def vllm(name: str, **more: Json | str | None) -> Json:
    """Return a model of a vLLM that cannot be reached."""
    seen = time.time() - 310
    server: Json = {"name": "gpu", "dialect": "openai", "seen": seen}
    values: Json = {"state": "failed", "error": AWAY, **more}
    return elsewhere(name, "http://gpu-box:8000", "vLLM", server=server, **values)


def found(name: str) -> Json:
    """Return a model of a discovered server that is not in use."""
    server: Json = {"name": "lmstudio", "found": True, "seen": time.time()}
    return elsewhere(name, "http://127.0.0.1:1234", "LM Studio", server=server)


def group(page: Page, title: str) -> Locator:
    return page.locator("model-group").filter(has=page.get_by_role("heading", name=title))


def test_models_stand_by_their_servers_with_what_tells_them_apart(
    page: Page, gateway: Gateway, watch: Watch, artifacts: Path
) -> None:
    loaded = ollama(
        "llama",
        server={"loaded": True},
        limits={"max_total_tokens": 4096, "model_context": 131072},
        details={"quantization": "Q8_0"},
    )
    wire = FakeWire(
        page, [model("own"), loaded, ollama("qwen", state="stopped"), vllm("a"), vllm("b")]
    )
    open_page(page, gateway.url)
    ours = group(page, "Ollama · 127.0.0.1:11434")
    expect(ours.locator("model-row")).to_have_count(2)
    expect(row(page, "llama").locator(".model-chips > :visible")).to_have_text(["Q8", "4k"])
    expect(row(page, "llama").locator(".model-dot")).to_be_hidden()
    expect(row(page, "qwen")).to_contain_text("Not loaded")
    expect(row(page, "qwen").locator(".notice")).to_have_count(0)
    card = open_card(page, "qwen")
    card.get_by_role("button", name="Load: qwen").click()
    expect(card.get_by_role("button", name="Log")).to_have_count(0)
    page.keyboard.press("Escape")
    open_card(page, "llama").get_by_role("button", name="Unload: llama").click()
    page.keyboard.press("Escape")
    assert [one["model"] for one in wire.commands("start")] == ["qwen"]
    assert [one["model"] for one in wire.commands("stop")] == ["llama"]
    away = group(page, "vLLM · gpu-box:8000")
    expect(away.locator(".notice:visible")).to_have_count(1)
    expect(away).to_contain_text("Last seen 5 min ago")
    expect(away).to_contain_text("Connection refused.")
    expect(away.locator("model-row").get_by_role("button")).to_have_count(2)  # their cards
    away.get_by_role("button", name="Try again").click()
    assert [one["model"] for one in wire.commands("start")] == ["qwen", "a"]
    page.screenshot(path=artifacts / "servers.png")
    assert axe_violations(page) == []
    wire.say({"type": "model", "model": vllm("a", state="ready", error=None)})
    expect(away.locator(".notice:visible")).to_have_count(1)
    expect(row(page, "b").locator(".notice")).to_be_visible()
    expect(row(page, "a")).to_have_attribute("data-state", "ready")
    assert watch.complaints == []


def test_found_servers_are_used_only_after_a_click(
    page: Page, gateway: Gateway, watch: Watch
) -> None:
    wire = FakeWire(page, [found("gemma")])
    wire.refusals["use"] = {"code": "forbidden", "message": "this is for operators"}
    open_page(page, gateway.url)
    there = group(page, "LM Studio · 127.0.0.1:1234")
    expect(there).to_contain_text("Found on this machine")
    expect(page.get_by_role("checkbox", name="gemma")).to_be_disabled()
    use = there.get_by_role("button", name="Use LM Studio · 127.0.0.1:1234")
    use.click()
    expect(there.locator(".notice")).to_contain_text("This is for operators.")
    wire.refusals.clear()
    use.click()
    assert [one["server"] for one in wire.commands("use")] == ["lmstudio"] * 2
    used = found("gemma")
    del used["server"]["found"]
    wire.say({"type": "models", "models": [used]})
    expect(page.get_by_role("checkbox", name="gemma")).to_be_enabled()
    expect(page.get_by_text("Found on this machine")).to_be_hidden()
    expect(page.locator(".notice:visible")).to_have_count(0)
    assert watch.complaints == []


def test_columns_of_models_with_one_name_say_which_server_each_is_on(
    page: Page, gateway: Gateway, watch: Watch
) -> None:
    here = {**ollama("ollama/qwen"), "name": "qwen"}
    there = {**vllm("gpu/qwen", state="ready", error=None), "name": "qwen"}
    FakeWire(page, [here, there])
    open_page(page, gateway.url)
    ask(page, "Who are you?")
    names = page.locator("answer-column h2")
    expect(names).to_have_text(["qwen · ollama", "qwen · gpu"])
    page.get_by_role("checkbox", name="qwen").last.uncheck()
    expect(names).to_have_text(["qwen"])
    assert watch.complaints == []


def test_a_column_says_why_it_waits(
    page: Page, gateway: Gateway, watch: Watch, artifacts: Path
) -> None:
    wire = FakeWire(page, [ollama("a"), ollama("b")])
    open_page(page, gateway.url)
    ask(page, "Why?")
    expect(page.locator("answer-view")).to_have_count(2)
    one, other = column(page, "a"), column(page, "b")
    loads = {"code": "server_loads", "message": "the server loads the model: 42 %"}
    wire.wait("g1", "starting", notice=loads)
    expect(one.locator(".waiting")).to_contain_text("The server loads the model: 42 %")
    expect(one.locator(".column-state")).to_have_text("Loading")
    held = {"code": "rate_limited", "message": "too many requests", "details": {"seconds": 40}}
    wire.wait("g2", "queued", position=1, notice=held)
    expect(other.locator(".waiting")).to_contain_text("Too many requests · asked again in 40 s")
    expect(other.locator(".waiting")).to_contain_text("asked again in 38 s")
    other.get_by_role("button", name="Stop").click()
    assert [one["generations"] for one in wire.commands("cancel")] == [["g2"]]
    reads = {"code": "prompt_progress", "message": "", "details": {"processed": 512, "total": 1237}}
    wire.wait("g1", "running", notice=reads)
    expect(one.locator(".waiting")).to_contain_text("Read 512 of 1,237 tokens")
    expect(one.locator(".waiting progress")).to_have_js_property("value", 512 / 1237)
    page.screenshot(path=artifacts / "waits.png")
    wire.answer("g1", "Because.")
    expect(one.locator(".waiting")).to_be_hidden()
    assert watch.complaints == []


def test_an_answer_is_followed_by_what_is_to_be_remarked(
    page: Page, gateway: Gateway, watch: Watch, artifacts: Path
) -> None:
    wire = FakeWire(page, [ollama("a", capabilities={**ABLE, "cancel": False, "cost": True})])
    wire.on_generate = lambda generation, command: wire.answer(
        generation,
        "Because of that.",
        answered_by="One" if generation == "g1" else "Two",
        cost={"amount": 0.00123, "estimated": True},
        details={"finish_reason": "eos_token"},
        notices=[{"code": "parameter_renamed", "message": "`max_tokens` has another name"}],
        usage={"prompt_tokens": None, "completion_tokens": 3, "estimated": True},
    )
    open_page(page, gateway.url)
    ask(page, "Why?")
    one = column(page, "a")
    footnote = turn(one).locator(".footnote")
    expect(footnote).to_contain_text("≈$0.0012")
    expect(footnote).to_contain_text("answered by One")
    expect(footnote).to_contain_text("the server calls it “eos_token”")
    expect(turn(one).locator(".remarks li")).to_have_text(["max_tokens has another name."])
    expect(one.locator(".figures dd").nth(1)).to_have_text("≈41.3 /s")
    expect(one.locator(".figures dd").nth(2)).to_have_text("≈3")
    ask(page, "And?")
    expect(turn(one).locator(".is-changed")).to_have_text("answered by Two, before by One")
    assert axe_violations(page) == []
    page.reload()
    expect(turn(column(page, "a")).locator(".is-changed")).to_contain_text("before by One")
    expect(turn(column(page, "a")).locator(".remarks li")).to_have_count(1)
    page.screenshot(path=artifacts / "remarks.png")
    wire.on_generate = lambda generation, command: wire.answer(
        generation, "Half of", finish_reason="cancelled"
    )
    ask(page, "And then?")
    expect(turn(column(page, "a")).locator(".footnote")).to_contain_text("the server computes on")
    # What it cost is not known, which is not nothing.
    expect(turn(column(page, "a")).locator(".cost")).to_have_text(re.compile(r"cost \S$"))
    assert watch.complaints == []


def test_refused_parameters_can_be_left_out_by_asking_again(
    page: Page, gateway: Gateway, watch: Watch, artifacts: Path
) -> None:
    wire = FakeWire(page, [ollama("a")])
    wire.refusals["generate"] = {
        "code": "invalid_parameters",
        "message": "`min_p` is not taken by Ollama",
        "hint": 'leave it out, or ask with `"lenient": true`',
        "details": {"parameter": "min_p"},
    }
    open_page(page, gateway.url)
    page.get_by_role("button", name="Parameters").click()
    page.get_by_label("Min-p").fill("0.1")
    page.keyboard.press("Escape")
    ask(page, "Why?")
    notice = column(page, "a").locator(".notice")
    expect(notice).to_contain_text("min_p is not taken by Ollama.")
    expect(notice).not_to_contain_text("lenient")
    page.screenshot(path=artifacts / "refused.png")
    wire.refusals.clear()
    wire.on_generate = lambda generation, command: wire.answer(generation, "Because.")
    notice.get_by_role("button", name="Ask without it").click()
    expect(column(page, "a").locator(".answer").last).to_have_text("Because.")
    targets = [command["targets"][0] for command in wire.commands("generate")]
    assert [target.get("lenient", False) for target in targets] == [False, True]
    assert [target["parameters"] for target in targets] == [{"min_p": 0.1}] * 2
    assert watch.complaints == []
