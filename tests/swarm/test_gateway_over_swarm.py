"""The whole gateway over a swarm: a real client, services, and nodes that die under answers."""

from pathlib import Path

import aiohttp
import pytest

from tests.conftest import KeepLog
from tests.docker.engine import INSTANCE
from tests.support.dialogue import dialogue
from tests.support.gateway import Gateway, gateway
from tests.swarm.bed import Bed
from tests.swarm.settings import settings_of
from tests.swarm.test_swarm_nodes import running

MODELS = """\
[model one]
runner = swarm
gpus = 1
model_id = fake/slow-words

[model two]
runner = swarm
gpus = 1
model_id = fake/slow-words

[model both]
runner = swarm
gpus = 1
replicas = 2
max_concurrent = 1
model_id = fake/slow-words

[model nowhere]
runner = swarm
gpus = none
constraints = node.labels.disk == ssd
model_id = fake/tgi
start_timeout = 2
"""


@pytest.fixture
def settings_text(bed: Bed, fake: str, tmp_path: Path, keep_log: KeepLog) -> str:
    """Return the settings of a gateway over the bed."""
    keep_log("the gateway", tmp_path / "server.log")
    return settings_of(
        bed, fake, tmp_path, MODELS, engines="read_timeout = 4\nhealth_interval = 1\n"
    )


async def test_a_node_that_dies_takes_its_answers_only_and_its_model_runs_elsewhere(
    settings_text: str, bed: Bed, tmp_path: Path
) -> None:
    """With one GPU on each worker, the two models are on two of them."""
    async with (
        gateway(settings_text, tmp_path, instance=INSTANCE) as server,
        dialogue(server.address) as client,
    ):
        doomed, bystander = await client.ask("one", "two", parameters={"max_new_tokens": 5000})
        await client.delta(doomed, 3)
        await client.delta(bystander, 3)
        one, two = (
            next(node for node in bed.workers if any(model in name for name in running(bed, node)))
            for model in ("-one-", "-two-")
        )
        assert one is not two
        one.pull_plug()
        end = await client.end(doomed)
        assert end["finish_reason"] == "failed"
        assert end["error"]["details"]["cause"] == "node_lost", end["error"]
        assert one.name in end["error"]["message"]
        await client.delta(bystander, client.seq(bystander) + 5)
        # The one GPU that is left is taken.
        await client.say(type="cancel")
        assert (await client.end(bystander))["finish_reason"] == "cancelled"
        before = len(client.events)
        await client.say(type="stop", model="two")
        await client.model("two", "stopped", skip=before)
        (again,) = await client.ask("one", parameters={"max_new_tokens": 5})
        assert (await client.end(again))["finish_reason"] == "length"
        assert len(running(bed, two)) == 1
    bed.heal()


async def test_a_killed_gateway_finds_its_services_again_and_a_hopeless_start_tells_why(
    settings_text: str, bed: Bed, tmp_path: Path
) -> None:
    async with (
        gateway(settings_text, tmp_path, instance=INSTANCE) as server,
        dialogue(server.address) as client,
    ):
        (answer,) = await client.ask("one", parameters={"max_new_tokens": 5})
        assert (await client.end(answer))["finish_reason"] == "length"
        before = bed.services().keys()
        await server.kill()
    async with (
        gateway(settings_text, tmp_path, instance=INSTANCE) as server,
        dialogue(server.address) as client,
    ):
        (answer,) = await client.ask("one", parameters={"max_new_tokens": 5})
        assert (await client.end(answer))["finish_reason"] == "length"
        assert bed.services().keys() == before
        (hopeless,) = await client.ask("nowhere", parameters={"max_new_tokens": 5})
        end = await client.end(hopeless)
        assert end["error"]["details"]["cause"] == "no_node"
        assert "no suitable node" in end["error"]["message"]


async def test_a_second_gateway_of_the_same_name_says_why_it_is_not_ready_until_the_first_ends(
    settings_text: str, bed: Bed, tmp_path: Path
) -> None:
    kept = settings_text.replace("on_exit = stop", "on_exit = keep")
    (tmp_path / "second").mkdir()
    async with gateway(kept, tmp_path, instance=INSTANCE) as first:
        async with dialogue(first.address) as client:
            (answer,) = await client.ask("one", parameters={"max_new_tokens": 5})
            assert (await client.end(answer))["finish_reason"] == "length"
        before = [task["ID"] for task in bed.tasks()]
        async with (
            gateway(settings_text, tmp_path / "second", instance=INSTANCE) as second,
            dialogue(second.address) as client,
        ):
            (refused,) = await client.ask("one", parameters={"max_new_tokens": 5})
            error = (await client.end(refused))["error"]
            assert error["details"]["cause"] == "instance_taken"
            (reason,) = await not_ready(second)
            assert reason == error["message"]
            assert await not_ready(first) == []
            await first.stop()
            assert not bed.locks()
            (answer,) = await client.ask("one", parameters={"max_new_tokens": 5})
            assert (await client.end(answer))["finish_reason"] == "length"
            assert await not_ready(second) == []
            assert [task["ID"] for task in bed.tasks()] == before


async def not_ready(server: Gateway) -> list[str]:
    """Return the reasons that `/ready` gives, none if it is."""
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"http://{server.address}/ready") as response,
    ):
        told = await response.json()
        assert response.status == (200 if told["ready"] else 503)
        reasons: list[str] = told["reasons"]
        return reasons


async def test_replicas_run_on_two_nodes_and_one_goes_on_when_the_others_node_dies(
    settings_text: str, bed: Bed, tmp_path: Path
) -> None:
    async with (
        gateway(settings_text, tmp_path, instance=INSTANCE) as server,
        dialogue(server.address) as client,
    ):
        # One of them may be ready before the other: both answer only once both are.
        answers = await client.ask("both", "both", parameters={"max_new_tokens": 5000})
        for answer in answers:
            await client.delta(answer, 3)
        assert [len(running(bed, worker)) for worker in bed.workers] == [1, 1]
        shown = (await client.say(type="start", model="both"))["model"]["replicas"]
        assert {one["place"] for one in shown} == {worker.name for worker in bed.workers}
        bed.workers[0].pull_plug()
        lost = await client.until(lambda event: event["type"] == "end")
        assert lost["error"]["details"]["cause"] == "node_lost"
        assert bed.workers[0].name in lost["error"]["message"]
        (other,) = [answer for answer in answers if answer != lost["generation"]]
        await client.delta(other, client.seq(other) + 5)
        await client.say(type="cancel")
        (again,) = await client.ask("both", parameters={"max_new_tokens": 5})
        assert (await client.end(again))["finish_reason"] == "length"
        bed.workers[0].start()
        (one, two) = await client.ask("both", "both", parameters={"max_new_tokens": 5000})
        for answer in (one, two):
            await client.delta(answer, 3)
        assert [len(running(bed, worker)) for worker in bed.workers] == [1, 1]
