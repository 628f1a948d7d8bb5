"""Settings of containers that are refused, and the messages."""

from pathlib import Path

import pytest

from server.engines.engine import Engine
from server.engines.known import ENGINES
from server.settings.loading import load
from server.settings.models import ModelSettings
from server.settings.values import SettingsError


def read(tmp_path: Path, *lines: str, docker: str = "") -> ModelSettings:
    path = tmp_path / "settings.ini"
    model = "\n".join(["[model a]", "runner = docker", "model_id = o/n", *lines])
    path.write_text(f"[docker]\n{docker}\n{model}\n")
    return load(path, {}).models["a"]


@pytest.mark.parametrize(
    "lines",
    [
        ["gpus = device=0,1", "num_shard = 2"],
        ["gpus = 2", "num_shard = 2"],
        ["image = ghcr.io/huggingface/text-generation-inference:3.3.7-rocm", "gpus = all"],
        ["image = ghcr.io/huggingface/text-generation-inference@sha256:" + "0" * 64],
        ["dtype = float16", "quantize = bitsandbytes-nf4"],
        ["max_input_tokens = 1", "max_total_tokens = 2"],
        ["arguments = --max-batch-size=4 --cuda-memory-fraction 0.5 --disable-grammar-support"],
        ["memory = 16G", "shm_size = 512M", "revision = refs/pr/1"],
    ],
)
def test_valid_settings_are_taken(tmp_path: Path, lines: list[str]) -> None:
    read(tmp_path, *lines)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("model_id =", "model_id: missing"),
        ("model_id = ../etc", "model_id: expected to match"),
        ("model_id = o/n --api-key=x", "model_id: expected to match"),
        ("model_id = $(id)", "model_id: expected to match"),
        ("revision = a b", "revision: expected to match"),
        ("image = evil/image:1", "matches none of `allowed_images`"),
        (
            "image = ghcr.io/huggingface/text-generation-inference:1 x",
            "is not the name of an image",
        ),
        ("image = ghcr.io/huggingface/text-generation-inference-evil:1", "matches none"),
        ("gpus = some", "gpus: expected to match"),
        ("num_shard = 2\ngpus = 1", "2 parts need as many GPUs"),
        ("num_shard = 2\ngpus = none", "2 parts need as many GPUs"),
        (
            "image = ghcr.io/huggingface/text-generation-inference:3.3.7-rocm\ngpus = device=0",
            "expected auto, all or none for this image",
        ),
        ("dtype = float16\nquantize = awq", "cannot be set together"),
        ("max_input_tokens = 10\nmax_total_tokens = 10", "expected more than max_input_tokens"),
        ("arguments = --api-key x", "--api-key is not allowed here"),
        ("arguments = --hostname 0.0.0.0", "--hostname is not allowed here"),
        ("arguments = --otlp-endpoint http://x", "--otlp-endpoint is not allowed here"),
        ("arguments = -p 80", "-p is not allowed here"),
        ("arguments = --max-batch-size", "--max-batch-size: expected a value"),
        ("arguments = --max-batch-size --speculate 2", "--max-batch-size: expected a value"),
        ("arguments = --rope-scaling '*'", "--rope-scaling: expected a value without blanks"),
        ("arguments = --rope-scaling 'a b'", "--rope-scaling: expected a value without blanks"),
        ("arguments = --speculate 'x", "No closing quotation"),
        ("privileged = yes", "privileged: unknown key"),
        ("network = host", "network: unknown key"),
        ("volumes = /:/host", "volumes: unknown key"),
        ("pids_limit = 0", "pids_limit: expected at least"),
    ],
)
def test_invalid_settings_are_refused_with_their_place(
    tmp_path: Path, line: str, problem: str
) -> None:
    lines = line.split("\n")
    if line.startswith("model_id"):
        path = tmp_path / "settings.ini"
        path.write_text(f"[model a]\nrunner = docker\n{line}\n")
        with pytest.raises(SettingsError) as caught:
            load(path, {})
    else:
        with pytest.raises(SettingsError) as caught:
            read(tmp_path, *lines)
    assert problem in str(caught.value)
    assert "[model a]" in str(caught.value)


def test_images_of_ones_own_can_be_allowed(tmp_path: Path) -> None:
    mine = "registry.local:5000/me/tgi:1"
    with pytest.raises(SettingsError):
        read(tmp_path, f"image = {mine}")
    read(tmp_path, f"image = {mine}", docker="allowed_images = registry.local:5000/me/*, other/*")


@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
def test_no_argument_that_may_be_given_names_a_host_a_port_a_folder_or_a_key(
    engine: Engine,
) -> None:
    bad = {"host", "hostname", "port", "path", "dir", "cache", "key", "endpoint", "uds", "origin"}
    bad |= {"file", "template", "url", "api", "token", "rpc", "config", "plugin", "save"}
    # Of these words the other meaning: the KV cache, and what is done with it.
    harmless = {"--kv-cache-dtype", "--kv-cache-memory-bytes"}
    harmless |= {"--cache-ram", "--cache-reuse", "--cache-type-k", "--cache-type-v"}
    harmless |= {"--enable-prefix-caching", "--no-enable-prefix-caching", "--disable-radix-cache"}
    for name in (engine.with_value | engine.without_value) - harmless:
        assert not bad & set(name.split("-")), name


def test_the_token_is_not_shown_with_the_settings(tmp_path: Path) -> None:
    path = tmp_path / "settings.ini"
    path.write_text("[docker]\nhf_token = hf_very_secret\n")
    assert "hf_very_secret" not in repr(load(path, {}))
