"""Settings are read again: models are added, removed and changed, and no answer is lost."""

import asyncio
from typing import Any

import pytest

from server.core.errors import ModelFailed, UnknownModel
from server.core.protocol import Model
from tests.conftest import StartFake
from tests.support.fake_fleet import CEILING_SECONDS, fake_fleet
from tests.support.specs import catalog

OWN: dict[str, Any] = {"weights": "x", "name": "Ay"}


async def test_a_new_model_is_there_at_once() -> None:
    async with fake_fleet() as s:
        lists: list[list[Model]] = []
        s.fleet.subscribe(lambda _: None, lists.append)
        s.fleet.change(catalog(b=OWN, a=OWN))
        assert [[model.id for model in models] for models in lists] == [["b", "a"]]
        await s.use("b")
        assert s.fleet.snapshot("b").state == "ready"


async def test_a_new_model_that_is_to_be_preloaded_starts() -> None:
    async with fake_fleet() as s:
        s.fleet.change(catalog(a=OWN, b={**OWN, "preload": True}))
        await s.state("ready", "b")
        assert s.fleet.snapshot("a").state == "stopped"


async def test_a_model_that_is_gone_ends_its_answers_and_takes_no_new_ones() -> None:
    async with fake_fleet(models={"a": OWN, "b": OWN}) as s:
        told: list[str] = []
        s.fleet.subscribe(lambda model: told.append(model.id))
        async with s.fleet.lease("a") as lease:
            s.fleet.change(catalog(b=OWN))
            told.clear()
            for ask in (s.fleet.snapshot, s.fleet.start, s.fleet.log, s.fleet.is_ready):
                with pytest.raises(UnknownModel):
                    ask("a")
            with pytest.raises(UnknownModel):
                await s.use("a")
            assert await lease.upstream.is_healthy(timeout_seconds=CEILING_SECONDS)
        await s.gone("a")
        assert not s.runner.servers
        assert "a" not in told
        await s.use("b")


async def test_waiting_requests_fail_when_their_model_is_removed() -> None:
    async with fake_fleet() as s:
        s.runner.loading.close()
        waiting = asyncio.create_task(s.use())
        await s.runner.loading.reached()
        s.fleet.change(catalog())
        with pytest.raises(ModelFailed, match="stopped"):
            await waiting


async def test_a_model_that_comes_back_at_once_was_never_away() -> None:
    async with fake_fleet() as s:
        async with s.fleet.lease("a"):
            s.fleet.change(catalog())
            s.fleet.change(catalog(a=OWN))
        await s.use()
        assert s.runner.starts == 1


async def test_a_model_that_comes_back_while_it_stops_can_be_started_again() -> None:
    async with fake_fleet() as s:
        await s.use()
        s.runner.stopping.close()
        s.fleet.change(catalog())
        await s.runner.stopping.reached()
        s.fleet.change(catalog(a=OWN))
        user = asyncio.create_task(s.use())
        s.runner.stopping.open()
        await user
        assert s.runner.starts == 2


async def test_a_server_whose_settings_changed_runs_on_as_outdated_until_it_is_stopped() -> None:
    async with fake_fleet() as s:
        async with s.fleet.lease("a"):
            s.fleet.change(catalog(a={**OWN, "slots": 2}))
            assert s.fleet.snapshot("a").outdated
            assert s.runner.starts == 1
        assert s.fleet.snapshot("a").state == "ready"
        s.fleet.stop("a")
        await s.state("stopped")
        await s.use()
        assert not s.fleet.snapshot("a").outdated


async def test_a_change_that_is_taken_back_makes_no_server_outdated() -> None:
    async with fake_fleet() as s:
        await s.use()
        s.fleet.change(catalog(a={**OWN, "slots": 2}))
        s.fleet.change(catalog(a=OWN))
        assert not s.fleet.snapshot("a").outdated


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Bee"},
        {"description": "New."},
        {"system": "Be brief."},
        {"parameters": {"temperature": 0.5}},
        {"preload": True},
        {"pinned": True},
        {"idle_timeout": 60.0},
        {"max_concurrent": 3},
        {"memory": 1 << 30},
    ],
)
async def test_changes_that_concern_no_server_apply_at_once(change: dict[str, Any]) -> None:
    async with fake_fleet() as s:
        await s.use()
        s.fleet.change(catalog(a={**OWN, **change}))
        snapshot = s.fleet.snapshot("a")
        assert not snapshot.outdated
        (key, value) = next(iter(change.items()))
        if key in ("name", "description"):
            assert getattr(snapshot, key) == value
        if key == "parameters":
            assert snapshot.parameters["temperature"] == 0.5


async def test_a_preset_that_goes_leaves_the_server_to_its_base() -> None:
    preset = {"base": "a"}
    async with fake_fleet(models={"a": OWN, "p": preset}) as s:
        async with s.fleet.lease("p"):
            s.fleet.change(catalog(a=OWN))
            # Whom the preset answers still needs the server.
            s.fleet.stop("a")
            await s.state("stopping")
        await s.state("stopped")
        assert [model.id for model in s.fleet.snapshots()] == ["a"]


async def test_an_idle_server_stops_by_the_time_that_counts_now() -> None:
    async with fake_fleet() as s:
        await s.use()
        s.fleet.change(catalog(a={**OWN, "idle_timeout": 0.01}))
        await s.use()
        await s.state("stopped")


async def test_a_server_of_somebody_elses_is_looked_for_where_it_is_now(
    fake_tgi: StartFake,
) -> None:
    first, second = await fake_tgi(model_id="one"), await fake_tgi(model_id="two")
    async with fake_fleet(models={"a": {"runner": "remote", "url": first.url}}) as s:
        assert (await s.use()).info.model_id == "one"
        s.fleet.change(catalog(a={"runner": "remote", "url": second.url}))
        async with asyncio.timeout(CEILING_SECONDS):
            await s.sees(lambda model: not model.outdated and model.state == "ready")
            assert (await s.use()).info.model_id == "two"


async def test_no_end_of_changes_leaves_anything_behind() -> None:
    async with fake_fleet() as s:
        for number in range(30):
            s.fleet.change(catalog(**{f"m{number}": OWN, "a": {**OWN, "slots": 1 + number % 3}}))
            await s.use(f"m{number}")
        s.fleet.change(catalog(a=OWN))
        for number in range(30):
            await s.gone(f"m{number}")
        assert [server.spec.id for server in s.fleet.servers()] == ["a"]
        assert not s.runner.servers
