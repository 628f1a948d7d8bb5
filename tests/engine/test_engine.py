"""The embedded engine as a program: how it starts, what it says, how it ends."""

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import xllamacpp

from server.engine import llama
from server.engines import llama_options
from server.models.diagnosis.log_entries import read_entries
from tests.engine.processes import EngineProcess, running_engine
from tests.support.gateway import ROOT
from tests.support.ports import free_ports
from tests.weights.tiny import TINY_METADATA, gguf_bytes

START = [
    "Looking for the weights of own-name",
    "Starting check and download process for own-name",
    "Files are already present on the host. Skipping download.",
    "Successfully downloaded weights for own-name",
    "Loading SmolLM2-135M-Instruct.Q4_1.gguf",
    "Loaded SmolLM2-135M-Instruct.Q4_1.gguf in ",
    "Connected",
]
ONE_THREAD = ("--threads", "1", "--slots", "1", "--context-tokens", "2048")


def accepts(port: int) -> bool:
    """Tell whether a connection to the port is accepted."""
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


def errors(log: str) -> list[str]:
    """Return the messages of the errors in a log, llama.cpp's and ours."""
    return [entry.lines[0] for entry in read_entries(log.splitlines()) if entry.level == "ERROR"]


def test_a_start_is_told_line_by_line(weights: Path) -> None:
    with running_engine("--model-id", "own-name", *ONE_THREAD) as engine:
        told = [json.loads(line) for line in engine.log.splitlines()]
    messages = [line["fields"]["message"] for line in told]
    assert [said[: len(sign)] for said, sign in zip(messages, START, strict=True)] == START
    assert told[4]["fields"]["progress"] == {"phase": "loading"}
    assert {line["target"] for line in told} == {"sidestream_engine"}


def test_weights_that_are_here_are_found_without_what_fetches() -> None:
    """HTTP and TLS would be a fifth of all that a start imports."""
    look = "import sys, server.engine.__main__; print(*sys.modules, sep='\\n')"
    found = subprocess.check_output([sys.executable, "-c", look], cwd=ROOT, text=True).split()
    assert "server.weights.obtaining" in found
    assert not {"http.client", "ssl", "zipfile", "huggingface_hub", "asyncio"} & {*found}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_at_once(weights: Path, number: signal.Signals) -> None:
    with running_engine(*ONE_THREAD) as engine:
        assert accepts(engine.port)
        engine.send(number)
        assert engine.wait_for_end() == -number
    assert not accepts(engine.port)


def test_a_signal_ends_it_while_it_loads(weights: Path) -> None:
    with EngineProcess(*ONE_THREAD) as engine:
        engine.wait_for("Loading")
        engine.send(signal.SIGTERM)
        assert engine.wait_for_end() == -signal.SIGTERM


async def test_the_key_comes_from_the_environment_and_is_never_told(weights: Path) -> None:
    with running_engine(*ONE_THREAD, env={"LLAMA_API_KEY": "very-secret"}) as engine:
        async with aiohttp.ClientSession(engine.url) as http:
            async with http.post("/tokenize", json={"content": "a"}) as response:
                assert response.status == 401
            key = {"Authorization": "Bearer very-secret"}
            async with http.post("/tokenize", json={"content": "a"}, headers=key) as response:
                assert response.status == 200
    assert "very-secret" not in engine.log


async def test_the_engine_runs_with_the_requested_options(weights: Path) -> None:
    options = (
        "--cache-type-k q8_0 --cache-type-v q8_0 --flash-attn on --batch-size 256 "
        "--tensor-split 0,1"
    )
    arguments = ("--slots", "3", "--context-tokens", "512", "--threads", "1", "--model-id", "mine")
    with running_engine(*arguments, f"--engine-options={options}") as engine:
        async with aiohttp.ClientSession(engine.url) as http:
            async with http.get("/props") as response:
                props = await response.json()
            async with http.get("/v1/models") as response:
                (model,) = (await response.json())["data"]
            async with http.get("/metrics") as response:
                assert response.status == 200
    assert props["total_slots"] == 3
    assert props["default_generation_settings"]["n_ctx"] == 512
    assert model["id"] == "mine"


def test_every_option_that_settings_may_have_reaches_the_library() -> None:
    assert llama._SETTERS.keys() == llama_options._OPTIONS.keys()


