"""What the tests of this floor share."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

import tests.support.properties  # noqa: F401


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """Return a session set up as the gateway's own."""
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
        yield session
