"""A headless Chromium, a page that is watched, and the real server behind it."""

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from server.doctor.checks import find_chromium
from tests.browser.gateway import ROOT, SETTINGS, Gateway
from tests.browser.watch import Watch
from tests.conftest import KeepLog
from tests.support.ports import free_ports

# A ceiling for what is waited for, not a time that is waited: it includes a model's start.
CEILING_MS = 60_000

CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Two pages of the browser's own for each window, whose scripts take a core while ours load.
    "--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup",
]


# Not for the session: while Playwright runs, no other test can run an event loop.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=CEILING_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def shared_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running(tmp_path_factory.mktemp("gateway"), SETTINGS) as gateway:
        yield gateway


@pytest.fixture
def gateway(shared_gateway: Gateway, keep_log: KeepLog) -> Gateway:
    """Return the server that most tests share; its model starts once."""
    keep_log("the server", lambda: shared_gateway.log)
    return shared_gateway


@pytest.fixture
def own_gateway(tmp_path: Path, keep_log: KeepLog) -> Iterator[Gateway]:
    """Run a server for one test, to be killed."""
    with running(tmp_path, SETTINGS) as gateway:
        keep_log("the server", lambda: gateway.log)
        yield gateway


@pytest.fixture
def eight_models(tmp_path: Path, keep_log: KeepLog) -> Iterator[Gateway]:
    """Run a server with eight models: a model and seven presets of it."""
    presets = "".join(f"[model m{n}]\nname = Preset {n}\nbase = small\n" for n in range(2, 9))
    first = re.sub(r"\n\[model brief\].*", "\n", SETTINGS, flags=re.DOTALL)
    with running(tmp_path, first + presets) as gateway:
        keep_log("the server", lambda: gateway.log)
        yield gateway


@contextlib.contextmanager
def running(directory: Path, settings: str) -> Iterator[Gateway]:
    """Run a server with these settings while the block lasts."""
    gateway = Gateway(directory, settings)
    gateway.start()
    try:
        yield gateway
    finally:
        gateway.stop()


@contextlib.contextmanager
def writing(
    directory: Path,
    texts: Mapping[str, str],
    *,
    delay_ms: int,
    options: Mapping[str, Sequence[str]] = MappingProxyType({}),
    limits: Mapping[str, int] = MappingProxyType({}),
) -> Iterator[Gateway]:
    """Run a server with a model for each text, by its name, which writes it token by token.

    `options` are more ones of a model's server, `limits` how much models write at once.
    """
    first, _ = free_ports(len(texts))
    settings = "[server]\ninstance = {instance}\nstate_dir = {directory}\nshutdown_grace = 0\n"
    with contextlib.ExitStack() as stack:
        log = stack.enter_context((directory / "models.log").open("w"))
        for port, (name, text) in enumerate(texts.items(), first):
            settings += f"\n[model {name.lower()}]\nname = {name}\nrunner = remote\n"
            settings += f"url = http://127.0.0.1:{port}\n"
            if name in limits:
                settings += f"max_concurrent = {limits[name]}\n"
            command = [sys.executable, "-m", "tests.fakes.tgi", f"--port={port}"]
            command += [f"--delay-ms={delay_ms}", f"--text={text}", *options.get(name, ())]
            model = stack.enter_context(subprocess.Popen(command, cwd=ROOT, stdout=log))
            stack.callback(model.kill)
        yield stack.enter_context(running(directory, settings))


@pytest.fixture
def watch(keep_log: KeepLog) -> Watch:
    """Return a record of what the page does; a failed test prints it."""
    watch = Watch()
    keep_log("the page", lambda: watch.report)
    return watch


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme="light")
    context.set_default_timeout(CEILING_MS)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext, watch: Watch) -> Page:
    page = context.new_page()
    watch.follow(page)
    return page