@pytest.mark.parametrize(("kind", "fits"), [("CPU", False), ("GPU", True), ("IGPU", True)])
def test_a_model_is_fitted_to_a_gpu_alone(
    weights: Path, monkeypatch: pytest.MonkeyPatch, kind: str, fits: bool
) -> None:
    kinds = xllamacpp.ggml_backend_dev_type
    devices = [{"type": getattr(kinds, f"GGML_BACKEND_DEVICE_TYPE_{one}")} for one in ("CPU", kind)]
    monkeypatch.setattr(xllamacpp, "get_device_info", lambda: devices)
    monkeypatch.setattr(xllamacpp, "Server", lambda params: params)
    params: Any = llama.start_server(
        weights, port=1, key="", alias="m", slots=1, context_tokens=64, threads=1, options={}
    )
    assert params.fit_params == fits


async def test_a_draft_model_is_found_as_weights_are(weights: Path) -> None:
    options = f"--model-draft {weights} --draft-max 4"
    with running_engine(*ONE_THREAD, f"--engine-options={options}") as engine:
        async with aiohttp.ClientSession(engine.url) as http:
            body = {"prompt": "One, two, three,", "n_predict": 8, "temperature": 0}
            async with http.post("/completion", json=body) as response:
                timings = (await response.json())["timings"]
    assert timings["draft_n"] > 0


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (["--slots", "0"], "must lie between 1"),
        (["--slots", "x"], "not a whole number"),
        (["--weights-sha256", "abc"], "64 hexadecimal digits"),
        (["--nonsense"], "unrecognized arguments"),
        (["--engine-options=--host 0.0.0.0"], "'--host' is not allowed here"),
        (["--engine-options=--n-gpu-layers"], "--n-gpu-layers: a value is missing"),
        (["--engine-options=--tensor-split 0,0"], "--tensor-split: expected a number above 0"),
    ],
)
def test_wrong_arguments_exit_with_2(arguments: list[str], cause: str) -> None:
    with EngineProcess(*arguments) as engine:
        assert engine.wait_for_end() == 2
    assert cause in engine.log


@pytest.mark.parametrize("port", ["0", "70000", "x"])
def test_a_wrong_port_exits_with_2(port: str) -> None:
    with EngineProcess("--port", port) as engine:
        assert engine.wait_for_end() == 2
    assert "argument --port" in engine.log


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is not a GGUF file"),
        (b"hello", "is not a GGUF file"),
        (b"GGUF", "is damaged or cut short (4 bytes)"),
        (gguf_bytes()[:-65], "is damaged or cut short"),
        (None, "does not exist"),
    ],
    ids=["empty", "text", "magic only", "no tensors", "missing"],
)
def test_weights_that_are_none_are_told_before_they_are_loaded(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    path = tmp_path / "model.gguf"
    if content is not None:
        path.write_bytes(content)
    with EngineProcess(weights=str(path)) as engine:
        assert engine.wait_for_end() == 1
    (cause,) = errors(engine.log)
    assert str(path) in cause
    assert reason in cause


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (gguf_bytes()[:-10], "is not within the file bounds"),
        (gguf_bytes(), "key not found in model: llama.embedding_length"),
        (
            gguf_bytes({**TINY_METADATA, "general.architecture": "novamind"}),
            "unknown model architecture: 'novamind'",
        ),
    ],
    ids=["tensor cut", "no model", "unknown architecture"],
)
def test_llama_cpps_words_about_weights_are_in_the_log(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with EngineProcess(weights=str(path)) as engine:
        assert engine.wait_for_end() == 1
    # llama.cpp has a thread for its log: which of the lines comes first is luck, and so is whether
    # ours comes between what it writes in front of a line and the line.
    assert reason in engine.log
    assert any(line.startswith(f"failed to load model {path}") for line in errors(engine.log))


@pytest.mark.parametrize("spec", ["pypi:", "pypi:a b", "hf:x.gguf", "hf:a/b/c.bin", "/", "."])
def test_a_spec_of_no_known_form_is_refused(spec: str) -> None:
    with EngineProcess(weights=spec) as engine:
        assert engine.wait_for_end() == 1
    assert len(errors(engine.log)) == 1


def test_another_hash_than_asked_for_is_refused(weights: Path) -> None:
    with EngineProcess("--weights-sha256", "0" * 64) as engine:
        assert engine.wait_for_end() == 1
    assert "has SHA-256" in errors(engine.log)[-1]


def test_a_context_beyond_the_training_is_cut_and_told(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(gguf_bytes({**TINY_METADATA, "llama.context_length": 100}))
    with EngineProcess("--context-tokens", "200", weights=str(path)) as engine:
        engine.wait_for("The model was trained for 100 tokens; a request may hold as many")


def test_a_port_that_is_taken_is_told(weights: Path) -> None:
    port = free_ports(1)[0]
    with (
        socket.create_server(("127.0.0.1", port)),
        EngineProcess(*ONE_THREAD, port=port) as engine,
    ):
        assert engine.wait_for_end() == 1
    # Another thread of llama.cpp may write in front of the line.
    assert "couldn't bind" in engine.log
