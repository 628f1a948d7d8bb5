"""The whole gateway over a swarm whose nodes are lost: under many answers, and during a start."""

from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import KeepLog
from tests.docker.engine import INSTANCE
from tests.docker.fake_launcher import FAULTS
from tests.fakes.tgi_answers import answer
from tests.support.dialogue import Dialogue, Event, dialogue
from tests.support.gateway import gateway
from tests.swarm.bed import Bed, until
from tests.swarm.settings import settings_of
from tests.swarm.test_swarm_nodes import running

DEFAULT_HEARTBEAT_SECONDS = 5
REPLICAS = 2
STREAMS = 30
LATE = 4
TOKENS, FEW_TOKENS = 1000, 20
WRITES = replace(FAULTS["slow-words"], model_id="fake/slow-words")
MODELS = """\
[model both]
runner = swarm
gpus = none
replicas = 2
model_id = fake/slow-words

[model late]
runner = swarm
gpus = none
model_id = fake/slow-to-load
"""


@pytest.fixture
def settings_text(bed: Bed, fake: str, tmp_path: Path, keep_log: KeepLog) -> str:
    """Return the settings of a gateway over the bed."""
    keep_log("the gateway", tmp_path / "server.log")
    return settings_of(bed, fake, tmp_path, MODELS, engines="health_interval = 1\n")


@pytest.fixture
def default_heartbeat(bed: Bed) -> Iterator[None]:
    """Have nodes tell that they are there as often as in a swarm that was told nothing else."""
    with bed.heartbeat(DEFAULT_HEARTBEAT_SECONDS):
        yield


async def ask(client: Dialogue, count: int, tokens: int) -> dict[str, str]:
    """Ask for so many answers, each to a question of its own; return what each is to be."""
    asked = {}
    for number in range(count):
        question = f"What is lighthouse {number} of {count} for?"
        parameters = {"max_new_tokens": tokens}
        (generation,) = await client.ask("both", prompt=question, parameters=parameters)
        whole = answer(WRITES, question, parameters)
        asked[generation] = "".join(token.text for token in whole.tokens)
    return asked


def places(event: Event) -> list[str]:
    """Return the nodes of the replicas that an event shows as ready."""
    is_of_both = event["type"] == "model" and event["model"]["id"] == "both"
    shown = (event["model"]["replicas"] or []) if is_of_both else []
    return [one["place"] for one in shown if one["state"] == "ready"]


def begun(client: Dialogue, generations: Collection[str]) -> list[str]:
    """Return those answers of which a word has come."""
    return [one for one in generations if client.seq(one)]


async def test_of_thirty_answers_those_on_a_dead_node_end_and_no_other_loses_a_word(
    settings_text: str, default_heartbeat: None, bed: Bed, tmp_path: Path
) -> None:
    """What has not begun is written by the other replica, and both run where there is a node."""
    async with (
        gateway(settings_text, tmp_path, instance=INSTANCE) as server,
        dialogue(server.address) as client,
    ):
        await client.say(type="start", model="both")
        await client.until(lambda event: len(set(places(event))) == REPLICAS)
        doomed, survivor = bed.workers
        streams = await ask(client, STREAMS, TOKENS)
        for stream in streams:
            await client.delta(stream, 3)
        # It takes what is sent to it, and begins no answer.
        (container,) = running(bed, doomed)
        doomed.act(container.partition("/")[2], "kill?signal=STOP")
        late = await ask(client, LATE, FEW_TOKENS)
        await client.until(lambda _: len(begun(client, late)) == LATE // REPLICAS)
        unbegun = late.keys() - begun(client, late)
        doomed.pull_plug()
        for generation, text in late.items():
            end = await client.end(generation)
            assert end["finish_reason"] == "length", end
            assert client.text(generation) == text
            codes = [notice["code"] for notice in end.get("notices", [])]
            assert ("asked_another" in codes) == (generation in unbegun)

        def lost() -> list[Event]:
            return [e for e in client.events if e["type"] == "end" and e["generation"] in streams]

        await client.until(lambda _: len(lost()) == STREAMS // REPLICAS)
        for end in lost():
            assert end["finish_reason"] == "failed"
            assert end["error"]["details"]["cause"] == "node_lost", end["error"]
            assert doomed.name in end["error"]["message"]
        untouched = streams.keys() - {end["generation"] for end in lost()}
        for generation in untouched:
            await client.delta(generation, client.seq(generation) + 5)
        for generation, text in streams.items():
            assert text.startswith(client.text(generation))
        await client.say(type="cancel")
        await client.until(lambda event: places(event) == [survivor.name] * REPLICAS)
        assert len(running(bed, survivor)) == REPLICAS
        bed.heal()
        until(lambda: not running(bed, doomed))
        assert len(running(bed, survivor)) == REPLICAS


async def test_a_model_whose_node_is_lost_while_it_loads_is_loaded_by_another(
    settings_text: str, bed: Bed, tmp_path: Path
) -> None:
    async with (
        gateway(settings_text, tmp_path, instance=INSTANCE) as server,
        dialogue(server.address) as client,
    ):
        (generation,) = await client.ask("late", parameters={"max_new_tokens": 5})
        await client.model("late", "loading")
        doomed = next(node for node in bed.workers if running(bed, node))
        doomed.pull_plug()
        end = await client.end(generation)
        assert end["finish_reason"] == "length", end
        assert [bool(running(bed, node)) for node in bed.workers] == [
            node is not doomed for node in bed.workers
        ]
        shown = (await client.say(type="start", model="late"))["model"]
        assert shown["error"] is None
        bed.heal()
        until(lambda: not running(bed, doomed))
