"""The containers of each engine: arguments, environment and folder."""

from pathlib import Path
from typing import Any

import pytest

from server.engines.known import ENGINES
from server.models.runners.base import Replica
from server.models.runners.containers.command import shared_folder
from server.models.runners.docker.configuration import (
    Host,
    configuration,
    settings_hash,
)
from server.models.runners.registry import limits_of
from server.settings.tables import DockerSettings, Settings
from tests.models.runners.test_engines_in_settings import NAMES
from tests.support.specs import catalog

DOCKER = DockerSettings(hf_cache=Path("/hf"), ollama_models=Path("/ollama"))
HOST = Host(memory_bytes=100 << 30)
GPUS = Host(memory_bytes=100 << 30, has_gpus=True)
ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "HTTPS_PROXY": "http://proxy", "AWS_SECRET": "x"}


def asked(engine: str, host: Host = HOST, **settings: Any) -> dict[str, Any]:
    settings = {"runner": "docker", "engine": engine, "model_id": NAMES[engine], **settings}
    spec = catalog(a=settings).get("a")
    folder = str(shared_folder(ENGINES[engine], DOCKER))
    return configuration(
        Replica("default", "a"),
        spec,
        DOCKER,
        host,
        port=9000,
        folder=folder,
        token="hf_token",
        environment=ENVIRONMENT,
    )


COMMANDS = {
    "tgi": "--model-id o/n --num-shard 1 --port 8080 --json-output --usage-stats off",
    "vllm": "o/n --host 0.0.0.0 --port 8080 --tensor-parallel-size 1 --gpu-memory-utilization 0.9",
    "sglang": "python3 -m sglang.launch_server --model-path o/n --host 0.0.0.0 --port 8080 "
    "--tp-size 1 --enable-metrics",
    "llama.cpp": f"--hf-repo {NAMES['llama.cpp']} --host 0.0.0.0 --port 8080 --parallel 4 "
    "--kv-unified --metrics --no-webui",
    "ollama": "serve",
}


@pytest.mark.parametrize("engine", COMMANDS)
def test_a_model_without_wishes(engine: str) -> None:
    assert " ".join(asked(engine, GPUS)["Cmd"]) == COMMANDS[engine]


@pytest.mark.parametrize(
    ("engine", "settings", "words"),
    [
        (
            "vllm",
            {
                "revision": "v1",
                "num_shard": 2,
                "quantize": "fp8",
                "dtype": "bfloat16",
                "max_total_tokens": 8192,
                "max_batch_prefill_tokens": 2048,
                "gpu_memory": 0.45,
                "trust_remote_code": True,
                "arguments": "--enforce-eager",
            },
            "o/n --host 0.0.0.0 --port 8080 --revision v1 --tensor-parallel-size 2 --quantization "
            "fp8 --dtype bfloat16 --max-model-len 8192 --max-num-batched-tokens 2048 "
            "--gpu-memory-utilization 0.45 --trust-remote-code --enforce-eager",
        ),
        (
            "vllm",
            {"arguments": "--gpu-memory-utilization=0.3"},
            "o/n --host 0.0.0.0 --port 8080 --tensor-parallel-size 1 --gpu-memory-utilization 0.3",
        ),
        (
            "sglang",
            {"max_total_tokens": 8192, "gpu_memory": 0.5},
            "python3 -m sglang.launch_server --model-path o/n --host 0.0.0.0 --port 8080 --tp-size "
            "1 --context-length 8192 --mem-fraction-static 0.5 --enable-metrics",
        ),
        (
            # llama.cpp shares its context out among its slots.
            "llama.cpp",
            {"slots": 2, "max_total_tokens": 4096, "model_id": "o/n", "gpu_memory": 0.5},
            "--hf-repo o/n --host 0.0.0.0 --port 8080 --parallel 2 --ctx-size 8192 --metrics "
            "--no-webui",
        ),
        ("tgi", {"gpu_memory": 0.5}, f"{COMMANDS['tgi'][:45]} --cuda-memory-fraction 0.5 "),
    ],
)
def test_wishes_become_the_engines_own_arguments(
    engine: str, settings: dict[str, Any], words: str
) -> None:
    command = " ".join(asked(engine, GPUS, **settings)["Cmd"])
    if engine == "tgi":
        assert "--port 8080 --cuda-memory-fraction 0.5 --json-output" in command
    else:
        assert command == words


