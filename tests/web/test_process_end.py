"""The gateway as a process: however it ends, answers end first, and no process is left behind."""

import re
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import websockets

from tests.conftest import KeepLog
from tests.support.dialogue import Dialogue, dialogue
from tests.support.gateway import gateway
from tests.support.processes import Watched
from tests.web.processes import PROGRAM, settings, until_exit

HELD = "fake --hold-after 2"


@pytest.fixture
def place(tmp_path: Path, keep_log: KeepLog) -> Path:
    """Return a folder for the gateway, whose log is shown on failure."""
    log = tmp_path / "server.log"
    log.touch()
    keep_log("the gateway", log)
    return tmp_path


async def held_answer(client: Dialogue) -> str:
    """Ask the model, which stops in the middle of its answer; return the generation."""
    (generation,) = await client.ask("m", prompt="Tell me.")
    await client.delta(generation)
    return generation


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_told_to_stop_it_interrupts_answers_says_good_bye_and_leaves_nothing(
    place: Path, number: signal.Signals
) -> None:
    async with gateway(settings(HELD), place, program=PROGRAM) as running:
        engine_gone: Watched
        async with websockets.connect(f"ws://{running.address}/ws") as connection:
            client = Dialogue(connection)
            generation = await held_answer(client)
            engine_gone = Watched(running.engine("m"))
            running.process.send_signal(number)
            end = await client.end(generation)
            assert end["finish_reason"] == "interrupted"
            assert end["seq"] == client.seq(generation)
            with pytest.raises(websockets.ConnectionClosed):
                await client.until(lambda _: False)
            assert connection.close_code == 1001
        assert await until_exit(running) == 0
        await engine_gone.gone()


async def test_while_it_stops_answers_may_finish_and_nothing_new_is_taken(place: Path) -> None:
    """Regression: from the signal on, nobody was heard any more."""
    text = settings(HELD)
    async with gateway(text, place, program=PROGRAM, shutdown_grace=60) as running:
        async with websockets.connect(f"ws://{running.address}/ws") as connection:
            client = Dialogue(connection)
            generation = await held_answer(client)
            running.process.send_signal(signal.SIGTERM)
            refused = await refused_for_stopping(client)
            assert refused["error"]["code"] == "shutting_down"
            with pytest.raises(websockets.InvalidStatus) as late:
                await websockets.connect(f"ws://{running.address}/ws")
            assert late.value.response.status_code == 503
            assert "Retry-After" in late.value.response.headers
            await release(text)
            assert (await client.end(generation))["finish_reason"] == "length"
            with pytest.raises(websockets.ConnectionClosed):
                await client.until(lambda _: False)
            assert connection.close_code == 1001
        assert await until_exit(running) == 0


async def test_while_it_stops_an_answer_may_still_be_cancelled(place: Path) -> None:
    async with gateway(settings(HELD), place, program=PROGRAM, shutdown_grace=60) as running:
        async with dialogue(running.address) as client:
            generation = await held_answer(client)
            running.process.send_signal(signal.SIGTERM)
            await refused_for_stopping(client)
            await client.say(type="cancel")
            assert (await client.end(generation))["finish_reason"] == "cancelled"
        assert await until_exit(running) == 0


async def release(text: str) -> None:
    """Let the fake go on that listens on one of the ports of the settings."""
    first = int(re.findall(r"ports = (\d+)", text)[0])
    async with aiohttp.ClientSession() as http:
        for port in range(first, first + 3):
            with suppress(aiohttp.ClientConnectionError):
                await http.post(f"http://127.0.0.1:{port}/_fake/release")


async def refused_for_stopping(client: Dialogue) -> dict[str, Any]:
    """Ask until it is refused: the signal may take longer than a command."""
    while True:
        answer = await client.try_to(type="generate", targets=[{"model": "m"}], prompt="Hi")
        if answer["type"] == "error":
            return answer
        await client.say(type="cancel", generations=answer["result"]["generations"])


async def test_an_engine_that_does_not_listen_is_killed(place: Path) -> None:
    text = settings("fake --ignore-sigterm", engines="stop_grace = 0.2")
    async with gateway(text, place, program=PROGRAM) as running:
        async with dialogue(running.address) as client:
            await client.say(type="start", model="m")
            await client.model("m", "ready")
        await running.stop()


async def test_told_twice_it_stops_at_once_and_leaves_nothing_all_the_same(place: Path) -> None:
    text = settings("fake --ignore-sigterm", engines="stop_grace = 600")
    async with gateway(text, place, program=PROGRAM) as running:
        async with websockets.connect(f"ws://{running.address}/ws") as connection:
            client = Dialogue(connection)
            await client.say(type="start", model="m")
            await client.model("m", "ready")
            engine = Watched(running.engine("m"))
            running.process.send_signal(signal.SIGTERM)
            with pytest.raises(websockets.ConnectionClosed):
                await client.until(lambda _: False)
        running.process.send_signal(signal.SIGTERM)
        assert await until_exit(running) == 128 + signal.SIGTERM
        await engine.gone()


async def test_killed_it_leaves_no_engine_and_its_name_is_free(place: Path) -> None:
    async with gateway(settings(), place, program=PROGRAM, instance="killed") as running:
        async with dialogue(running.address) as client:
            await client.say(type="start", model="m")
            await client.model("m", "ready")
        engine = Watched(running.engine("m"))
        await running.kill()
        await engine.gone()
    async with gateway(settings(), place, program=PROGRAM, instance="killed"):
        pass


async def test_a_model_server_that_dies_in_the_middle_is_explained_and_started_again(
    place: Path,
) -> None:
    text = settings("fake --die-after 3", engines="restart_limit = 0")
    text += "[model other]\nweights = fake --delay-ms 5\n"
    async with (
        gateway(text, place, program=PROGRAM) as running,
        dialogue(running.address) as client,
    ):
        doomed, other = await client.ask(
            "m", "other", prompt="Tell me.", parameters={"max_new_tokens": 50}
        )
        end = await client.end(doomed)
        assert (end["finish_reason"], end["error"]["code"]) == ("failed", "model_failed")
        assert "killed" in end["error"]["message"]
        assert (await client.model("m", "failed"))["error"]["code"] == "model_failed"
        assert (await client.end(other))["finish_reason"] == "length"
        seen = len(client.events)
        await client.ask("m", prompt="Tell me.")
        await client.model("m", "ready", skip=seen)
