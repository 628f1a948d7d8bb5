"""What the tests of this floor share."""

import asyncio
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest
import uvloop

import tests.support.properties  # noqa: F401


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """Return a session set up as the gateway's own."""
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
        yield session


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run what starts processes on both loops: they differ most in how they do that."""
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]]
    loops = {"uvloop": uvloop.new_event_loop}
    if item.path.stem in {"test_runner_contract", "test_process_runner"}:
        loops["asyncio"] = asyncio.new_event_loop
    return loops
