"""What all tests share.

Markers: a test marked `needs_X`, such as `needs_chromium` or `needs_docker` (`tests/system.py`), is
skipped where that is missing, and the end of the run names the one command that brings it in. With
`--no-skips`, as CI runs, whatever was skipped or expected to fail counts as failed.

Logs: a test that starts a server hands its log to `keep_log`; the report of a failed test ends
with it.
"""

import functools
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.tgi import Fake, serve
from tests.fakes.tgi_options import FakeOptions
from tests.system import NEEDS, Need
from tests.workers import ByFolder, place

ARTIFACTS = Path(__file__).parent / "artifacts"
LOG_TAIL_CHARACTERS = 20_000
BRING_IN = "python3 run.py test --system"
MISSING = "is missing here"

# A shell that runs CI in the background has Ctrl-C ignored, and so would every server of the tests.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Gateways of tests ask no port of this machine where some server may run. Those that are to look
# say so in their settings: see `tests/support/gateway.py`.
os.environ["SIDESTREAM_DISCOVERY__ENABLED"] = "no"

KeepLog = Callable[[str, Path | Callable[[], str]], None]
StartFake = Callable[..., Awaitable[Fake]]
_logs_key = pytest.StashKey[dict[str, Path | Callable[[], str]]]()


@pytest.fixture
def keep_log(request: pytest.FixtureRequest) -> KeepLog:
    """Return `keep_log(name, source)`: on failure, show that file or what that function returns."""
    logs = request.node.stash.setdefault(_logs_key, {})

    def keep(name: str, source: Path | Callable[[], str]) -> None:
        logs[name] = source

    return keep


@pytest.fixture(scope="session")
def artifacts() -> Path:
    """Return the folder for screenshots and the like; git does not see it."""
    ARTIFACTS.mkdir(exist_ok=True)
    return ARTIFACTS


@pytest.fixture
async def fake_tgi() -> AsyncIterator[StartFake]:
    """Return `await fake_tgi(cut_after=3)`: start a fake TGI with those `FakeOptions`."""
    async with AsyncExitStack() as stack:

        async def start(**options: Any) -> Fake:
            return await stack.enter_async_context(serve(FakeOptions(**options)))

        yield start


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-skips", action="store_true", help="take a skipped test for a failed one")


@functools.cache
def _works(need: Need) -> bool:
    return need.works()


@pytest.hookimpl(wrapper=True)
def pytest_xdist_auto_num_workers() -> Generator[None, int, int]:
    return (yield) + 1  # see `workers.py`


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFolder:
    return ByFolder(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=place)
    for item in items:
        for need in NEEDS:
            if need.marker and item.get_closest_marker(need.marker) and not _works(need):
                item.add_marker(pytest.mark.skip(reason=f"{need.name} {MISSING}"))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and item.config.getoption("--no-skips"):
        _fail_for_skip(report)
    if report.failed:
        for name, source in item.stash.get(_logs_key, {}).items():
            text = source() if callable(source) else _read_log(source)
            report.sections.append((f"log of {name}", text[-LOG_TAIL_CHARACTERS:]))
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if report.skipped and collector.config.getoption("--no-skips"):
        _fail_for_skip(report)
    return report


def _read_log(path: Path) -> str:
    # A server that could not be started has written none.
    return path.read_text(errors="replace") if path.exists() else ""


def _fail_for_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    why = report.longrepr[2] if isinstance(report.longrepr, tuple) else "expected to fail"
    report.outcome = "failed"
    report.longrepr = f"{report.nodeid}: with --no-skips this may not be left out ({why})"
    if hasattr(report, "wasxfail"):
        del report.wasxfail


def pytest_terminal_summary(terminalreporter: Any) -> None:
    skipped = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])]
    lacking = sum(MISSING in reason for reason in skipped)
    if lacking:
        terminalreporter.write_line(
            f"{lacking} skipped for want of something on this system. Bring it in: {BRING_IN}",
            yellow=True,
        )
