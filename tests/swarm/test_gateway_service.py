"""The gateway as a service of its models' swarm: it moves with its state, and is deployed anew."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from server.client.client import Client, connect
from server.client.generation import Generation
from server.client.messages import SidestreamError
from server.core.docker_engine import service_name
from server.doctor.findings import Wanted
from server.doctor.swarm import check_swarm
from tests.docker.engine import INSTANCE
from tests.swarm.bed import Bed, until
from tests.swarm.front import front
from tests.swarm.stack import CEILING_SECONDS, PORT, Reached, Stack, three_managers

TOKEN = "hf_very_secret_token"
# The model is on the one manager that stays: only the gateway is lost with its node.
SETTINGS = """\
[swarm]
image = {fake}
allowed_images = sidestream-test/*
hf_cache = {cache}
hf_token = file:/run/secrets/hub
stop_grace = 2

[model one]
runner = swarm
gpus = none
constraints = node.hostname == node1
model_id = fake/slow-words
"""


@pytest.fixture
def stack(bed: Bed, fake: str, tmp_path: Path) -> Iterator[Stack]:
    """Return the stack, to be deployed on three managers."""
    (tmp_path / "hf" / "hub").mkdir(parents=True)
    stack = Stack(bed, tmp_path)
    stack.prepare(SETTINGS.format(fake=fake, cache=tmp_path / "hf"), TOKEN)
    with three_managers(bed):
        yield stack
        bed.heal()
        stack.remove()


@pytest.fixture
async def gateway(stack: Stack) -> AsyncIterator[Reached]:
    """Return the deployed gateway, wherever it runs."""
    key = await asyncio.to_thread(stack.make_key)
    await asyncio.to_thread(stack.deploy)
    async with front([node.address for node in stack.bed.workers], PORT) as address:
        gateway = Reached(address, {"Authorization": f"Bearer {key}"})
        await gateway.until("/ready", ready=True)
        yield gateway


async def ask(client: Client, conversation: str, request: str, length: int = 5) -> Generation:
    """Give a command by its id, stored in a conversation; return its answer."""
    (generation,) = await client.generate(
        "one",
        f"Tell me, {request}.",
        parameters={"max_new_tokens": length},
        request_id=request,
        record={"conversation": conversation, "turn": request},
    )
    return generation


async def ended(generation: Generation) -> Generation:
    """Return an answer once it has ended, in whatever way."""
    with suppress(SidestreamError):
        async with asyncio.timeout(CEILING_SECONDS):
            async for _ in generation.pieces():
                pass
    return generation


def tasks(bed: Bed) -> list[str]:
    """Return the ids of the model's tasks, ended ones included."""
    return [task["ID"] for task in bed.tasks(service_name(INSTANCE, "one"))]


async def test_the_gateway_moves_with_its_state_when_its_node_dies_and_asks_nothing_twice(
    stack: Stack, gateway: Reached
) -> None:
    bed = stack.bed
    name = (await gateway.request("POST", "/conversations", {"title": "Moved"}))["id"]

    async def answers() -> dict[str, Any]:
        shown = await gateway.request("GET", f"/conversations/{name}")
        return {one["turn"]: one for one in shown["answers"]}

    async with connect(f"ws://{gateway.address}/ws", headers=gateway.headers) as client:
        whole = await ended(await ask(client, name, "whole"))
        cut = await ask(client, name, "cut", 5000)
        pieces = cut.pieces()
        async with asyncio.timeout(CEILING_SECONDS):
            while not (await answers()).get("cut", {}).get("text"):
                await anext(pieces)
        before, session, left = tasks(bed), client.session, stack.node()
        await asyncio.to_thread(left.pull_plug)
        assert (await ended(cut)).finish_reason == "interrupted"
        again = await ended(await ask(client, name, "whole"))
        assert client.session != session
        assert stack.node() not in {left, bed.manager}
        assert (again.answer, again.text) == (whole.answer, whole.text)
        told = await ended(await ask(client, name, "cut", 5000))
        assert (told.answer, told.finish_reason) == (cut.answer, "interrupted")
        assert told.text
        assert (await ended(await ask(client, name, "new"))).finish_reason == "length"
    assert list(await answers()) == ["whole", "cut", "new"]
    assert tasks(bed) == before
    (lock,) = bed.locks().values()
    assert lock["Spec"]["Labels"]["sidestream.lock.host"] == stack.node().name

    await asyncio.to_thread(bed.heal)
    settings = stack.folder / "settings.ini"
    settings.write_text(f"{settings.read_text()}name = Renamed\n")
    await asyncio.to_thread(stack.deploy, version=2)
    await gateway.until("/models/one", name="Renamed", state="ready")
    until(lambda: len(stack.running()) == 1)
    assert tasks(bed) == before
    assert list(await answers()) == ["whole", "cut", "new"]
    assert TOKEN not in json.dumps(bed.manager.ask("GET", "/services"))
    wanted = Wanted(
        instance=INSTANCE, swarm_hosts=(bed.manager.host,), swarm_models=frozenset({"one"})
    )
    seen = (await asyncio.to_thread(check_swarm, wanted)).seen
    assert f"the gateway sidestream_gateway has its state on {stack.folder}/state" in seen
