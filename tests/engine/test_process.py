"""The engine as a program: how it starts, what it says, how it ends, and what it leaves."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.conftest import KeepLog
from tests.engine.client import CEILING_SECONDS, Client
from tests.engine.processes import ROOT, WEIGHTS, EngineProcess, running_engine
from tests.engine.tiny import TINY_METADATA, gguf_bytes

START = [
    "Starting check and download process for own-name",
    "Files are already present on the host. Skipping download.",
    "Successfully downloaded weights for own-name",
    "Starting shard",
    "Shard ready in ",
    "Starting Webserver",
    "Warming up model",
    "Connected",
]
ONE_THREAD = ("--threads", "1", "--slots", "1", "--context-tokens", "3000")


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Return a socket that is bound and does not listen."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound


def accepts(port: int) -> bool:
    """Tell whether a connection to the port is accepted."""
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


def messages(log: str) -> list[str]:
    """Return the messages of a log in the JSON form."""
    return [json.loads(line)["fields"]["message"] for line in log.splitlines()]


def test_start_is_told_in_the_lines_of_tgis_launcher(weights: Path) -> None:
    with EngineProcess("--model-id", "own-name", "--json-output", "--port", "0") as engine:
        line = json.loads(engine.wait_for("Connected"))
        told = messages(engine.log)
        engine.send(signal.SIGTERM)
        assert engine.wait_for_end() == 0
    assert [message[: len(sign)] for message, sign in zip(told, START, strict=True)] == START
    assert line["level"] == "INFO"
    assert line["target"] == "sidestream_engine"
    assert line["fields"]["port"] > 0


def test_text_form_is_that_of_tgi(big_process: EngineProcess, weights: Path) -> None:
    with EngineProcess("--port", "0", *ONE_THREAD) as engine:
        line = engine.wait_for("Connected")
    stamp, level, target, message = line.split()
    assert stamp.endswith("Z")
    assert (level, target, message) == ("INFO", "sidestream_engine:", "Connected")


def test_connections_are_refused_until_the_model_is_ready(
    weights: Path, listener: socket.socket
) -> None:
    port, fd = listener.getsockname()[1], listener.fileno()
    with EngineProcess("--fd", str(fd), *ONE_THREAD, pass_fds=(fd,)) as engine:
        engine.wait_for("Starting shard")
        assert not accepts(port)
        engine.wait_for("Connected")
        assert accepts(port)
        engine.send(signal.SIGINT)
        assert engine.wait_for_end() == 0


def test_a_taken_port_is_told_before_anything_is_loaded() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with EngineProcess("--port", str(taken.getsockname()[1])) as engine:
            assert engine.wait_for_end() == 1
        cause, last = engine.log.splitlines()
    assert "Failed to bind to 127.0.0.1:" in cause
    assert last == "Error: WebserverFailed"


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        ([], "one of the arguments --port --fd is required"),
        (["--port", "70000"], "must lie between 0 and 65535"),
        (["--port", "x"], "not a whole number"),
        (["--port", "0", "--fd", "3"], "not allowed with argument"),
        (["--port", "0", "--slots", "0"], "must lie between 1"),
        (["--port", "0", "--weights-sha256", "abc"], "64 hexadecimal digits"),
        (["--port", "0", "--graceful-termination-timeout", "-1"], "must be positive"),
        (["--port", "0", "--nonsense"], "unrecognized arguments"),
    ],
)
def test_wrong_arguments_exit_with_2(arguments: list[str], cause: str) -> None:
    with EngineProcess(*arguments) as engine:
        assert engine.wait_for_end() == 2
    assert cause in engine.log


def test_a_context_too_small_for_anything_is_refused(weights: Path) -> None:
    with EngineProcess("--port", "0", "--context-tokens", "1") as engine:
        assert engine.wait_for_end() == 1
    last = engine.log.splitlines()[-1]
    assert last == 'Error: ArgumentValidation("`context-tokens` must be >= 2. Given: 1")'


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is not a GGUF file"),
        (b"hello", "is not a GGUF file"),
        (b"GGUF", "is damaged or cut short (4 bytes)"),
        (gguf_bytes()[:-65], "is damaged or cut short"),
        (gguf_bytes()[:-10], "is not within the file bounds"),
        (gguf_bytes(), "key not found in model: llama.embedding_length"),
        (None, "does not exist"),
    ],
    ids=["empty", "text", "magic only", "no tensors", "tensor cut", "no model", "missing"],
)
def test_bad_weights_end_with_their_cause(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    path = tmp_path / "model.gguf"
    if content is not None:
        path.write_bytes(content)
    with EngineProcess("--port", "0", weights=str(path)) as engine:
        assert engine.wait_for_end() == 1
    *_, cause, last = engine.log.splitlines()
    assert last == ("Error: DownloadError" if content is None else "Error: ShardCannotStart")
    assert " ERROR sidestream_engine: " in cause
    assert str(path) in cause
    assert reason in cause


@pytest.mark.parametrize("spec", ["pypi:", "pypi:a b", "hf:x.gguf", "hf:a/b/c.bin", "/", "."])
def test_a_spec_of_no_known_form_is_refused(spec: str) -> None:
    with EngineProcess("--port", "0", weights=spec) as engine:
        assert engine.wait_for_end() == 1
    assert engine.log.splitlines()[-1] == "Error: DownloadError"


def test_another_hash_than_asked_for_is_refused(weights: Path) -> None:
    with EngineProcess("--port", "0", "--weights-sha256", "0" * 64) as engine:
        assert engine.wait_for_end() == 1
    assert "has SHA-256" in engine.log
    assert engine.log.splitlines()[-1] == "Error: DownloadError"


def test_a_context_beyond_the_training_is_cut_and_told(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(gguf_bytes({**TINY_METADATA, "llama.context_length": 100}))
    with EngineProcess("--port", "0", "--context-tokens", "200", weights=str(path)) as engine:
        engine.wait_for("The model was trained for 100 tokens; a request may hold 97")


async def test_sigterm_lets_running_answers_end(weights: Path, keep_log: KeepLog) -> None:
    with running_engine(*ONE_THREAD) as engine:
        keep_log("the engine", lambda: engine.log)
        async with aiohttp.ClientSession() as session:
            client = Client(engine.url, session)
            async with client.open_stream(max_new_tokens=40, details=True) as events:
                await anext(events)
                engine.send(signal.SIGTERM)
                rest = [event async for event in events]
        assert rest[-1]["details"]["generated_tokens"] == 40
        assert await asyncio.to_thread(engine.wait_for_end) == 0
    assert not accepts(engine.port)


async def test_sigterm_waits_only_so_long(weights: Path) -> None:
    with running_engine(*ONE_THREAD, "--graceful-termination-timeout", "0.2") as engine:
        async with aiohttp.ClientSession() as session:
            client = Client(engine.url, session)
            async with client.open_stream(max_new_tokens=2900) as events:
                await anext(events)
                engine.send(signal.SIGTERM)
                assert await asyncio.to_thread(engine.wait_for_end) == 0


async def test_second_signal_ends_it_at_once(weights: Path) -> None:
    with running_engine(*ONE_THREAD) as engine:
        async with aiohttp.ClientSession() as session:
            client = Client(engine.url, session)
            async with client.open_stream(max_new_tokens=2900) as events:
                await anext(events)
                engine.send(signal.SIGTERM)
                # No connection is taken any more: the first signal has arrived.
                async with asyncio.timeout(CEILING_SECONDS):
                    while accepts(engine.port):
                        await anext(events)
                engine.send(signal.SIGTERM)
                assert await asyncio.to_thread(engine.wait_for_end) == 1


@pytest.fixture
def short_path() -> Iterator[Path]:
    """Return a directory whose path leaves room for a Unix socket's."""
    with tempfile.TemporaryDirectory(dir="/tmp") as path:
        yield Path(path)


