"""Pulling an image: progress, errors, and cancellation.

There is no registry in CI. So this one part runs against a small fake of Docker's API
(`tests/fakes/docker_pull.py`), which sends messages that a real engine sent.
"""

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from server.core.errors import ModelFailed
from server.core.protocol import Progress
from server.models.runners.base import Replica
from server.models.runners.containers.client import DockerEngine
from server.models.runners.docker.images import Images
from server.models.runners.docker.pull import PullProgress
from server.models.runners.docker.runner import DockerRunner
from server.settings.tables import DockerSettings
from tests.fakes.docker_pull import FakeEngine, serve
from tests.support.specs import catalog

CEILING_SECONDS = 20
IMAGE = "localhost:5055/many:1"


@pytest.fixture
async def fake(tmp_path: Path) -> AsyncIterator[FakeEngine]:
    async with serve(tmp_path) as running:
        yield running


@pytest.fixture
async def images(fake: FakeEngine) -> AsyncIterator[Images]:
    engine = DockerEngine(fake.host, {}, ports=(1, 1))
    yield Images(engine)
    await engine.close()


def told(messages: list[dict[str, Any]], *, step_seconds: float = 1.0) -> list[Progress]:
    """Return the progress of a pull whose messages come one each step."""
    progress = PullProgress(IMAGE)
    found = (progress.feed(message, n * step_seconds) for n, message in enumerate(messages))
    return [one for one in found if one is not None]


def test_a_pull_goes_from_nothing_to_everything(fake: FakeEngine) -> None:
    seen = told(fake.messages)
    fractions = [one.fraction for one in seen if one.fraction is not None]
    assert fractions[0] < 0.05
    assert fractions[-1] == pytest.approx(1.0)
    assert {one.phase for one in seen} == {"pulling"}


def test_once_all_sizes_are_known_it_only_goes_on(fake: FakeEngine) -> None:
    seen = told(fake.messages)
    sure = [one for one in seen if one.text.endswith(" MB") and "about" not in one.text]
    later = seen[seen.index(sure[0]) :]
    assert all((b.fraction or 0) >= (a.fraction or 0) for a, b in pairwise(later))


def test_bytes_are_counted_and_sizes_that_are_guessed_are_called_so(fake: FakeEngine) -> None:
    """Two of the five layers wait, and only when they begin is it known how large they are."""
    texts = [one.text for one in told(fake.messages)]
    assert any(text.endswith("of about 30 MB") for text in texts)
    assert any(text.endswith("of 23 MB") for text in texts)
    assert texts[-1] == f"unpacking {IMAGE}"


def test_layers_that_are_there_already_do_not_count(fake: FakeEngine) -> None:
    there = [message for message in fake.messages if message.get("status") == "Already exists"]
    assert len(there) == 3
    assert told(there) == []


def test_the_time_that_is_left_follows_from_the_pace() -> None:
    layer = {"id": "a", "status": "Downloading"}
    steps = [
        {**layer, "progressDetail": {"current": n * 1_000_000, "total": 10_000_000}}
        for n in range(5)
    ]
    seen = told([{"id": "a", "status": "Pulling fs layer"}, *steps])
    assert seen[-1].text == "4 MB of 10 MB"
    assert seen[-1].eta_seconds == pytest.approx(6.0)


def test_a_store_that_counts_seconds_while_it_unpacks_does_not_confuse_bytes() -> None:
    """As engines with the containerd store do since 29."""
    messages = [
        {"id": "a", "status": "Downloading", "progressDetail": {"current": 5, "total": 10}},
        {"id": "a", "status": "Download complete", "progressDetail": {}},
        {"id": "a", "status": "Extracting", "progressDetail": {"current": 3, "units": "s"}},
        {"id": "a", "status": "Pull complete", "progressDetail": {}},
    ]
    assert [one.fraction for one in told(messages)] == [0.25, 0.5, 0.5, 1.0]


def test_progress_is_told_a_few_times_a_second_and_not_for_each_message(fake: FakeEngine) -> None:
    assert len(told(fake.messages * 20, step_seconds=0.001)) <= 5


async def test_an_image_is_fetched_once_with_its_progress(fake: FakeEngine, images: Images) -> None:
    seen: list[Progress] = []
    await images.ensure(IMAGE, seen.append)
    assert seen[0].text == f"asking for {IMAGE}"
    assert len(seen) > 1
    await images.ensure(IMAGE, seen.append)
    assert fake.asked == [{"fromImage": "localhost:5055/many", "tag": "1"}]


@pytest.mark.parametrize(
    ("image", "reference"),
    [
        ("gpt", {"fromImage": "gpt", "tag": "latest"}),
        ("host:5000/a/b", {"fromImage": "host:5000/a/b", "tag": "latest"}),
        ("host/a@sha256:ab", {"fromImage": "host/a", "tag": "sha256:ab"}),
        ("host/a:1@sha256:ab", {"fromImage": "host/a", "tag": "sha256:ab"}),
    ],
)
async def test_only_one_tag_is_pulled(
    fake: FakeEngine, images: Images, image: str, reference: dict[str, str]
) -> None:
    await images.ensure(image, lambda _: None)
    assert fake.asked == [reference]


# What engine 20.10 says: the first four were recorded, the others stand in its source.
@pytest.mark.parametrize(
    ("status", "said", "cause"),
    [
        (
            404,
            "manifest for host/a:2 not found: manifest unknown: manifest unknown",
            "image_missing",
        ),
        (404, "pull access denied for a, repository does not exist", "image_missing"),
        (500, 'Get "https://ghcr.io/v2/": dial tcp: lookup ghcr.io: no such host', "no_network"),
        (
            500,
            'Get "http://localhost:9/v2/": dial tcp 127.0.0.1:9: connection refused',
            "no_network",
        ),
        (500, "toomanyrequests: You have reached your pull rate limit", "registry_refused"),
        (500, "write /var/lib/docker/tmp/GetImageBlob1: no space left on device", "disk_full"),
    ],
)
@pytest.mark.parametrize("is_in_stream", [False, True])
async def test_a_pull_that_fails_says_why(
    fake: FakeEngine, images: Images, status: int, said: str, cause: str, is_in_stream: bool
) -> None:
    if is_in_stream:
        fake.messages[20:] = [{"errorDetail": {"message": said}, "error": said}]
    else:
        fake.refusal = (status, said)
    with pytest.raises(ModelFailed) as caught:
        await images.ensure(IMAGE, lambda _: None)
    assert (caught.value.details or {})["cause"] == cause
    assert said in caught.value.message
    assert caught.value.hint


async def test_a_pull_that_breaks_off_is_no_success(fake: FakeEngine, images: Images) -> None:
    fake.messages[20:] = [{"error": ""}]
    with pytest.raises(ModelFailed):
        await images.ensure(IMAGE, lambda _: None)


async def test_a_start_that_is_cancelled_during_the_pull_ends_the_pull(fake: FakeEngine) -> None:
    """The engine gives up a pull when its client's connection ends."""
    fake.pause_after = 20
    runner = DockerRunner(
        DockerSettings(host=fake.host), instance="test", ports=(1, 1), environment={}
    )
    seen: list[Progress] = []
    spec = catalog(a={"runner": "docker", "model_id": "a/b"}).get("a")
    starting = asyncio.create_task(runner.start(Replica("test", "a"), spec, seen.append))
    async with asyncio.timeout(CEILING_SECONDS):
        await fake.paused.wait()
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        await fake.cancelled.wait()
    assert {one.phase for one in seen} == {"pulling"}
    await runner.close()
