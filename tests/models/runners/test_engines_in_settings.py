"""Engines in the settings: which keys and arguments each has, and what is refused."""

from pathlib import Path

import pytest

from server.engines.known import ENGINES, started_by
from server.models.catalogue.catalog import ModelSpec, build_catalog
from server.settings.loading import load
from server.settings.values import SettingsError

HUB = "o/n"
NAMES = {
    "tgi": HUB,
    "vllm": HUB,
    "sglang": HUB,
    "llama.cpp": "ggml-org/gemma-3-1b-it-GGUF:Q4_K_M",
    "ollama": "llama3.2:1b",
}


def read(tmp_path: Path, engine: str, *lines: str, docker: str = "") -> ModelSpec:
    path = tmp_path / "settings.ini"
    named = () if any(line.startswith("model_id") for line in lines) else (NAMES[engine],)
    model = ["[model a]", "runner = docker", f"engine = {engine}"]
    model += [*(f"model_id = {name}" for name in named), *lines]
    path.write_text(f"[docker]\n{docker}\n" + "\n".join(model) + "\n")
    return build_catalog(load(path, {})).get("a")


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_and_a_model_are_all_it_takes(tmp_path: Path, engine: str) -> None:
    spec = read(tmp_path, engine)
    known = ENGINES[engine]
    assert (spec.program, spec.engine, spec.dialect) == (engine, known.title, known.dialect)
    assert spec.served_as == (NAMES[engine] if engine == "ollama" else "")


@pytest.mark.parametrize(
    ("engine", "lines"),
    [
        (
            "vllm",
            ["max_total_tokens = 8192", "num_shard = 2", "quantize = fp8", "dtype = bfloat16"],
        ),
        ("vllm", ["arguments = --gpu-memory-utilization 0.4 --enforce-eager --max-num-seqs=8"]),
        ("vllm", ["gpu_memory = 0.45", "env = VLLM_USE_V1=1 HF_TOKEN=hf_of_this_model"]),
        ("vllm", ['parameters = {"min_p": 0.1, "presence_penalty": 0.5}']),
        ("vllm", ["dtype = float16", "quantize = awq"]),
        ("sglang", ["arguments = --mem-fraction-static 0.7", "revision = v1"]),
        ("llama.cpp", ["slots = 2", "max_total_tokens = 4096", "gpu_memory = 0.3"]),
        ("llama.cpp", ["arguments = --n-gpu-layers -1 --flash-attn on --cache-type-k q8_0"]),
        ("llama.cpp", ["model_id = o/n"]),
        ("llama.cpp", ["image = ghcr.io/ggml-org/llama.cpp:server-cuda"]),
        ("ollama", ["model_id = hf.co/o/n:Q4_K_M", "max_total_tokens = 8192", "slots = 1"]),
        ("ollama", ["model_id = registry.local:5000/me/tiny:1"]),
        ("tgi", ["start_timeout = 60", "stop_grace = 5", "download_timeout = 99"]),
    ],
)
def test_keys_of_an_engine_are_taken(tmp_path: Path, engine: str, lines: list[str]) -> None:
    read(tmp_path, engine, *lines)


@pytest.mark.parametrize(
    ("engine", "line", "problem"),
    [
        ("vllm", "max_input_tokens = 5", "max_input_tokens: means nothing for engine = vllm, only"),
        ("llama.cpp", "quantize = awq", "quantize: means nothing for engine = llama.cpp, only for"),
        ("llama.cpp", "revision = v1", "revision: means nothing for engine = llama.cpp"),
        ("llama.cpp", "num_shard = 2", "num_shard: means nothing for engine = llama.cpp"),
        ("ollama", "trust_remote_code = yes", "trust_remote_code: means nothing for engine ="),
        (
            "tgi",
            "slots = 2",
            "slots: means nothing for engine = tgi, only for llama.cpp and ollama",
        ),
        (
            "vllm",
            "chat_template = x",
            "chat_template: means nothing for engine = vllm, only for tgi",
        ),
        ("vllm", "weights = hf:o/r/f.gguf", "weights: means nothing for runner = docker"),
        ("vllm", "url = http://x", "url: means nothing for runner = docker"),
        ("vllm", "quantize = exl2", "vLLM does not know exl2; expected one of awq"),
        ("vllm", "arguments = --host 1.2.3.4", "--host is not allowed here for engine = vllm"),
        ("vllm", "arguments = --host 1.2.3.4", "expected one of --async-scheduling"),
        (
            "vllm",
            "arguments = --max-batch-size 4",
            "--max-batch-size is not allowed here for engine",
        ),
        ("llama.cpp", "arguments = --model /x.gguf", "--model is not allowed here"),
        ("llama.cpp", "arguments = --threads -x", "--threads: expected a value without blanks"),
        ("ollama", "arguments = --anything", "expected one of none"),
        ("vllm", "arguments = --gpu-memory-utilization 1.5", "expected more than 0 and at most 1"),
        ("vllm", "arguments = --gpu-memory-utilization x", "expected a number, found 'x'"),
        (
            "vllm",
            "gpu_memory = 0.5\narguments = --gpu-memory-utilization 0.4",
            "cannot be set together with --gpu-memory-utilization",
        ),
        ("vllm", "gpu_memory = 1.5", "gpu_memory: expected at most 1"),
        ("vllm", "image = evil/vllm:1", "matches none of `allowed_images` in [docker], which are"),
        (
            "vllm",
            "image = ghcr.io/huggingface/text-generation-inference:3",
            "vLLM's own where nobody says",
        ),
        ("vllm", "env = HF_HOME=/x", "HF_HOME is set by Sidestream"),
        ("vllm", "env = VLLM_API_KEY=x", "VLLM_API_KEY is not allowed here"),
        ("llama.cpp", "env = LLAMA_ARG_HOST=x", "stands for an argument of llama.cpp"),
        ("tgi", "env = HOSTNAME=x", "stands for an argument of TGI"),
        ("ollama", "env = OLLAMA_CONTEXT_LENGTH=5", "is set by Sidestream"),
        ("llama.cpp", "model_id = /models/x.gguf", "files of the engine's machine are not in"),
        ("llama.cpp", "model_id = gemma", "a repository of GGUF files on the hub"),
        ("ollama", "model_id = a b", "the model as Ollama names it"),
        ("vllm", "model_id =", "missing; expected the model on the hub, OWNER/NAME"),
        ("vllm", "stop_grace = -1", "stop_grace: expected at least 0"),
    ],
)
def test_keys_of_other_engines_are_refused_in_words(
    tmp_path: Path, engine: str, line: str, problem: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, engine, *line.split("\n"))
    assert problem in str(caught.value)
    assert "[model a]" in str(caught.value)


