"""The contract of every runner that starts servers, as `runners/base.py` states it.

A `Bench` is a place to run in: it makes a runner, and models that behave as a test needs them. A
new runner joins by a bench in `BENCHES`; the tests stay as they are.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Protocol

import aiohttp
import pytest

from server.core.errors import ModelFailed
from server.core.protocol import Progress
from server.models.catalogue.catalog import ModelSpec
from server.models.logbook import LogLine
from server.models.runners.base import Condition, Replica, Runner
from server.models.runners.programs.command import CommandLauncher
from server.models.runners.programs.runner import ProgramRunner
from tests.support.launching import program_launcher
from tests.support.ports import free_ports
from tests.support.specs import command_spec, spec
from tests.support.supervisor import descendants

CEILING_SECONDS = 20
A, B = Replica("test", "a"), Replica("test", "b")


class Bench(Protocol):
    """A place to run servers in, whose `spec(what)` is told what by `tests/support/program.py`."""

    def runner(self, ports: tuple[int, int]) -> Runner:
        """Return a new runner."""

    def spec(self, what: str) -> ModelSpec:
        """Return a model whose server does that."""

    def leftovers(self) -> object:
        """Return whatever is there of the servers, seen past the runner; falsy for nothing."""


class ProgramBench:
    """Programs in the embedded engine's place; all that they have started counts."""

    def __init__(self) -> None:
        self._others = descendants(os.getpid()).keys()

    def runner(self, ports: tuple[int, int]) -> Runner:
        return ProgramRunner(program_launcher(), ports=ports)

    def spec(self, what: str) -> ModelSpec:
        return spec(what)

    def leftovers(self) -> object:
        return descendants(os.getpid()).keys() - self._others


class CommandBench(ProgramBench):
    """Programs, each by a command."""

    def runner(self, ports: tuple[int, int]) -> Runner:
        return ProgramRunner(CommandLauncher(), ports=ports)

    def spec(self, what: str) -> ModelSpec:
        return command_spec(what)


BENCHES: dict[str, Callable[[], Bench]] = {"process": ProgramBench, "command": CommandBench}


@pytest.fixture(params=BENCHES.values(), ids=list(BENCHES))
def bench(request: pytest.FixtureRequest) -> Bench:
    """Go through the benches."""
    make: Callable[[], Bench] = request.param
    return make()


@pytest.fixture
def ports() -> tuple[int, int]:
    """Return a range of ports that nobody uses."""
    return free_ports(10)


@pytest.fixture
async def runner(bench: Bench, ports: tuple[int, int]) -> AsyncIterator[Runner]:
    """Return a runner, which leaves nothing behind when it is closed."""
    runner = bench.runner(ports)
    yield runner
    await runner.close()
    assert not bench.leftovers()


def silent(progress: Progress) -> None:
    """Hear nothing of the progress."""


async def lines(runner: Runner, replica: Replica, *, until: str) -> list[str]:
    """Follow the log up to a line, and return it so far."""
    seen: list[str] = []
    log = runner.logs(replica, tail=100, follow=True)
    async with asyncio.timeout(CEILING_SECONDS):
        async for line in log:
            seen.append(line.text)
            if line.text == until:
                return seen
    raise AssertionError(f"no line {until!r} among {seen}")


async def history(runner: Runner, replica: Replica, *, tail: int = 100) -> list[LogLine]:
    """Return what the log holds."""
    async with asyncio.timeout(CEILING_SECONDS):
        return [line async for line in runner.logs(replica, tail=tail, follow=False)]


async def answers(url: str) -> int:
    """Return the status with which the server answers."""
    async with aiohttp.ClientSession() as http, http.get(url) as response:
        return response.status


# --- absent -------------------------------------------------------------------------------------


async def test_an_absent_replica_is_missing_everywhere(runner: Runner) -> None:
    async with asyncio.timeout(CEILING_SECONDS):
        assert (await runner.inspect(A)).condition is Condition.MISSING
        assert (await runner.wait(A)).condition is Condition.MISSING
        assert await runner.list() == []
        assert await history(runner, A) == []
        assert [line async for line in runner.logs(A, tail=5, follow=True)] == []
        await runner.stop(A, grace_seconds=0)


# --- running ------------------------------------------------------------------------------------