def test_nothing_is_left_in_the_temporary_directory(weights: Path, short_path: Path) -> None:
    place = {"TMPDIR": str(short_path)}
    with running_engine(*ONE_THREAD, env=place) as killed:
        killed.send(signal.SIGKILL)
        killed.wait_for_end()
    (left,) = short_path.iterdir()
    with running_engine(*ONE_THREAD, env=place) as engine:
        (own,) = short_path.iterdir()
        assert own != left
        engine.send(signal.SIGTERM)
        assert engine.wait_for_end() == 0
    assert list(short_path.iterdir()) == []


PARENT = """
import os, subprocess, sys
read, write = os.pipe()
engine = subprocess.Popen(
    [sys.executable, "-m", "server.engine", "--lifeline-fd", str(read), *sys.argv[1:]],
    pass_fds=(read,),
)
os.close(read)
engine.wait()
"""


@pytest.mark.parametrize("moment", ["Starting shard", "Connected"])
def test_engine_dies_with_its_parent(weights: Path, moment: str) -> None:
    command = [sys.executable, "-c", PARENT, "--weights", WEIGHTS, "--port", "0", *ONE_THREAD]
    parent = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout as log:
        for line in log:
            if moment in line:
                break
        parent.kill()
        # Both hold the pipe: it ends when both are gone.
        log.read()
    assert parent.wait() == -signal.SIGKILL


def test_a_lifeline_that_is_no_descriptor_is_refused() -> None:
    with EngineProcess("--port", "0", "--lifeline-fd", "987") as engine:
        assert engine.wait_for_end() == 1
    assert "--lifeline-fd 987" in engine.log


async def test_the_key_may_come_from_the_environment_and_is_never_told(weights: Path) -> None:
    with running_engine(*ONE_THREAD, env={"API_KEY": "very-secret"}) as engine:
        async with aiohttp.ClientSession() as session:
            client = Client(engine.url, session)
            assert await client.post("/tokenize", {"inputs": "a"}) == (401, "")
            key = {"Authorization": "Bearer very-secret"}
            status, _ = await client.post("/tokenize", {"inputs": "a"}, headers=key)
            assert status == 200
    assert "very-secret" not in engine.log
