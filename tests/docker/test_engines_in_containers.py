"""Engines in containers, each started by the gateway with the arguments that it really takes.

llama.cpp's own server is always there, out of the pinned wheel. Real TGI, llama-server and Ollama
are where `shared/servers` is.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from server.core.protocol import Progress
from server.models.diagnosis.causes import explain_exit
from server.settings.tables import DockerSettings
from tests.conftest import KeepLog
from tests.docker import image, real_images
from tests.docker.conftest import MakeRunner, model
from tests.docker.engine import INSTANCE, Engine
from tests.docker.test_docker_container import status_of
from tests.docker.watching import CEILING_SECONDS, NAME_A, A, answers, ends, says, silent
from tests.support.dialogue import dialogue
from tests.support.gateway import Gateway, gateway
from tests.support.ollama_store import put_model
from tests.support.ports import free_ports
from tests.support.real_servers import has, small_model

SETTINGS = """\
[engines]
ports = {first}-{last}

[docker]
allowed_images = sidestream-test/*
hf_cache = {directory}/hf
ollama_models = {directory}/ollama

[model a]
runner = docker
gpus = none
parameters = {{"max_new_tokens": 12}}
"""
NAME = f"sidestream-{INSTANCE}-a"
# What each is asked, what it is called when it runs, and how long it may take to end.
MODELS = {
    "wheel": f"engine = llama.cpp\nmodel_id = {image.MODEL}\nslots = 2\nmax_total_tokens = 512\n",
    "llama-server": f"engine = llama.cpp\nmodel_id = {image.MODEL}:Q4_1\narguments = --threads 1\n",
    "ollama": "engine = ollama\nmodel_id = smollm2\nslots = 1\nmax_total_tokens = 512\n",
    "tgi": f"engine = tgi\nmodel_id = {real_images.TGI_MODEL}\n",
}
CALLED = {"wheel": "llama.cpp", "llama-server": "llama.cpp", "ollama": "Ollama", "tgi": "TGI"}
THERE = [name for name in MODELS if name == "wheel" or has(name)]
Run = Callable[[str], AbstractAsyncContextManager[Gateway]]


@pytest.fixture
async def run(engine: Engine, tmp_path: Path, keep_log: KeepLog) -> AsyncIterator[Run]:
    """Return `run(model)`: a gateway with one model of that kind."""
    keep_log("the gateway", tmp_path / "server.log")
    first, last = free_ports(10)

    def make(kind: str) -> AbstractAsyncContextManager[Gateway]:
        _prepare(kind, tmp_path)
        name = image.llama_image() if kind == "wheel" else real_images.real_image(kind)
        settings = SETTINGS.format(first=first, last=last, directory=tmp_path)
        return gateway(f"{settings}image = {name}\n{MODELS[kind]}", tmp_path, instance=INSTANCE)

    yield make
    for name in engine.containers():
        engine.remove(name)


def _prepare(kind: str, folder: Path) -> None:
    """Have the model where a fetch would have put it."""
    if kind == "tgi":
        real_images.put_tgi_model(folder / "hf")
    elif kind == "ollama":
        put_model(folder / "ollama", "smollm2", small_model())
    else:
        image.put_model(folder / "hf")


@pytest.mark.parametrize("kind", THERE)
async def test_an_engine_starts_reports_phases_answers_and_stops(
    run: Run, engine: Engine, kind: str
) -> None:
    async with run(kind) as server, dialogue(server.address) as client:
        (answer,) = await client.ask("a")
        end = await client.end(answer)
        assert end["finish_reason"] in {"stop", "length"}
        assert client.text(answer)
        told = [event["model"] for event in client.events if event["type"] == "model"]
        assert told[-1]["engine"] == CALLED[kind]
        phases = [one["progress"]["phase"] for one in told if one["progress"]]
        order = ["pulling", "starting", "downloading", "loading", "warming up"]
        assert phases == sorted(phases, key=order.index)
        assert "starting" in phases
        assert kind == "ollama" or "loading" in phases
        pid = engine.inspect(NAME)["State"]["Pid"]
        status = status_of(pid)
        assert {status[name] for name in ("CapPrm", "CapEff", "CapBnd")} == {"0" * 16}
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        await client.say(type="stop", model="a")
        await client.model("a", "stopped", skip=len(client.events))
        assert engine.containers() == {}


async def test_a_model_that_is_not_in_the_cache_is_said_not_to_be(
    engine: Engine, make_runner: MakeRunner, settings: DockerSettings, llama: str
) -> None:
    runner = make_runner(settings=replace(settings, image=llama))
    await runner.start(A, model("acme/none", engine="llama.cpp", image=llama), silent)
    failure = explain_exit(await ends(runner, A), "llama.cpp")
    assert (failure.details or {})["cause"] == "weights_missing"
    assert "`model_id`" in str(failure.hint)


async def test_variables_go_in_and_secrets_among_them_are_hidden(
    engine: Engine, make_runner: MakeRunner
) -> None:
    runner = make_runner()
    variables = {"HF_TOKEN": "not-of-the-hubs-form", "DOOR_PASSWORD": "sesame", "PLAIN": "seen"}
    spec = model("shows-token", env=variables)
    await runner.start(A, spec, silent)
    await ends(runner, A)
    env = engine.inspect(NAME_A)["Config"]["Env"]
    assert {"HF_TOKEN=not-of-the-hubs-form", "PLAIN=seen"} <= set(env)
    logged = [line.text async for line in runner.logs(A, tail=100, follow=False)]
    assert sorted(logged) == [
        "Authorization: Bearer [redacted]",
        "HF_TOKEN=[redacted]",
        "the door opens to [redacted]",
    ]


async def test_a_container_that_is_found_again_is_spoken_to_as_what_it_is(
    engine: Engine, make_runner: MakeRunner, settings: DockerSettings, llama: str, tmp_path: Path
) -> None:
    """Also where the settings name another engine by now."""
    image.put_model(tmp_path)
    first = make_runner()
    spec = model(image.MODEL, engine="llama.cpp", image=llama)
    endpoint = await first.start(A, spec, silent)
    assert (endpoint.dialect, endpoint.flavour) == ("openai", "llama.cpp")
    await says(first, A, "listening on")
    second = make_runner(ports=(1, 1))
    assert [seen.endpoint for seen in await second.list()] == [endpoint]
    assert await second.start(A, model("o/n"), silent) == endpoint
    assert (await second.inspect(A)).is_outdated
    assert await answers(endpoint.url) == 200


async def test_a_starting_engine_that_ignores_the_stop_is_killed_after_its_grace(
    engine: Engine, tmp_path: Path, keep_log: KeepLog, fake: str
) -> None:
    """As vLLM does. The grace is the model's own, and the section's is of no concern."""
    keep_log("the gateway", tmp_path / "server.log")
    first, last = free_ports(10)
    settings = SETTINGS.format(first=first, last=last, directory=tmp_path)
    settings = settings.replace("[docker]", "[docker]\nstop_grace = 600")
    settings += f"image = {fake}\nengine = vllm\nmodel_id = program/stubborn\nstop_grace = 1\n"
    async with (
        gateway(settings, tmp_path, instance=INSTANCE) as server,
        dialogue(server.address) as client,
    ):
        (answer,) = await client.ask("a")
        # Its log's last line, which is all that is known of its start.
        await client.until(
            lambda e: e["type"] == "model" and (e["model"]["progress"] or {}).get("text") == "ready"
        )
        await client.say(type="stop", model="a")
        end = await client.end(answer)
        assert end["error"]["code"] == "model_failed"
        await client.model("a", "stopped", skip=client.events.index(end) - 5)
        assert engine.containers() == {}


async def test_a_start_that_is_cancelled_while_its_model_is_fetched_leaves_nothing(
    engine: Engine, make_runner: MakeRunner, settings: DockerSettings, fake: str
) -> None:
    runner = make_runner(settings=replace(settings, ollama_models=settings.hf_cache / "ollama"))
    told: asyncio.Queue[Progress] = asyncio.Queue()
    spec = model("tiny", engine="ollama", image=fake, env={"FAKE_OLLAMA": "1"})
    starting = asyncio.create_task(runner.start(A, spec, told.put_nowait))
    async with asyncio.timeout(CEILING_SECONDS):
        while (await told.get()).fraction != 0.25:
            pass
    assert list(engine.containers()) == [NAME_A]
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert engine.containers() == {}


async def test_an_ollama_that_ends_before_it_listens_is_explained_by_its_end(
    make_runner: MakeRunner, settings: DockerSettings, fake: str
) -> None:
    """The fake of TGI does not know what Ollama is told."""
    runner = make_runner(settings=replace(settings, ollama_models=settings.hf_cache / "ollama"))
    await runner.start(A, model("tiny", engine="ollama", image=fake), silent)
    failure = explain_exit(await ends(runner, A), "ollama")
    assert (failure.details or {})["cause"] == "bad_argument"
