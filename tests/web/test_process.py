"""The gateway as a process: how it starts, what it says when it cannot, how it ends.

Model servers are fakes that the gateway starts as its children, so that whatever it leaves behind
is a process that can be seen.
"""

import asyncio
import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import websockets

from tests.conftest import KeepLog
from tests.support.dialogue import Dialogue, dialogue
from tests.support.gateway import ROOT, Gateway, gateway
from tests.support.ports import free_ports
from tests.support.processes import Watched, children

CEILING_SECONDS = 30
PROGRAM = "tests.support.fake_engines"
HELD = "fake --hold-after 2"


def settings(weights: str = "fake", *, engines: str = "", model: str = "") -> str:
    """Return settings with one model `m` whose server is that fake."""
    first, last = free_ports(3)
    return (
        f"[engines]\nports = {first}-{last}\ndrain_timeout = 0\n{engines}\n"
        f"[model m]\nweights = {weights}\n{model}\n"
    )


@pytest.fixture
def place(tmp_path: Path, keep_log: KeepLog) -> Path:
    """Return a folder for the gateway, whose log is shown on failure."""
    keep_log("the gateway", tmp_path / "server.log")
    return tmp_path


async def run(*arguments: str, **environment: str) -> tuple[int, str, str]:
    """Run the program to its end; return its code and what it wrote."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "server", *arguments),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )
    try:
        async with asyncio.timeout(CEILING_SECONDS):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def until_exit(running: Gateway) -> int:
    """Return the code with which the gateway ends."""
    async with asyncio.timeout(CEILING_SECONDS):
        return await running.process.wait()


async def held_answer(client: Dialogue) -> str:
    """Ask the model, which stops in the middle of its answer; return the generation."""
    (generation,) = await client.ask("m", prompt="Tell me.")
    await client.delta(generation)
    return generation


# --- starting -----------------------------------------------------------------------------------


async def test_it_is_healthy_whatever_its_models_do(place: Path) -> None:
    """The model is started with it and never gets anywhere; asking for its health comes first."""
    text = settings("fake --never-healthy", model="preload = yes")
    async with gateway(text, place, program=PROGRAM) as running:
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"http://{running.address}/health") as answer,
        ):
            assert answer.status == 200
            assert (await answer.json())["status"] == "ok"
        async with dialogue(running.address) as client:
            await client.say(type="hello")
            models = client.events[-1]["result"]["models"]
            assert models[0]["state"] != "ready"


async def test_settings_that_cannot_be_used_are_told_line_by_line(tmp_path: Path) -> None:
    file = tmp_path / "settings.ini"
    file.write_text("[server]\nport = x\ncolour = red\n")
    code, out, err = await run("--settings", str(file), SIDESTREAM_SERVER__HEARTBEAT="never")
    assert (code, out) == (2, "")
    lines = err.splitlines()
    assert lines[0] == "The settings cannot be used:"
    assert all(line.startswith(f"  {file}: [server] ") for line in lines[1:])
    assert len(lines) == 4


async def test_a_settings_file_that_is_not_there(tmp_path: Path) -> None:
    code, _, err = await run("--settings", str(tmp_path / "none.ini"))
    assert code == 2
    assert "none.ini: cannot be read" in err


def listening_settings(directory: Path) -> str:
    """Write settings without models; return the file."""
    file = directory / "settings.ini"
    file.write_text(f"[server]\nstate_dir = {directory}\n")
    return str(file)


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("127.0.0.1", "another program uses the port; choose one with --port"),
        ("host.invalid", ""),
        ("203.0.113.1", "Cannot assign requested address"),
    ],
)
async def test_an_address_that_cannot_be_had_is_told_in_one_line(
    tmp_path: Path, host: str, said: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        file = listening_settings(tmp_path)
        code, out, err = await run("--settings", file, "--host", host, "--port", str(port))
    assert (code, out) == (1, "")
    assert err.startswith(f"Cannot listen on {host}:{port}: {said}")
    assert err.count("\n") == 1


async def test_a_second_gateway_of_the_same_name_is_refused(place: Path) -> None:
    async with gateway("", place, instance="twin") as running:
        code, out, err = await run("--settings", str(place / "settings.ini"))
        assert (code, out) == (1, "")
        assert err.startswith(f"A Sidestream named 'twin' runs already (process {running.pid}).")
    async with gateway("", place, instance="twin"):
        pass


@pytest.mark.parametrize("seconds", [0.0, 0.1, 0.2, 0.4, 0.6, 0.8])
async def test_ctrl_c_at_any_moment_of_the_start_leaves_no_process(
    place: Path, seconds: float
) -> None:
    file = place / "settings.ini"
    file.write_text(
        f"[server]\nport = 0\nstate_dir = {place}\n"
        + settings("fake --load-seconds 30", model="preload = yes")
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", PROGRAM, "--settings", str(file)),
        cwd=ROOT,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    with suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), seconds)
    engines = [Watched(pid) for pid in children(process.pid)]
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(CEILING_SECONDS):
        # In order, or by the signal itself if that came before there was an order.
        assert await process.wait() in (0, 130, -signal.SIGINT)
    for engine in engines:
        await engine.gone()


@pytest.mark.parametrize("state", ["starting", "ready"])
async def test_ctrl_c_while_a_model_starts_or_waits_leaves_no_process(
    place: Path, state: str
) -> None:
    weights = "fake --load-seconds 30" if state == "starting" else "fake"
    async with gateway(settings(weights), place, program=PROGRAM) as running:
        async with dialogue(running.address) as client:
            await client.say(type="start", model="m")
            await client.model("m", state)
            if state == "starting":
                # From its log: the process is there and has begun to load.
                await client.model("m", "loading")
        engine = Watched(running.engine("m"))
        running.process.send_signal(signal.SIGINT)
        assert await until_exit(running) == 0
        await engine.gone()


# --- ending -------------------------------------------------------------------------------------


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
    text = settings(HELD)
    engine_port = text.split("ports = ")[1].split("-")[0]
    async with gateway(text, place, program=PROGRAM) as started:
        pass
    file = place / "settings.ini"
    file.write_text(file.read_text().replace("shutdown_grace = 0", "shutdown_grace = 30"))
    assert started.process.returncode == 0
    async with asyncio.timeout(CEILING_SECONDS), patient_gateway(file) as (process, address):
        async with websockets.connect(f"ws://{address}/ws") as connection:
            client = Dialogue(connection)
            generation = await held_answer(client)
            process.send_signal(signal.SIGTERM)
            refused = await refused_for_stopping(client)
            assert refused["error"]["code"] == "shutting_down"
            async with aiohttp.ClientSession() as http:
                await http.post(f"http://127.0.0.1:{engine_port}/_fake/release")
            assert (await client.end(generation))["finish_reason"] == "length"
        assert await process.wait() == 0


class patient_gateway:  # noqa: N801
    """Run a gateway with a settings file as it is."""

    def __init__(self, file: Path) -> None:
        self._file = file

    async def __aenter__(self) -> tuple[asyncio.subprocess.Process, str]:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", PROGRAM, "--settings", str(self._file)),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert self._process.stdout is not None
        line = (await self._process.stdout.readline()).decode()
        return self._process, line.strip().rpartition("http://")[2]

    async def __aexit__(self, *_: object) -> None:
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


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
