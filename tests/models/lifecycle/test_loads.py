"""Requests to load and unload a model: one at a time for each model."""

import asyncio
from typing import cast

import pytest

from server.core.errors import EngineError
from server.dialects.base import Upstream
from server.models.lifecycle.loads import Loads
from tests.support.gates import Gate

CEILING_SECONDS = 20


class Server:
    """A server whose loading waits at a gate, and fails if it is told to."""

    def __init__(self) -> None:
        self.loading, self.unloading = Gate(), Gate()
        self.asked: list[str] = []
        self.error: Exception | None = None

    async def load(self, model: str) -> None:
        self.asked.append(f"load {model}")
        await self.loading.pass_through()
        if self.error is not None:
            raise self.error

    async def unload(self, model: str) -> None:
        self.asked.append(f"unload {model}")
        await self.unloading.pass_through()

    @property
    def upstream(self) -> Upstream:
        return cast(Upstream, self)


class Watched:
    """Loads, and every change that was told, with the state it had then."""

    def __init__(self) -> None:
        self.loads = Loads(self._take)
        self.states: list[tuple[str, str | None]] = []
        self._changed = asyncio.Event()

    def _take(self, model_id: str) -> None:
        self.states.append((model_id, self.loads.state(model_id)))
        self._changed.set()

    async def until(self, *states: tuple[str, str | None]) -> None:
        async with asyncio.timeout(CEILING_SECONDS):
            while self.states != list(states):
                self._changed.clear()
                await self._changed.wait()


async def test_a_model_is_loading_until_the_server_says_it_is_there() -> None:
    server, watched = Server(), Watched()
    server.loading.close()
    watched.loads.request("u/m", "loading", [server.upstream], "m")
    await server.loading.reached()
    assert watched.loads.state("u/m") == "loading"
    assert watched.loads.state("u/n") is None
    server.loading.open()
    await watched.until(("u/m", "loading"), ("u/m", None))
    assert server.asked == ["load m"]


async def test_equal_load_requests_share_one_request() -> None:
    server, watched = Server(), Watched()
    server.loading.close()
    for _ in range(3):
        watched.loads.request("u/m", "loading", [server.upstream], "m")
    await server.loading.reached()
    server.loading.open()
    await watched.until(("u/m", "loading"), ("u/m", None))
    assert server.asked == ["load m"]


async def test_the_last_wish_is_the_one_that_counts() -> None:
    server, watched = Server(), Watched()
    server.loading.close()
    watched.loads.request("u/m", "loading", [server.upstream], "m")
    await server.loading.reached()
    watched.loads.request("u/m", "stopping", [server.upstream], "m")
    assert watched.loads.state("u/m") == "stopping"
    await watched.until(("u/m", "loading"), ("u/m", "stopping"), ("u/m", None))
    assert server.asked == ["load m", "unload m"]


@pytest.mark.parametrize("error", [EngineError("out of memory"), RuntimeError("a bug")])
async def test_why_it_failed_is_kept_until_the_next_request(error: Exception) -> None:
    server, watched = Server(), Watched()
    server.error = error
    watched.loads.request("u/m", "loading", [server.upstream], "m")
    await watched.until(("u/m", "loading"), ("u/m", None))
    shown = watched.loads.error("u/m")
    assert shown is not None
    assert str(error) in shown.message
    server.error = None
    watched.loads.request("u/m", "loading", [server.upstream], "m")
    assert watched.loads.error("u/m") is None


async def test_nothing_is_waited_for_at_the_end() -> None:
    server, watched = Server(), Watched()
    server.loading.close()
    watched.loads.request("u/m", "loading", [server.upstream], "m")
    await server.loading.reached()
    await watched.loads.close()
    assert watched.loads.state("u/m") is None
    await Watched().loads.close()