def test_gpu_options_are_left_out_without_a_gpu() -> None:
    assert "--gpu-memory-utilization" not in asked("vllm")["Cmd"]
    assert "--disable-custom-kernels" not in asked("vllm")["Cmd"]


ENV = {
    "tgi": {"HF_HOME=/data", "HUGGINGFACE_HUB_CACHE=/data/hub", "HF_HUB_OFFLINE=1"},
    "vllm": {
        *("HF_HOME=/data", "HF_HUB_CACHE=/data/hub", "HF_HUB_OFFLINE=1"),
        *("VLLM_NO_USAGE_STATS=1", "DO_NOT_TRACK=1"),
    },
    "sglang": {"HF_HOME=/data", "HF_HUB_CACHE=/data/hub", "HF_HUB_OFFLINE=1"},
    "llama.cpp": {
        *("HF_HOME=/data", "HF_HUB_CACHE=/data/hub", "LLAMA_ARG_OFFLINE=1"),
        "GOMP_SPINCOUNT=1000",
    },
    "ollama": {
        *("OLLAMA_HOST=0.0.0.0:8080", "OLLAMA_MODELS=/models", "OLLAMA_KEEP_ALIVE=-1"),
        *("OLLAMA_NO_CLOUD=1", "OLLAMA_NUM_PARALLEL=4"),
    },
}


@pytest.mark.parametrize("engine", ENV)
def test_the_hubs_token_goes_only_to_those_who_read_it(engine: str) -> None:
    expected = ENV[engine] | {"HTTPS_PROXY=http://proxy"}
    if engine != "ollama":
        expected |= {"HF_TOKEN=hf_token"}
    assert set(asked(engine)["Env"]) == expected


def test_a_models_own_variables_win() -> None:
    env = asked("vllm", env={"HF_TOKEN": "hf_own", "HTTPS_PROXY": "", "X": "y"})["Env"]
    assert {"HF_TOKEN=hf_own", "HTTPS_PROXY=", "X=y"} <= set(env)
    assert len({one.partition("=")[0] for one in env}) == len(env)


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_is_fenced_in_alike(engine: str) -> None:
    body = asked(engine)
    fence = dict(body["HostConfig"])
    tgi = dict(asked("tgi")["HostConfig"])
    (mount,) = fence.pop("Mounts")
    (ours,) = tgi.pop("Mounts")
    assert fence.pop("ShmSize") >= 64 << 20 < tgi.pop("ShmSize")
    assert fence == tgi
    assert mount["Source"] == ("/ollama" if engine == "ollama" else "/hf/hub")
    assert mount.keys() == ours.keys()
    assert body["ExposedPorts"] == {"8080/tcp": {}}
    assert "Entrypoint" not in body


def test_a_container_tells_which_engine_it_is() -> None:
    assert asked("vllm")["Labels"]["sidestream.engine"] == "vllm"
    assert "sidestream.engine" not in asked("tgi")["Labels"]


def test_another_engine_or_context_makes_a_container_outdated() -> None:
    def spec(**settings: Any) -> str:
        return settings_hash(
            catalog(a={"runner": "docker", "model_id": "o/n", **settings}).get("a"), DOCKER
        )

    hashes = [spec(), spec(engine="vllm"), spec(engine="sglang"), spec(engine="llama.cpp")]
    hashes.append(spec(engine="llama.cpp", max_total_tokens=100))
    assert len(set(hashes)) == len(hashes)
    assert spec(start_timeout=5.0) == spec() == spec(engine="tgi")


@pytest.mark.parametrize(
    ("engine", "docker", "model", "expected"),
    [
        ("tgi", {}, {}, (900, 100)),
        ("vllm", {}, {}, (1800, 10)),
        ("llama.cpp", {}, {}, (900, 10)),
        ("vllm", {"start_timeout": 60.0, "stop_grace": 3.0}, {}, (60, 3)),
        ("tgi", {"stop_grace": 0.0}, {}, (900, 0)),
        ("vllm", {"start_timeout": 60.0}, {"start_timeout": 5.0, "stop_grace": 7.0}, (5, 7)),
    ],
)
def test_a_models_times_are_its_own_else_the_sections_else_the_engines(
    engine: str, docker: dict[str, Any], model: dict[str, Any], expected: tuple[float, float]
) -> None:
    spec = catalog(
        a={"runner": "docker", "engine": engine, "model_id": NAMES[engine], **model}
    ).get("a")
    limits = limits_of(Settings(docker=DockerSettings(**docker)))(spec)
    assert (limits.start, limits.stop_grace) == expected
    assert limits.download == 7200
