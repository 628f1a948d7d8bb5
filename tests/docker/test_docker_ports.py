"""Ports of the range: shared by containers, child processes and whoever else listens there."""

import asyncio
import socket

import pytest

from server.core.errors import ModelFailed
from server.models.runners.base import Replica
from server.models.runners.programs.runner import ProgramRunner
from tests.docker.conftest import MakeRunner, model
from tests.docker.engine import INSTANCE, Engine
from tests.docker.watching import A, B, answers, says, silent
from tests.support.launching import program_launcher
from tests.support.ports import free_ports
from tests.support.specs import spec


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


async def test_a_port_that_another_program_has_is_passed_over(make_runner: MakeRunner) -> None:
    ports = free_ports(2)
    runner = make_runner(ports=ports)
    with socket.create_server(("127.0.0.1", ports[0])):
        endpoint = await runner.start(A, model("fake/tgi"), silent)
    assert port_of(endpoint.url) == ports[1]


async def test_a_port_that_only_the_engine_can_see_taken_is_passed_over(
    engine: Engine, make_runner: MakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when another program takes it between our look and the engine's."""
    ports = free_ports(2)
    runner = make_runner(ports=ports)
    monkeypatch.setattr("server.models.runners.ports.is_free", lambda port, lingering=False: True)
    with socket.create_server(("127.0.0.1", ports[0])):
        endpoint = await runner.start(A, model("fake/tgi"), silent)
    assert port_of(endpoint.url) == ports[1]
    assert list(engine.containers()) == ["sidestream-test-a"]


async def test_a_full_range_is_an_error_that_says_so_and_leaves_nothing(
    engine: Engine, make_runner: MakeRunner
) -> None:
    ports = free_ports(1)
    runner = make_runner(ports=ports)
    await runner.start(A, model("fake/tgi"), silent)
    with pytest.raises(ModelFailed, match=f"no free port between {ports[0]} and {ports[0]}"):
        await runner.start(B, model("fake/tgi", "b"), silent)
    assert list(engine.containers()) == ["sidestream-test-a"]
    await runner.stop(A, grace_seconds=5)
    await runner.start(B, model("fake/tgi", "b"), silent)


async def test_a_port_is_used_again_at_once_after_a_stop(make_runner: MakeRunner) -> None:
    """Though connections of the old server may still linger on it."""
    ports = free_ports(1)
    runner = make_runner(ports=ports)
    for _ in range(3):
        endpoint = await runner.start(A, model("fake/tgi"), silent)
        await says(runner, A, "Connected")
        with socket.create_connection(("127.0.0.1", port_of(endpoint.url))):
            await runner.stop(A, grace_seconds=0)


async def test_as_many_starts_at_once_as_there_are_ports_get_one_each(
    engine: Engine, make_runner: MakeRunner
) -> None:
    ports = free_ports(8)
    held: set[int] = set()
    runner = make_runner(ports=ports, held_ports=held)
    processes = ProgramRunner(program_launcher(), ports=ports, held_ports=held)
    try:
        endpoints = await asyncio.gather(
            *(
                runner.start(Replica(INSTANCE, f"c{n}"), model("fake/tgi"), silent)
                for n in range(4)
            ),
            *(processes.start(Replica(INSTANCE, f"p{n}"), spec("serve"), silent) for n in range(4)),
        )
        assert {port_of(one.url) for one in endpoints} == set(range(ports[0], ports[1] + 1))
        for n in range(4):
            await says(runner, Replica(INSTANCE, f"c{n}"), "Connected")
            await says(processes, Replica(INSTANCE, f"p{n}"), "ready")
        assert [await answers(one.url) for one in endpoints] == [200] * 8
    finally:
        await processes.close()
    assert not held
