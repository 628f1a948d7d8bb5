"""Engines that run for the whole session, on weights fetched as a user's are."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from server.engine.arguments import default_weights_dir
from server.engine.log import EngineLog
from server.engine.weights import WeightsRequest, obtain_weights
from tests.conftest import KeepLog
from tests.engine.client import CEILING_SECONDS, Client
from tests.engine.processes import WEIGHTS, EngineProcess, running_engine

SMALL_KEY = "Small-Key"
SMALL_CONTEXT = 160


@pytest.fixture(scope="session")
def weights() -> Path:
    """Return the real model's file, fetched once into the user's own cache."""
    request = WeightsRequest(WEIGHTS, WEIGHTS, default_weights_dir(), None)
    return obtain_weights(request, EngineLog(json_output=False)).path


@pytest.fixture(scope="session")
def big_process(weights: Path) -> Iterator[EngineProcess]:
    # One thread each: on a machine that does other things too, more of them wait for each other.
    with running_engine("--model-id", "big", "--json-output", "--threads", "1") as engine:
        yield engine


@pytest.fixture(scope="session")
def small_process(weights: Path) -> Iterator[EngineProcess]:
    arguments = {
        "--slots": "1",
        "--threads": "1",
        "--max-concurrent-requests": "2",
        "--context-tokens": str(SMALL_CONTEXT),
        "--keep-alive-seconds": "0.2",
        "--api-key": SMALL_KEY,
    }
    with running_engine(*(part for pair in arguments.items() for part in pair)) as engine:
        yield engine


@pytest.fixture
async def engine(big_process: EngineProcess, keep_log: KeepLog) -> AsyncIterator[Client]:
    """Return a client of an engine with four slots and TGI's defaults."""
    keep_log("the engine", lambda: big_process.log)
    async with _session() as session:
        yield Client(big_process.url, session)


@pytest.fixture
async def small(small_process: EngineProcess, keep_log: KeepLog) -> AsyncIterator[Client]:
    """Return a client of an engine with one slot, two places, a key, and little patience."""
    keep_log("the small engine", lambda: small_process.log)
    async with _session({"Authorization": f"Bearer {SMALL_KEY}"}) as session:
        yield Client(small_process.url, session)


def _session(headers: dict[str, str] | None = None) -> aiohttp.ClientSession:
    timeout = aiohttp.ClientTimeout(total=CEILING_SECONDS)
    return aiohttp.ClientSession(headers=headers, timeout=timeout)
