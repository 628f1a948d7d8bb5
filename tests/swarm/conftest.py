"""What the tests with a real swarm share: one bed of three nodes for all of them.

Each test is asked for what it has left behind, cleaned up after if it fails, and gives the nodes
back as it got them.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from server.models.catalogue.catalog import ModelSpec
from server.models.runners.containers.errors import DockerUnreachable
from server.models.runners.swarm.runner import SwarmRunner
from server.settings.tables import SwarmSettings
from tests.conftest import KeepLog
from tests.docker import image
from tests.docker.engine import INSTANCE
from tests.support.specs import catalog
from tests.swarm.bed import Bed, make_bed, only_session, until

# Making the images takes minutes the first time.
_TIMEOUT_SECONDS = 300

MakeRunner = Callable[..., SwarmRunner]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.needs_swarm)
            if not item.get_closest_marker("timeout"):
                item.add_marker(pytest.mark.timeout(_TIMEOUT_SECONDS))


@pytest.fixture(scope="session")
def fake() -> str:
    """Return the image of the fake TGI."""
    return image.fake_image()


@pytest.fixture(scope="session")
def broken() -> str:
    """Return an image that cannot be run."""
    return image.broken_image()


@pytest.fixture(scope="session")
def whole_bed(fake: str, broken: str) -> Iterator[Bed]:
    """Return the bed, once no other session of these tests runs on this machine."""
    with only_session(), make_bed(fake, broken) as bed:
        yield bed


@pytest.fixture
def bed(whole_bed: Bed, keep_log: KeepLog) -> Iterator[Bed]:
    """Return the bed with all nodes; afterwards nothing of the tests may be there."""
    for node in whole_bed.nodes:
        keep_log(node.name, node.folder / "log")
    yield whole_bed
    whole_bed.heal()
    try:
        until(lambda: not whole_bed.left())
    except AssertionError:
        left = whole_bed.left()
        whole_bed.clean()
        raise AssertionError(f"left behind: {', '.join(left)}") from None


@pytest.fixture
def settings(bed: Bed, fake: str, tmp_path: Path) -> SwarmSettings:
    """Return settings for the manager and the fake's image, and for an empty cache."""
    (tmp_path / "hub").mkdir()
    return SwarmSettings(
        host=(bed.manager.host,),
        # Named by its id, so that no node asks a registry for it.
        image=fake,
        allowed_images=("sidestream-test/*", "sha256:*"),
        hf_cache=tmp_path,
        stop_grace=2,
    )


@pytest.fixture
async def make_runner(settings: SwarmSettings, tmp_path: Path) -> AsyncIterator[MakeRunner]:
    """Return `make_runner(settings=…)`; what its runners run is stopped at the end."""
    async with AsyncExitStack() as stack:

        def make(**words: Any) -> SwarmRunner:
            given = words.pop("settings", settings)
            # With one state folder, each is the next run of the gateway before it.
            said: dict[str, Any] = {
                "instance": INSTANCE,
                "environment": {},
                "state_file": tmp_path / "state",
            }
            runner = SwarmRunner(given, **said | words)
            stack.push_async_callback(end, runner)
            return runner

        yield make


@pytest.fixture
def runner(make_runner: MakeRunner) -> SwarmRunner:
    """Return a runner."""
    return make_runner()


async def end(runner: SwarmRunner) -> None:
    """Stop what a runner runs, and close it; what it cannot reach, `bed` finds."""
    try:
        there = await runner.list()
        await asyncio.gather(*(runner.stop(seen.replica, grace_seconds=0) for seen in there))
    except DockerUnreachable:
        pass
    finally:
        await runner.close()


def model(model_id: str, name: str = "a", **settings: Any) -> ModelSpec:
    """Return a model that runs as a service, which does what `model_id` says.

    It takes no GPU, of which each node has one.
    """
    said = {"runner": "swarm", "gpus": "none", "model_id": model_id, **settings}
    return catalog(**{name: said}).get(name)
