"""Programs in a fleet: when they are ready, what is shown of a start, and why they fail."""

import asyncio
import os
import shlex
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from server.core.errors import ModelFailed
from server.core.placement import Capacity
from server.dialects.connector import Connector
from server.dialects.http.timeouts import Timeouts
from server.models.fleet import Fleet
from server.models.runners.programs.command import CommandLauncher
from server.models.runners.programs.runner import ProgramRunner
from tests.support import program
from tests.support.fake_fleet import CEILING_SECONDS, LIMITS, FakeFleet, FakeRunner
from tests.support.ports import free_ports
from tests.support.specs import catalog
from tests.support.supervisor import descendants

FAKE_OPENAI = [sys.executable, "-m", "tests.fakes.openai", "--port", "{port}"]
FAKE_TGI = [sys.executable, "-m", "tests.fakes.tgi", "--port", "{port}"]
SLOW_PROGRAM = [sys.executable, "-m", "tests.support.slow_program", "{port}"]


def command(*words: str | Path, **settings: Any) -> dict[str, Any]:
    """Return the settings of a model with that command."""
    return {"runner": "command", "command": shlex.join(map(str, words)), **settings}


def misbehaving(what: str) -> dict[str, Any]:
    """Return the settings of a model that does what `tests/support/program.py` is told."""
    return command(sys.executable, "-S", "-E", program.__file__, what, "--port", "{port}")


@asynccontextmanager
async def fleet(model: dict[str, Any], **limits: Any) -> AsyncIterator[FakeFleet]:
    """Run a fleet with one model `a`; nothing of it is left behind."""
    others = descendants(os.getpid()).keys()
    fleet = Fleet(
        catalog(a=model),
        {"command": ProgramRunner(CommandLauncher(), ports=free_ports(5))},
        Connector(Timeouts(connect=5.0, read=20.0)).connect,
        lambda spec: replace(LIMITS, **limits),
        instance="test",
        capacity=Capacity(),
    )
    try:
        yield FakeFleet(fleet, FakeRunner())
    finally:
        await fleet.close(keeps_servers=False)
    assert not descendants(os.getpid()).keys() - others


@pytest.mark.parametrize(
    ("words", "engine", "dialect"),
    [
        (FAKE_TGI, "TGI", "tgi"),
        ([*FAKE_OPENAI, "--flavour", "vllm"], "vLLM", "openai"),
        ([*FAKE_OPENAI, "--flavour", "llama.cpp"], "llama.cpp", "openai"),
    ],
    ids=["tgi", "vllm", "llama.cpp"],
)
async def test_a_program_is_started_for_who_asks_recognised_and_stopped(
    words: list[str], engine: str, dialect: str
) -> None:
    async with fleet(command(*words)) as s:
        assert s.fleet.snapshot("a").state == "stopped"
        lease = await s.use()
        assert (lease.info.engine, lease.info.dialect) == (engine, dialect)
        model = s.fleet.snapshot("a")
        assert (model.state, model.engine, model.runner, model.server) == (
            "ready",
            engine,
            "command",
            None,
        )
        s.fleet.stop("a")
        await s.state("stopped")


async def test_a_server_that_says_it_loads_is_shown_loading(tmp_path: Path) -> None:
    loaded = tmp_path / "loaded"
    async with fleet(command(*SLOW_PROGRAM, "503", loaded)) as s:
        using = asyncio.create_task(s.use())
        model = await s.state("loading")
        assert "Loading model" in (model.progress.text if model.progress else "")
        loaded.touch()
        await using


@pytest.mark.parametrize("what", ["404", "empty", "health"])
async def test_a_server_that_answers_before_loading_is_waited_for(
    what: str, tmp_path: Path
) -> None:
    loaded = tmp_path / "loaded"
    async with fleet(command(*SLOW_PROGRAM, what, loaded)) as s:
        using = asyncio.create_task(s.use())
        await s.state("loading")
        assert not using.done()
        loaded.touch()
        await using


async def test_log_lines_are_shown_during_a_start() -> None:
    async with fleet(misbehaving("elsewhere")) as s:
        s.fleet.start("a")
        model = await s.sees(lambda m: m.progress is not None and m.progress.text == "ready")
        assert model.state == "starting"
        assert "ready" in [line.text for line in s.fleet.log("a").tail(100)]
        s.fleet.stop("a")
        await s.state("stopped")


async def test_a_program_at_another_port_gets_an_explanation() -> None:
    async with fleet(misbehaving("elsewhere"), start=2.0) as s:
        with pytest.raises(
            ModelFailed, match=r"it listens on port \d+, and nobody answers at http"
        ):
            await s.use()


async def test_a_program_that_daemonises_gets_an_explanation() -> None:
    async with fleet(misbehaving("daemon")) as s:
        with pytest.raises(ModelFailed, match="something that it had started went on"):
            await s.use()
        assert (await s.state("failed")).error is not None


async def test_a_server_that_crashed_when_ready_is_restarted() -> None:
    async with fleet(command(*FAKE_OPENAI), restarts=3) as s:
        await s.use()
        (pid,) = [p for p, t in descendants(os.getpid()).items() if "tests.fakes.openai" in t]
        os.kill(pid, 9)
        await s.sees(lambda m: m.state != "ready")
        await s.state("ready")
        assert "failed" in s.states()


async def test_a_starting_program_that_ignores_the_stop_is_killed() -> None:
    async with fleet(misbehaving("stubborn"), stop_grace=0.2) as s:
        s.fleet.start("a")
        await s.sees(lambda m: m.progress is not None and m.progress.text == "ready")
        s.fleet.stop("a")
        async with asyncio.timeout(CEILING_SECONDS):
            await s.state("stopped")
