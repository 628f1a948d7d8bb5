"""How the tag of an image becomes the digest that all nodes run: a little manager, no engine."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from server.models.runners.swarm import services
from server.models.runners.swarm.lock import Lock
from server.models.runners.swarm.managers import Managers
from server.models.runners.swarm.services import Services

DIGEST = f"sha256:{'a' * 64}"


class Manager:
    """A manager whose registry knows one image, refuses others, and is silent about some."""

    def __init__(self, socket: Path) -> None:
        self.host = f"unix://{socket}"
        self.asked: list[str] = []

    async def version(self, request: web.Request) -> web.Response:
        return web.json_response({"ApiVersion": "1.41"})

    async def look_up(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        self.asked.append(name)
        if "silent" in name:
            await asyncio.Event().wait()
        if "known" not in name:
            said = "errors: denied: requested access to the resource is denied"
            return web.json_response({"message": said}, status=401)
        return web.json_response({"Descriptor": {"digest": DIGEST}})


@pytest.fixture
async def manager(tmp_path: Path) -> AsyncIterator[Manager]:
    """Return a manager that can be asked."""
    manager = Manager(tmp_path / "docker.sock")
    app = web.Application()
    app.router.add_get("/version", manager.version)
    app.router.add_get("/v1.41/info", manager.version)
    app.router.add_get("/v1.41/distribution/{name:.+}/json", manager.look_up)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    await web.UnixSite(runner, str(tmp_path / "docker.sock")).start()
    yield manager
    await runner.cleanup()


@pytest.fixture
async def images(manager: Manager) -> AsyncIterator[Services]:
    """Return what looks images up."""
    managers = Managers((manager.host,), {})
    yield Services(managers, Lock(managers, "test", None))
    await managers.close()


@pytest.mark.parametrize(
    ("image", "pinned"),
    [
        ("known", f"known@{DIGEST}"),
        ("ghcr.io/known/tgi:3.3", f"ghcr.io/known/tgi@{DIGEST}"),
        ("host:5000/known", f"host:5000/known@{DIGEST}"),
        ("denied/model:1", "denied/model:1"),
    ],
)
async def test_a_tag_is_looked_up_and_kept_where_its_registry_refuses(
    images: Services, image: str, pinned: str
) -> None:
    assert await images.pinned(image) == pinned


async def test_what_names_a_digest_already_is_not_looked_up_and_nothing_twice(
    images: Services, manager: Manager
) -> None:
    for named in (DIGEST, f"known@{DIGEST}"):
        assert await images.pinned(named) == named
    assert manager.asked == []
    assert await images.pinned("known:1") == await images.pinned("known:1")
    assert manager.asked == ["known:1"]


async def test_a_registry_that_does_not_answer_delays_one_start_only(
    images: Services, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "_LOOK_UP_SECONDS", 0.2)
    assert await images.pinned("silent/model:1") == "silent/model:1"
    assert await images.pinned("silent/model:2") == "silent/model:2"
    assert manager.asked == ["silent/model:1"]
