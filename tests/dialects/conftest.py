"""What the tests of this floor share."""

import asyncio
from collections.abc import Callable

import pytest
import uvloop

import tests.support.properties  # noqa: F401


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run what has to do with connections on both loops: each has transports of its own."""
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]]
    loops = {"uvloop": uvloop.new_event_loop}
    if item.path.stem.startswith("test_http_"):
        loops["asyncio"] = asyncio.new_event_loop
    return loops
