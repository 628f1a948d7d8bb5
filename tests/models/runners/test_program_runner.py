"""What all programs have in common: a claimed port, a supervisor, and an end as a whole."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable

import pytest

from server.core.errors import ModelFailed
from server.models.runners.base import Condition, Replica, Runner
from server.models.runners.programs.runner import ProgramRunner
from tests.models.runners.test_runner_contract import A, B, answers, lines, silent
from tests.support.launching import program_launcher
from tests.support.ports import free_ports
from tests.support.processes import Watched
from tests.support.specs import spec
from tests.support.supervisor import descendants

CEILING_SECONDS = 20


@pytest.fixture
async def make() -> AsyncIterator[Callable[[int], Runner]]:
    """Return a function that makes a runner with so many ports, the same ones each time."""
    made: list[Runner] = []
    first, _ = free_ports(5)

    def make(count: int) -> Runner:
        runner = ProgramRunner(program_launcher(), ports=(first, first + count - 1))
        made.append(runner)
        return runner

    yield make
    for runner in made:
        await runner.close()


def port_of(url: str) -> int:
    """Return the port in a URL."""
    return int(url.rpartition(":")[2])


async def started(runner: Runner) -> int:
    """Start a program, and return its process id."""
    others = descendants(os.getpid()).keys()
    await runner.start(A, spec("serve"), silent)
    await lines(runner, A, until="ready")
    new = {pid: said for pid, said in descendants(os.getpid()).items() if pid not in others}
    (pid,) = [pid for pid, said in new.items() if "program.py" in said]
    return pid


# --- ports --------------------------------------------------------------------------------------


async def test_a_port_that_is_taken_is_passed_over(make: Callable[[int], Runner]) -> None:
    runner = make(3)
    taken = port_of((await runner.start(A, spec("serve"), silent)).url)
    await runner.stop(A, grace_seconds=CEILING_SECONDS)
    with socket.create_server(("127.0.0.1", taken)):
        endpoint = await runner.start(A, spec("serve"), silent)
        assert port_of(endpoint.url) > taken
        await lines(runner, A, until="ready")
        assert await answers(endpoint.url) == 200


async def test_a_port_on_which_nobody_listens_yet_is_taken_all_the_same(
    make: Callable[[int], Runner],
) -> None:
    """A second gateway with the same range, whose model is still loading."""
    ports = set()
    for _ in range(2):
        runner = make(2)
        ports.add(port_of((await runner.start(A, spec("serve"), silent)).url))
    assert len(ports) == 2


async def test_when_all_ports_are_taken_it_says_so_and_what_to_do(
    make: Callable[[int], Runner],
) -> None:
    runner = make(2)
    whats = [(Replica("test", str(number)), spec("serve")) for number in range(4)]
    started = await asyncio.gather(
        *(runner.start(replica, model, silent) for replica, model in whats),
        return_exceptions=True,
    )
    failures = [failure for failure in started if isinstance(failure, ModelFailed)]
    assert len(failures) == 2
    assert "no free port between" in failures[0].message
    assert failures[0].hint == "stop a model, or widen `ports` in [engines]"
    endpoints = {port_of(e.url) for e in started if not isinstance(e, BaseException)}
    assert len(endpoints) == 2


async def test_a_port_is_free_again_once_its_server_is_gone(make: Callable[[int], Runner]) -> None:
    """Connections that were closed just now linger on it."""
    runner = make(1)
    urls = set()
    for _ in range(3):
        endpoint = await runner.start(A, spec("serve"), silent)
        await lines(runner, A, until="ready")
        assert await answers(endpoint.url) == 200
        await runner.stop(A, grace_seconds=CEILING_SECONDS)
        urls.add(endpoint.url)
    assert len(urls) == 1


@pytest.mark.parametrize("what", ["missing", "cancelled"])
async def test_a_start_that_fails_keeps_no_port(make: Callable[[int], Runner], what: str) -> None:
    runner = make(1)
    if what == "missing":
        with pytest.raises(ModelFailed):
            await runner.start(A, spec("missing"), silent)
    else:
        starting = asyncio.create_task(runner.start(A, spec("serve"), silent))
        await asyncio.sleep(0)
        starting.cancel()
        await asyncio.wait([starting])
    await runner.start(B, spec("serve"), silent)


# --- the end ------------------------------------------------------------------------------------


async def test_a_program_that_a_signal_ended_is_told_by_its_number(
    make: Callable[[int], Runner],
) -> None:
    runner = make(1)
    pid = await started(runner)
    os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(CEILING_SECONDS):
        seen = await runner.wait(A)
    assert (seen.condition, seen.exit_code) == (Condition.EXITED, -signal.SIGKILL)


@pytest.mark.parametrize("what", ["mother", "deserter"])
async def test_children_of_an_exited_program_do_not_hide_its_exit_and_are_killed(
    make: Callable[[int], Runner], what: str
) -> None:
    """Regression: as long as anybody held its output open, the program seemed to run."""
    runner = make(1)
    await runner.start(A, spec(what), silent)
    async with asyncio.timeout(CEILING_SECONDS):
        seen = await runner.wait(A)
    assert (seen.condition, seen.exit_code) == (Condition.EXITED, 3)
    grandchild = int(seen.tail[0].text)
    await Watched(grandchild).gone()


async def test_a_terminals_ctrl_c_does_not_reach_the_program(make: Callable[[int], Runner]) -> None:
    runner = make(1)
    pid = await started(runner)
    assert os.getpgid(pid) == pid != os.getpgrp()


async def test_no_program_outlives_a_gateway_that_is_killed() -> None:
    owner = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.owner",
        *map(str, free_ports(5)),
        "serve",
        "stubborn",
        stdout=asyncio.subprocess.PIPE,
    )
    assert owner.stdout is not None
    async with asyncio.timeout(CEILING_SECONDS):
        servers = [Watched(int(pid)) for pid in (await owner.stdout.readline()).split()]
        assert len(servers) == 4  # each with its supervisor
        owner.kill()
        await owner.communicate()
    for server in servers:
        await server.gone()