def test_an_unknown_engine_is_refused_with_those_that_are_known(tmp_path: Path) -> None:
    path = tmp_path / "settings.ini"
    path.write_text("[model a]\nrunner = docker\nengine = vlm\nmodel_id = o/n\n")
    with pytest.raises(SettingsError, match=r"engine: expected one of tgi, vllm.*, found 'vlm'"):
        load(path, {})


def test_images_that_are_written_win_over_every_engines_own(tmp_path: Path) -> None:
    allowed = "allowed_images = registry.local/*"
    read(tmp_path, "vllm", "image = registry.local/vllm:1", docker=allowed)
    with pytest.raises(SettingsError, match=r"matches none of `allowed_images`.*allows vLLM's own"):
        read(tmp_path, "vllm", docker=allowed)


@pytest.mark.parametrize(
    ("command", "engine"),
    [
        ("vllm serve mistralai/Mistral-7B --port {port}", "vllm"),
        ("/opt/venv/bin/vllm serve m", "vllm"),
        ("python3 -m vllm.entrypoints.openai.api_server --model m", "vllm"),
        ("uv run vllm serve m", "vllm"),
        ("vllm bench m", ""),
        ("llama-server -m x.gguf", "llama.cpp"),
        ("numactl -N 0 /usr/local/bin/llama-server -m x.gguf", "llama.cpp"),
        ("text-generation-launcher --model-id m", "tgi"),
        ("python3.11 -m sglang.launch_server --model-path m", "sglang"),
        ("-m sglang.launch_server", ""),
        ("ollama serve", "ollama"),
        ("ollama run x", ""),
        ("my-server --model llama-server.gguf", ""),
        ("", ""),
    ],
)
def test_a_command_is_known_by_its_words(command: str, engine: str) -> None:
    assert started_by(command.split()) == engine


def test_settings_may_say_which_engine_a_command_starts(tmp_path: Path) -> None:
    path = tmp_path / "settings.ini"
    path.write_text(
        "[model a]\nrunner = command\ncommand = ./x\nurl = http://127.0.0.1:1\nengine = vllm\n"
        "[model b]\nrunner = command\ncommand = llama-server --port {port}\ngpu_memory = 0.5\n"
        "[model c]\nrunner = command\ncommand = mine --port {port}\n".replace("./x", "/x/y")
    )
    catalog = build_catalog(load(path, {}))
    seen = {one.id: (one.program, one.engine, one.dialect) for one in catalog}
    # Of what is only guessed from its words the server itself says what it is.
    assert seen == {
        "a": ("vllm", "vLLM", "auto"),
        "b": ("llama.cpp", "", "auto"),
        "c": ("", "", "auto"),
    }


def test_a_preset_has_the_engine_of_its_base_and_takes_what_that_takes(tmp_path: Path) -> None:
    path = tmp_path / "settings.ini"
    path.write_text(
        "[model a]\nrunner = docker\nengine = vllm\nmodel_id = o/n\n"
        '[model b]\nbase = a\nparameters = {"min_p": 0.1}\n'
    )
    preset = build_catalog(load(path, {})).get("b")
    assert (preset.program, preset.engine, preset.dialect) == ("vllm", "vLLM", "openai")