async def test_a_started_server_runs_and_answers_at_its_endpoint(
    runner: Runner, bench: Bench
) -> None:
    reported: list[Progress] = []
    endpoint = await runner.start(A, bench.spec("serve"), reported.append)
    await lines(runner, A, until="ready")
    assert await answers(endpoint.url) == 200
    seen = await runner.inspect(A)
    assert (seen.replica, seen.condition, seen.endpoint) == (A, Condition.RUNNING, endpoint)
    assert [observed.replica for observed in await runner.list()] == [A]
    assert reported
    assert bench.leftovers()


async def test_starting_a_running_server_changes_nothing(runner: Runner, bench: Bench) -> None:
    first = await runner.start(A, bench.spec("serve"), silent)
    await lines(runner, A, until="ready")
    there = bench.leftovers()
    assert await runner.start(A, bench.spec("serve"), silent) == first
    assert bench.leftovers() == there


async def test_several_run_side_by_side_each_at_a_place_of_its_own(
    runner: Runner, bench: Bench
) -> None:
    replicas = [Replica("test", str(number)) for number in range(4)]
    endpoints = await asyncio.gather(
        *(runner.start(replica, bench.spec("serve"), silent) for replica in replicas)
    )
    assert len({endpoint.url for endpoint in endpoints}) == 4
    for replica, endpoint in zip(replicas, endpoints, strict=True):
        await lines(runner, replica, until="ready")
        assert await answers(endpoint.url) == 200
    assert {observed.replica for observed in await runner.list()} == set(replicas)


async def test_stopping_one_leaves_the_others(runner: Runner, bench: Bench) -> None:
    for replica in (A, B):
        await runner.start(replica, bench.spec("serve"), silent)
        await lines(runner, replica, until="ready")
    await runner.stop(A, grace_seconds=CEILING_SECONDS)
    assert (await runner.inspect(A)).condition is Condition.MISSING
    assert (await runner.inspect(B)).condition is Condition.RUNNING


# --- ended --------------------------------------------------------------------------------------


async def test_an_exit_is_reported_with_the_last_lines(runner: Runner, bench: Bench) -> None:
    await runner.start(A, bench.spec("exit"), silent)
    async with asyncio.timeout(CEILING_SECONDS):
        seen = await runner.wait(A)
    assert (seen.condition, seen.exit_code) == (Condition.EXITED, 3)
    assert [line.text for line in seen.tail] == ["one", "two", "three"]
    assert await runner.inspect(A) == seen
    assert await runner.list() == [seen]
    assert [line.text for line in await history(runner, A, tail=2)] == ["two", "three"]


async def test_the_log_ends_with_the_server(runner: Runner, bench: Bench) -> None:
    await runner.start(A, bench.spec("exit"), silent)
    async with asyncio.timeout(CEILING_SECONDS):
        followed = [line.text async for line in runner.logs(A, tail=100, follow=True)]
    assert followed == ["one", "two", "three"]


async def test_an_exited_server_is_started_anew(bench: Bench) -> None:
    """Even where there is only the port it had before."""
    runner = bench.runner(free_ports(1))
    await runner.start(A, bench.spec("exit"), silent)
    await runner.wait(A)
    endpoint = await runner.start(A, bench.spec("serve"), silent)
    await lines(runner, A, until="ready")
    assert await answers(endpoint.url) == 200
    await runner.close()


async def test_stopping_an_exited_server_removes_the_rest(runner: Runner, bench: Bench) -> None:
    await runner.start(A, bench.spec("exit"), silent)
    await runner.wait(A)
    await runner.stop(A, grace_seconds=0)
    assert (await runner.inspect(A)).condition is Condition.MISSING
    assert not bench.leftovers()


async def test_wait_returns_after_a_stop(runner: Runner, bench: Bench) -> None:
    await runner.start(A, bench.spec("serve"), silent)
    await lines(runner, A, until="ready")
    waiting = asyncio.create_task(runner.wait(A))
    await runner.stop(A, grace_seconds=CEILING_SECONDS)
    async with asyncio.timeout(CEILING_SECONDS):
        assert (await waiting).condition in (Condition.EXITED, Condition.MISSING)


async def test_cancelling_wait_leaves_the_server_running(runner: Runner, bench: Bench) -> None:
    await runner.start(A, bench.spec("serve"), silent)
    await lines(runner, A, until="ready")
    waiting = asyncio.create_task(runner.wait(A))
    await asyncio.sleep(0)
    waiting.cancel()
    with suppress(asyncio.CancelledError):
        await waiting
    assert (await runner.inspect(A)).condition is Condition.RUNNING


