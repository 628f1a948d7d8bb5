"""The way to a server that nobody starts here: what it says until it is well, or why it is not."""

import asyncio
from typing import cast

import pytest

from server.core.errors import (
    EngineError,
    EngineLost,
    EngineOverloaded,
    EngineTimeout,
    SidestreamError,
)
from server.dialects.base import Endpoint, EngineInfo, ServedModel, Upstream
from server.models.approach import Approach
from server.models.attempt import Attempt
from server.models.logbook import LogBook
from server.models.pace import Pace
from server.models.runners.base import Replica
from tests.support.specs import spec
from tests.support.stage import CEILING_SECONDS, LIMITS, StageRunner

ENDPOINT = Endpoint("http://h:1")


class Server:
    """A server that is connected to, looked at and asked for its list, each with what is set."""

    def __init__(self) -> None:
        self.no_connection: SidestreamError | None = None
        self.no_list: SidestreamError | None = None
        self.is_well = False
        self.lists_asked = 0
        self.is_closed = False

    async def connect(self, endpoint: Endpoint) -> Upstream:
        if self.no_connection is not None:
            raise self.no_connection
        return cast(Upstream, self)

    async def is_healthy(self, *, timeout_seconds: float) -> bool:
        return self.is_well

    async def models(self) -> list[ServedModel]:
        self.lists_asked += 1
        if self.no_list is not None:
            raise self.no_list
        return []

    async def describe(self, model: str) -> EngineInfo:
        if self.no_list is not None:
            raise self.no_list
        return EngineInfo(model)

    async def close(self) -> None:
        self.is_closed = True


def to_somebody_elses(server: Server) -> Approach:
    return Approach(server.connect, asks_why=True, gives_up=True, is_patient=False)


async def test_a_server_that_is_well_is_given_and_closed_at_the_end() -> None:
    server = Server()
    server.is_well = True
    approach = to_somebody_elses(server)
    assert await approach.ready(ENDPOINT) is not None
    assert server.lists_asked == 0
    await approach.close()
    assert server.is_closed
    await to_somebody_elses(server).close()


async def test_one_that_says_that_it_is_not_ready_is_to_be_waited_for() -> None:
    server = Server()
    approach = to_somebody_elses(server)
    server.no_connection = EngineOverloaded("asleep")
    assert await approach.ready(ENDPOINT) is None
    assert approach.is_to_be_waited_for == "asleep"
    server.no_connection, server.no_list = None, EngineOverloaded("waking up")
    assert await approach.ready(ENDPOINT) is None
    assert approach.is_to_be_waited_for == "waking up"
    server.is_well, server.no_list = True, None
    assert await approach.ready(ENDPOINT) is not None


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (EngineLost("refused"), "no model server answers at URL"),
        (EngineTimeout("silence"), "no model server answers at URL in time"),
        (EngineError("404", hint="look"), "what answers at URL cannot be used: 404"),
        (None, "what answers at URL cannot be used: it answers, and says that it is not well"),
    ],
)
async def test_why_it_never_is_well_is_told(problem: SidestreamError | None, message: str) -> None:
    server = Server()
    server.no_list = problem
    approach = to_somebody_elses(server)
    assert await approach.ready(ENDPOINT) is None
    assert not approach.is_to_be_waited_for
    failed = approach.in_vain("URL")
    assert failed.message == message
    assert failed.hint
    assert problem is None or problem.hint in (None, failed.hint)


async def test_who_is_no_model_server_is_not_waited_for() -> None:
    server = Server()
    server.no_connection = EngineError("a web page")
    with pytest.raises(EngineError, match="a web page"):
        await to_somebody_elses(server).ready(ENDPOINT)


async def test_servers_of_ours_are_only_looked_at() -> None:
    server = Server()
    approach = Approach(server.connect, asks_why=False, gives_up=False, is_patient=False)
    assert await approach.ready(ENDPOINT) is None
    assert server.lists_asked == 0


async def test_what_it_says_of_a_model_may_be_nothing() -> None:
    server = Server()
    approach = to_somebody_elses(server)
    assert await approach.described("m") is None
    await approach.ready(ENDPOINT)
    assert await approach.described("m") == EngineInfo("m")
    server.no_list = EngineError("not now")
    assert await approach.described("m") is None


async def test_the_connections_of_an_attempt_go_even_if_its_end_is_cancelled() -> None:
    """Regression: a gateway that stopped while an attempt ended left its connections open."""
    server, show = Server(), lambda state, progress: None
    attempt = Attempt(
        spec("x"),
        Replica("test", "a"),
        StageRunner(),
        server.connect,
        LIMITS,
        LogBook(),
        Pace(),
        show,
    )
    attempt._approach.upstream = cast(Upstream, server)
    is_ending, may_end = asyncio.Event(), asyncio.Event()

    async def follow_a_log() -> None:
        try:
            await may_end.wait()
        finally:
            is_ending.set()
            await may_end.wait()

    following = asyncio.create_task(follow_a_log())
    attempt._following.append(following)
    await asyncio.sleep(0)
    closing = asyncio.create_task(attempt.close())
    async with asyncio.timeout(CEILING_SECONDS):
        await is_ending.wait()
        closing.cancel()
        await asyncio.wait([closing])
    assert server.is_closed
    may_end.set()
    await asyncio.wait([following])
