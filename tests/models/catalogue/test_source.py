"""The catalogue while servers, their lists and the settings change at the same time."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from server.core.errors import EngineError
from server.core.placement import Capacity
from server.core.protocol import Model
from server.dialects.base import ServedModel
from server.dialects.connector import Connector
from server.dialects.http.timeouts import Timeouts
from server.models.catalogue.listing import ServerLists
from server.models.catalogue.source import CatalogSource
from server.models.fleet import Fleet
from server.models.runners.remote import RemoteRunner
from server.settings.tables import Settings
from server.settings.upstreams import DiscoverySettings, UpstreamSettings
from tests.fakes.openai import serve
from tests.fakes.openai_options import like
from tests.support.fake_fleet import CEILING_SECONDS, LIMITS

NOWHERE = "http://127.0.0.1:9"


class Sight:
    """A fleet, where its catalogue comes from, and what was told of it."""

    def __init__(self, fleet: Fleet, source: CatalogSource, settings: Settings) -> None:
        self.fleet = fleet
        self.source = source
        self.settings = settings
        self.told: list[Model] = []
        self.lists = 0
        self._changed = asyncio.Event()
        fleet.subscribe(self._take, self._take_all)

    def _take(self, model: Model) -> None:
        self.told.append(model)
        self._changed.set()

    def _take_all(self, models: list[Model]) -> None:
        self.lists += 1
        self._changed.set()

    def models(self) -> dict[str, Model]:
        return {model.id: model for model in self.fleet.snapshots()}

    async def sees(self, is_so: Callable[[dict[str, Model]], bool]) -> dict[str, Model]:
        try:
            async with asyncio.timeout(CEILING_SECONDS):
                while not is_so(models := self.models()):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"waited in vain: {self.models()}") from None
        return models

    async def ready(self, model_id: str) -> None:
        await self.sees(lambda models: model_id in models and models[model_id].state == "ready")

    def apply(self, **urls: str) -> None:
        """Have the servers of these names at these addresses, and no others."""
        self.settings = replace(self.settings, upstreams=_upstreams(urls))
        self.source.apply(self.settings)


def _upstreams(urls: dict[str, str]) -> dict[str, UpstreamSettings]:
    return {name: UpstreamSettings(url=url, models=("*",)) for name, url in urls.items()}


@asynccontextmanager
async def sight(lists: ServerLists | None = None, **urls: str) -> AsyncIterator[Sight]:
    before = asyncio.all_tasks()
    settings = Settings(upstreams=_upstreams(urls), discovery=DiscoverySettings(interval=5.0))
    source = CatalogSource(settings, lists or ServerLists())
    fleet = Fleet(
        source.catalog(),
        {"remote": RemoteRunner()},
        Connector(Timeouts(connect=5.0, read=20.0)).connect,
        lambda spec: LIMITS,
        instance="test",
        capacity=Capacity(),
        facts=source.facts,
        on_server_change=source.look_soon,
    )
    seen = Sight(fleet, source, settings)
    source.set_fleet(fleet)
    try:
        yield seen
    finally:
        await source.close()
        await fleet.close(keeps_servers=True)
    assert not {task for task in asyncio.all_tasks() - before if not task.done()}


async def test_models_are_there_as_soon_as_the_server_is_well() -> None:
    async with serve(like("vllm", models=("a", "b"))) as fake, sight(u=fake.url) as s:
        await s.ready("u/b")
        assert list(s.models()) == ["u/a", "u/b"]


async def test_list_errors_and_left_out_models_are_announced_although_no_model_changes() -> None:
    async with serve(like("vllm", models=("a",))) as fake, sight(u=fake.url) as s:
        await s.ready("u/a")
        s.told.clear()
        s.source._tell_problem("u", EngineError("it cannot be read"))
        assert [model.error.message for model in s.told if model.error] == ["it cannot be read"]
        s.source._tell_problem("u", EngineError("it cannot be read"))
        assert len(s.told) == 1
        embedding = ServedModel("e", kind="embedding")
        s.source._take("u", fake.url, [ServedModel("a"), embedding])
        server = s.models()["u/a"].server
        assert server is not None
        assert server.left_out == 1
        assert s.told[-1].error is None


async def test_the_list_of_another_address_is_not_taken_for_the_new_ones() -> None:
    hold = like("vllm", models=("old",))
    new_options = like("vllm", models=("new",))
    async with serve(hold) as old, serve(new_options) as new, sight(u=old.url) as s:
        await s.ready("u/old")
        async with s.fleet.lease("u/old"):
            # As long as somebody is answered, the old server is not let go.
            s.apply(u=new.url)
            assert "u/old" not in s.models()
            asked = old.state.routes["GET /v1/models"]
            await asyncio.sleep(0.05)
            assert list(s.models()) == ["[upstream u]"]
            assert old.state.routes["GET /v1/models"] == asked
        await s.ready("u/new")
        assert list(s.models()) == ["u/new"]


async def test_a_server_that_is_named_again_while_it_goes_is_watched_as_before() -> None:
    async with serve(like("vllm", models=("a",))) as fake, sight(u=fake.url) as s:
        await s.ready("u/a")
        async with s.fleet.lease("u/a"):
            s.apply()
            await asyncio.sleep(0)
            s.apply(u=fake.url)
        await s.ready("u/a")
        async with asyncio.timeout(CEILING_SECONDS), s.fleet.lease("u/a") as lease:
            assert lease.info.flavour == "vllm"


@pytest.mark.parametrize("steps", range(8))
async def test_a_server_that_is_named_again_at_any_moment_of_its_end_can_be_used(
    steps: int,
) -> None:
    async with serve(like("vllm", models=("a",))) as fake, sight(u=fake.url) as s:
        await s.ready("u/a")
        s.apply()
        for _ in range(steps):
            await asyncio.sleep(0)
        s.apply(u=fake.url)
        await s.ready("u/a")
        async with asyncio.timeout(CEILING_SECONDS), s.fleet.lease("u/a"):
            pass


async def test_an_answer_goes_on_whose_server_is_named_no_more() -> None:
    async with serve(like("vllm", models=("a",))) as fake, sight(u=fake.url) as s:
        await s.ready("u/a")
        async with s.fleet.lease("u/a") as lease:
            s.apply()
            assert s.models() == {}
            assert await lease.upstream.is_healthy(timeout_seconds=CEILING_SECONDS)


async def test_a_mended_address_is_tried_at_once() -> None:
    async with serve(like("vllm", models=("a",))) as fake, sight(u=NOWHERE) as s:
        await s.sees(lambda models: models["[upstream u]"].state == "failed")
        # The next look by itself would be later than this test waits.
        s.apply(u=fake.url)
        await s.ready("u/a")


async def test_many_models_change_while_a_server_comes_new() -> None:
    names = tuple(f"m{n}" for n in range(30))
    several = like("vllm", models=names)
    async with serve(several) as many, serve(like("vllm")) as other, sight(a=many.url) as s:
        await s.ready("a/m29")
        # What is told of the change shows all models, the newcomer's among them.
        upstreams = {
            "a": UpstreamSettings(url=many.url, models=("*",), api_key="other"),
            "b": UpstreamSettings(url=other.url, models=("*",)),
        }
        s.source.apply(replace(s.settings, upstreams=upstreams))
        await s.ready("b/fake-model")
        await s.ready("a/m29")


async def test_a_server_that_comes_back_has_its_list_read_at_once() -> None:
    lists = ServerLists()
    async with serve(like("vllm", models=("a",))) as fake:
        url = fake.url
        lists.take("u", url, [ServedModel("gone")])
    port = int(url.rpartition(":")[2])
    async with sight(lists, u=url) as s:
        await s.sees(lambda models: models["u/gone"].state == "failed")
        async with serve(like("vllm", models=("a",)), port=port):
            s.fleet.start("u/gone")
            await s.ready("u/a")
            assert list(s.models()) == ["u/a"]