# --- stopping -----------------------------------------------------------------------------------


async def test_a_server_that_ignores_the_request_to_end_is_killed(
    runner: Runner, bench: Bench
) -> None:
    await runner.start(A, bench.spec("stubborn"), silent)
    await lines(runner, A, until="ready")
    async with asyncio.timeout(CEILING_SECONDS):
        await runner.stop(A, grace_seconds=0.1)
    assert not bench.leftovers()


async def test_a_stop_that_is_cancelled_kills_rather_than_leave_the_server_running(
    runner: Runner, bench: Bench
) -> None:
    await runner.start(A, bench.spec("stubborn"), silent)
    await lines(runner, A, until="ready")
    stopping = asyncio.create_task(runner.stop(A, grace_seconds=600))
    await asyncio.sleep(0)
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    async with asyncio.timeout(CEILING_SECONDS):
        await runner.wait(A)
    assert not bench.leftovers()


async def test_closing_ends_everything(bench: Bench, ports: tuple[int, int]) -> None:
    runner = bench.runner(ports)
    for replica, what in ((A, "serve"), (B, "stubborn")):
        await runner.start(replica, bench.spec(what), silent)
    async with asyncio.timeout(CEILING_SECONDS):
        await runner.close()
    assert not bench.leftovers()
    assert await runner.list() == []


# --- starts that fail or are given up -----------------------------------------------------------


async def test_a_start_that_is_cancelled_leaves_nothing_behind(
    runner: Runner, bench: Bench
) -> None:
    """Wherever the cancel hits: after one step, after two, and so on until it is too late.

    Where a start waits for another process, that are thousands; later ones are taken in strides.
    """
    steps = 0
    while steps < 1_000_000:
        starting = asyncio.create_task(runner.start(A, bench.spec("serve"), silent))
        for _ in range(steps):
            await asyncio.sleep(0)
        was_started = starting.done()
        starting.cancel()
        with suppress(asyncio.CancelledError):
            await starting
        if was_started:
            break
        assert not bench.leftovers(), f"cancelled after {steps} steps"
        assert (await runner.inspect(A)).condition is Condition.MISSING
        steps += 1 + steps // 8
    else:
        raise AssertionError("it never got started")
    assert steps > 0


async def test_a_program_that_cannot_be_run_is_an_error_with_a_reason(
    runner: Runner, bench: Bench
) -> None:
    with pytest.raises(ModelFailed, match=r"cannot be executed.*/nonexistent/engine"):
        await runner.start(A, bench.spec("missing"), silent)
    assert (await runner.inspect(A)).condition is Condition.MISSING
    await runner.start(A, bench.spec("serve"), silent)


# --- the log ------------------------------------------------------------------------------------


async def test_a_log_is_given_from_as_far_back_as_asked(runner: Runner, bench: Bench) -> None:
    await runner.start(A, bench.spec("chatter"), silent)
    seen = await lines(runner, A, until="ready")
    assert len(seen) <= 5001
    assert [line.text for line in await history(runner, A, tail=3)] == ["4998", "4999", "ready"]
    assert await history(runner, A, tail=0) == []
    stamps = [line.time for line in await history(runner, A)]
    assert stamps == sorted(stamps)


async def test_very_long_and_invalid_lines_do_no_harm(runner: Runner, bench: Bench) -> None:
    await runner.start(A, bench.spec("long-line"), silent)
    async with asyncio.timeout(CEILING_SECONDS):
        seen = await runner.wait(A)
    assert seen.exit_code == 0
    texts = [line.text for line in await history(runner, A)]
    assert "".join(texts[:-2]) == "x" * 200_000
    assert texts[-2:] == ["\ufffd\ufffd", "last"]


async def test_several_may_read_one_log(runner: Runner, bench: Bench) -> None:
    await runner.start(A, bench.spec("exit"), silent)

    async def read() -> list[str]:
        return [line.text async for line in runner.logs(A, tail=100, follow=True)]

    async with asyncio.timeout(CEILING_SECONDS):
        assert await asyncio.gather(*(read() for _ in range(3))) == [["one", "two", "three"]] * 3
