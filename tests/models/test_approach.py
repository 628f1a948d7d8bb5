"""The way to a server that nobody starts here: what it says until it is well, or why it is not."""

from typing import cast

import pytest

from server.core.errors import EngineError, EngineLost, EngineOverloaded, SidestreamError
from server.dialects.base import Endpoint, EngineInfo, ServedModel, Upstream
from server.models.approach import Approach

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


async def test_a_server_that_is_well_is_given_and_closed_at_the_end() -> None:
    server = Server()
    server.is_well = True
    approach = Approach(server.connect, asks_why=True)
    assert await approach.well(ENDPOINT) is not None
    assert server.lists_asked == 0
    await approach.close()
    assert server.is_closed
    await Approach(server.connect, asks_why=True).close()


async def test_one_that_says_that_it_is_not_ready_is_to_be_waited_for() -> None:
    server = Server()
    approach = Approach(server.connect, asks_why=True)
    server.no_connection = EngineOverloaded("asleep")
    assert await approach.well(ENDPOINT) is None
    assert approach.is_to_be_waited_for == "asleep"
    server.no_connection, server.no_list = None, EngineOverloaded("waking up")
    assert await approach.well(ENDPOINT) is None
    assert approach.is_to_be_waited_for == "waking up"
    server.is_well = True
    assert await approach.well(ENDPOINT) is not None


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (EngineLost("refused"), "no model server answers at URL"),
        (EngineError("404", hint="look"), "no model server answers at URL: 404"),
        (None, "no model server answers at URL: it answers, and says that it is not well"),
    ],
)
async def test_why_it_never_is_well_is_told(problem: SidestreamError | None, message: str) -> None:
    server = Server()
    server.no_list = problem
    approach = Approach(server.connect, asks_why=True)
    assert await approach.well(ENDPOINT) is None
    assert not approach.is_to_be_waited_for
    failed = approach.in_vain("URL")
    assert failed.message == message
    assert failed.hint
    assert problem is None or problem.hint in (None, failed.hint)


async def test_who_is_no_model_server_is_not_waited_for() -> None:
    server = Server()
    server.no_connection = EngineError("a web page")
    with pytest.raises(EngineError, match="a web page"):
        await Approach(server.connect, asks_why=True).well(ENDPOINT)


async def test_servers_of_ours_are_only_looked_at() -> None:
    server = Server()
    approach = Approach(server.connect, asks_why=False)
    assert await approach.well(ENDPOINT) is None
    assert server.lists_asked == 0


async def test_what_it_says_of_a_model_may_be_nothing() -> None:
    server = Server()
    approach = Approach(server.connect, asks_why=True)
    assert await approach.described("m") is None
    await approach.well(ENDPOINT)
    assert await approach.described("m") == EngineInfo("m")
    server.no_list = EngineError("not now")
    assert await approach.described("m") is None
