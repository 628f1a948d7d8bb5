"""Fixtures of real servers, one of each for all tests of a worker; `tests/real` has them all.

The conftest of another folder imports those that it wants. A test that fails shows the log of the
server it used. Tests that kill, stop or fill a server start one of their own.
"""

from collections.abc import Iterator

import pytest

from tests.conftest import KeepLog
from tests.support.real_servers import RealServer, start


@pytest.fixture(scope="session")
def tgi_process() -> Iterator[RealServer]:
    with start("tgi", rate=200) as server:
        yield server


@pytest.fixture
def real_tgi(tgi_process: RealServer, keep_log: KeepLog) -> RealServer:
    """Return TGI at 200 tokens a second."""
    return _kept(tgi_process, keep_log)


@pytest.fixture(scope="session")
def ollama_process() -> Iterator[RealServer]:
    with start("ollama") as server:
        yield server


@pytest.fixture
def real_ollama(ollama_process: RealServer, keep_log: KeepLog) -> RealServer:
    """Return Ollama with the small model."""
    return _kept(ollama_process, keep_log)


@pytest.fixture(scope="session")
def llama_swap_process() -> Iterator[RealServer]:
    with start("llama-swap") as server:
        yield server


@pytest.fixture
def real_llama_swap(llama_swap_process: RealServer, keep_log: KeepLog) -> RealServer:
    """Return llama-swap before two models, `one` and `two`."""
    return _kept(llama_swap_process, keep_log)


@pytest.fixture(scope="session")
def llama_process() -> Iterator[RealServer]:
    with start("llama.cpp") as server:
        yield server


@pytest.fixture
def real_llama(llama_process: RealServer, keep_log: KeepLog) -> RealServer:
    """Return llama.cpp's server out of the wheel, with two slots: it is there everywhere."""
    return _kept(llama_process, keep_log)


@pytest.fixture(scope="session")
def any_process(request: pytest.FixtureRequest) -> Iterator[RealServer]:
    with start(request.param) as server:
        yield server


@pytest.fixture
def real_server(any_process: RealServer, keep_log: KeepLog) -> RealServer:
    """Return a server of the kind named by the test.

    `@pytest.mark.parametrize("any_process", available("llama.cpp", "ollama"), indirect=True)`
    """
    return _kept(any_process, keep_log)


def _kept(server: RealServer, keep_log: KeepLog) -> RealServer:
    keep_log(server.name, server.log)
    return server
