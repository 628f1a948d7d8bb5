"""The whole gateway over two Docker engines, one of which goes away under answers."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.conftest import KeepLog
from tests.docker.engine import INSTANCE
from tests.docker.own_engine import OwnEngine
from tests.support.dialogue import CEILING_SECONDS, Dialogue, dialogue
from tests.support.gateway import gateway
from tests.support.ports import free_ports
from tests.web.test_reload import reload

SETTINGS = """\
[engines]
ports = {first}-{last}
read_timeout = 4
health_interval = 1
on_exit = stop

[docker]
host = unix:///nonexistent
image = {fake}
allowed_images = sidestream-test/*
hf_cache = {directory}/hf
stop_grace = 2

[docker one]
host = {one}
memory_budget = 300M

[docker two]
host = {two}
memory_budget = 300M

[model a]
runner = docker
engine_host = any
memory = 200M
model_id = fake/slow-words

[model b]
runner = docker
engine_host = any
memory = 200M
model_id = fake/slow-words

[model both]
runner = docker
engine_host = any
memory = 50M
replicas = 2
max_concurrent = 1
model_id = fake/slow-words

[model early]
runner = docker
engine_host = one
memory = 50M
preload = {preload}
model_id = fake/tgi

[model huge]
runner = docker
engine_host = any
memory = 1G
model_id = fake/tgi
"""


@pytest.fixture
def settings_text(
    two: tuple[OwnEngine, OwnEngine], fake: str, tmp_path: Path, keep_log: KeepLog
) -> str:
    """Return the settings of a gateway over the two engines."""
    keep_log("the gateway", tmp_path / "server.log")
    first, last = free_ports(10)
    one, other = (engine.host for engine in two)
    return SETTINGS.format(
        first=first,
        last=last,
        one=one,
        two=other,
        fake=fake,
        directory=tmp_path,
        preload="no",
    )


async def shown(client: Dialogue, model: str) -> dict[str, Any]:
    result: dict[str, Any] = (await client.say(type="start", model=model))["model"]
    return result


async def place(client: Dialogue, model: str) -> str:
    """Return the place of a model's only server, which the page shows."""
    (server,) = (await shown(client, model))["replicas"]
    return str(server["place"])


async def until_gone(engine: OwnEngine, model: str) -> None:
    async with asyncio.timeout(CEILING_SECONDS):
        while any(model in name for name in await asyncio.to_thread(engine.containers)):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_an_engine_that_goes_away_takes_its_answers_only_and_its_model_runs_elsewhere(
    settings_text: str, two: tuple[OwnEngine, OwnEngine], tmp_path: Path
) -> None:
    """Each engine has room for one of the two models; an idle one makes room for the other."""
    async with (
        gateway(settings_text, tmp_path, instance=INSTANCE) as server,
        dialogue(server.address) as client,
    ):
        doomed, bystander = await client.ask("a", "b", parameters={"max_new_tokens": 5000})
        await client.delta(doomed, 3)
        await client.delta(bystander, 3)
        places = {"one": two[0], "two": two[1]}
        lost, left = places[await place(client, "a")], places[await place(client, "b")]
        assert lost is not left
        (hopeless,) = await client.ask("huge", parameters={"max_new_tokens": 5})
        error = (await client.end(hopeless))["error"]
        assert "one lacks 759 MB of memory; two lacks 759 MB of memory" in error["message"]
        assert "[docker NAME]" in error["hint"]
        await asyncio.to_thread(lost.kill)
        error = (await client.end(doomed))["error"]
        assert error["details"]["cause"] == "engine_unreachable", error
        await client.delta(bystander, client.seq(bystander) + 5)
        assert await figures(server.address) == {"one": lost is two[1], "two": lost is two[0]}
        # The other engine is full: the model waits until its server there is idle.
        (again,) = await client.ask("a", parameters={"max_new_tokens": 5})
        await client.until(lambda e: "waiting for room at" in waits(e, "a"))
        await client.say(type="cancel", generations=[bystander])
        assert (await client.end(again))["finish_reason"] == "length"
        assert places[await place(client, "a")] is left
        await asyncio.to_thread(lost.start)
        await until_gone(lost, "-a")
        (back,) = await client.ask("b", parameters={"max_new_tokens": 5})
        assert (await client.end(back))["finish_reason"] == "length"
        assert places[await place(client, "b")] is lost


def waits(event: dict[str, Any], model: str) -> str:
    """Return what a model's server waits for."""
    if event["type"] != "model" or event["model"]["id"] != model:
        return ""
    return str((event["model"]["progress"] or {}).get("text", ""))


async def figures(address: str) -> dict[str, bool]:
    """Return which engines answer, by the metrics."""
    async with aiohttp.ClientSession() as http, http.get(f"http://{address}/metrics") as response:
        lines = (await response.text()).splitlines()
    name = 'sidestream_docker_engine_up{engine="'
    rows = (line.removeprefix(name).split('"} ') for line in lines if line.startswith(name))
    return {engine: float(value) == 1 for engine, value in rows}


async def test_replicas_are_on_both_engines_and_a_killed_gateway_finds_them_again(
    settings_text: str, two: tuple[OwnEngine, OwnEngine], tmp_path: Path
) -> None:
    async with (
        gateway(settings_text, tmp_path, instance=INSTANCE) as server,
        dialogue(server.address) as client,
    ):
        answers = await client.ask("both", "both", parameters={"max_new_tokens": 5000})
        for answer in answers:
            await client.delta(answer, 3)
        assert {one["place"] for one in (await shown(client, "both"))["replicas"]} == {"one", "two"}
        await server.kill()
    before = [engine.containers().keys() for engine in two]
    assert [len(names) for names in before] == [1, 1]
    async with (
        gateway(settings_text, tmp_path, instance=INSTANCE) as server,
        dialogue(server.address) as client,
    ):
        await client.model_now("both", "ready")
        answers = await client.ask("both", "both", parameters={"max_new_tokens": 5000})
        for answer in answers:
            await client.delta(answer, 3)
        assert [engine.containers().keys() for engine in two] == before
        await asyncio.to_thread(two[0].kill)
        end = await client.until(lambda e: e["type"] == "end")
        assert end["error"]["details"]["cause"] == "engine_unreachable"
        (other,) = [answer for answer in answers if answer != end["generation"]]
        await client.delta(other, client.seq(other) + 5)
        # The lost one starts beside the other.
        await client.until(
            lambda e: (
                e["type"] == "model"
                and [one["place"] for one in e["model"].get("replicas") or []] == ["two", "two"]
            )
        )
        await asyncio.to_thread(two[0].start)
        await until_gone(two[0], "both")
        await client.say(type="cancel")


async def test_a_preloaded_model_starts_when_its_engine_is_there_at_last(
    settings_text: str, two: tuple[OwnEngine, OwnEngine], tmp_path: Path
) -> None:
    """And what was not preloaded runs on the other engine meanwhile."""
    await asyncio.to_thread(two[0].kill)
    async with (
        gateway(
            settings_text.replace("preload = no", "preload = yes"), tmp_path, instance=INSTANCE
        ) as server,
        dialogue(server.address) as client,
    ):
        failed = await client.model_now("early", "failed")
        assert "the Docker engine one cannot be reached" in failed["error"]["message"]
        (answer,) = await client.ask("a", parameters={"max_new_tokens": 5})
        assert (await client.end(answer))["finish_reason"] == "length"
        assert await place(client, "a") == "two"
        await asyncio.to_thread(two[0].start)
        await client.model("early", "ready")
        assert await place(client, "early") == "one"
        file = tmp_path / "settings.ini"
        text = file.read_text()
        start, end = text.index("[docker two]"), text.index("[model a]")
        file.write_text(text[:start] + text[end:])
        code, told = await reload(tmp_path)
        assert code == 0
        assert "takes a restart: [docker two] (then nobody watches a there: stop first)" in told
        # A model that goes together with its engine is stopped.
        early = text.index("[model early]"), text.index("[model huge]")
        text = text[: early[0]] + text[early[1] :]
        file.write_text(text[: text.index("[docker one]")] + text[text.index("[docker two]") :])
        code, told = await reload(tmp_path)
        assert code == 0
        assert "removed early" in told
        assert "takes a restart: [docker one]\n" in told
        await until_gone(two[0], "early")
