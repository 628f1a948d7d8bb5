"""The event loops that tests of models run on."""

import asyncio
from collections.abc import Callable

import pytest
import uvloop

import tests.support.properties  # noqa: F401


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run what starts processes on both loops: they differ most in how they do that."""
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]]
    loops = {"uvloop": uvloop.new_event_loop}
    if item.path.stem in {"test_runner_contract", "test_program_runner"}:
        loops["asyncio"] = asyncio.new_event_loop
    return loops
