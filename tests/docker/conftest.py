"""What the tests with a real Docker engine share.

One session at a time: container names are the same in all. Each test is asked for what it has
left behind, and cleaned up after if it fails.
"""

import fcntl
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from server.models.catalogue.catalog import ModelSpec
from server.models.runners.containers.errors import DockerUnreachable
from server.models.runners.docker.runner import DockerRunner
from server.settings.tables import DockerSettings
from tests.docker import image
from tests.docker.engine import INSTANCE, Engine
from tests.docker.own_engine import OwnEngine, own_engine, sweep
from tests.support.ports import free_ports
from tests.support.specs import catalog

# Making the images takes minutes the first time.
_TIMEOUT_SECONDS = 900

MakeRunner = Callable[..., DockerRunner]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.needs_docker)
            if not item.get_closest_marker("timeout"):
                item.add_marker(pytest.mark.timeout(_TIMEOUT_SECONDS))


@pytest.fixture(scope="session")
def alone() -> Iterator[None]:
    """Wait until no other session of these tests runs on this machine."""
    # Of the machine, as the engine is: sessions may have homes of their own.
    lock = os.open(Path(tempfile.gettempdir(), "sidestream-docker-tests"), os.O_CREAT, 0o644)
    with os.fdopen(lock) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for name in Engine().containers():
            Engine().remove(name)
        sweep()
        yield


@pytest.fixture
def engine(alone: None) -> Iterator[Engine]:
    """Return the machine's engine; afterwards no container of the tests may be there."""
    engine = Engine()
    yield engine
    left = engine.containers()
    for name in left:
        engine.remove(name)
    assert not left, f"left behind: {', '.join(left)}"


@pytest.fixture(scope="session")
def fake(alone: None) -> str:
    """Return the image of the fake TGI."""
    return image.fake_image()


@pytest.fixture(scope="session")
def own_engines(alone: None, fake: str) -> Iterator[tuple[OwnEngine, OwnEngine]]:
    """Return two engines of our own with the fake's image, whose containers outlive them."""
    with own_engine("--live-restore") as one, own_engine("--live-restore") as two:
        with ThreadPoolExecutor() as threads:
            list(threads.map(lambda engine: engine.load(fake), (one, two)))
        yield one, two


@pytest.fixture
def two(own_engines: tuple[OwnEngine, OwnEngine]) -> Iterator[tuple[OwnEngine, OwnEngine]]:
    """Return the two engines; afterwards no container of the tests may be there."""
    yield own_engines
    left: list[str] = []
    for engine in own_engines:
        if not engine.is_running:
            engine.start()
        left += engine.containers()
        for name in engine.containers():
            engine.remove(name)
    assert not left, f"left behind: {', '.join(left)}"


@pytest.fixture(scope="session")
def llama(alone: None) -> str:
    """Return the image of llama.cpp's own server."""
    return image.llama_image()


@pytest.fixture
def settings(fake: str, tmp_path: Path) -> DockerSettings:
    """Return settings for the fake's image, and for an empty cache of its own."""
    return DockerSettings(image=fake, allowed_images=("sidestream-test/*",), hf_cache=tmp_path)


@pytest.fixture
async def make_runner(engine: Engine, settings: DockerSettings) -> AsyncIterator[MakeRunner]:
    """Return `make_runner(settings=…, ports=…)`; what its runners run is stopped at the end."""
    async with AsyncExitStack() as stack:

        def make(**words: Any) -> DockerRunner:
            given = words.pop("settings", settings)
            words = {"instance": INSTANCE, "ports": free_ports(10), "environment": {}, **words}
            runner = DockerRunner(given, **words)
            stack.push_async_callback(end, runner)
            return runner

        yield make


@pytest.fixture
def runner(make_runner: MakeRunner) -> DockerRunner:
    """Return a runner."""
    return make_runner()


async def end(runner: DockerRunner) -> None:
    """Stop what a runner runs, and close it; what it cannot reach any more, `engine` finds."""
    try:
        for seen in await runner.list():
            await runner.stop(seen.replica, grace_seconds=0)
    except DockerUnreachable:
        pass
    finally:
        await runner.close()


def model(model_id: str, name: str = "a", **settings: Any) -> ModelSpec:
    """Return a model that runs in a container, which does what `model_id` says."""
    return catalog(**{name: {"runner": "docker", "model_id": model_id, **settings}}).get(name)
