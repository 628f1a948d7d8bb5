"""The configuration of containers: whole, as snapshots, and without an engine."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from server.core.docker_engine import container_name
from server.models.catalogue.catalog import ModelSpec
from server.models.runners.base import Replica
from server.models.runners.containers.command import replica_of
from server.models.runners.docker.configuration import (
    Host,
    configuration,
    settings_hash,
)
from server.settings.tables import DockerSettings
from server.settings.values import Size
from tests.support.docker_policy import is_allowed
from tests.support.specs import catalog

REPLICA = Replica("default", "gpt2")
HOST = Host(memory_bytes=100 << 30)
GPU_HOST = replace(HOST, has_gpus=True)
DOCKER = DockerSettings(hf_cache=Path("/home/me/.cache/huggingface"))


def spec(**settings: Any) -> ModelSpec:
    return catalog(gpt2={"runner": "docker", "model_id": "openai-community/gpt2", **settings}).get(
        "gpt2"
    )


def asked(
    model: ModelSpec | None = None, host: Host = HOST, docker: DockerSettings = DOCKER, **words: Any
) -> dict[str, Any]:
    given = {"port": 8080, "folder": "/home/me/.cache/huggingface/hub", **words}
    return configuration(REPLICA, model or spec(), docker, host, **given)


def command(model: ModelSpec, host: Host = HOST, docker: DockerSettings = DOCKER) -> str:
    return " ".join(asked(model, host, docker)["Cmd"])


def test_ids_that_differ_in_odd_signs_only_have_containers_of_their_own() -> None:
    ids = ["a", "a.b", "a/b", "a:b", "a@b", "a+b", "a-b", "a_b", "A/b", "a/b/c", "x" * 128]
    names = [container_name("default", model_id) for model_id in ids]
    assert len(set(names)) == len(ids)
    assert names[:2] == ["sidestream-default-a", "sidestream-default-a.b"]
    for name in names:
        assert re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+", name)
        assert is_allowed("POST", f"/containers/{name}/start")
    # Nobody's plain id is another one's name.
    assert container_name("default", names[2].partition("_")[2]) not in names


def test_every_replica_has_a_name_and_labels_of_its_own() -> None:
    """And the first one those that it had before there were others."""
    names = [
        container_name("default", model, n) for model in ("a", "a-2", "a/b") for n in (1, 2, 3)
    ]
    assert len(set(names)) == len(names)
    assert all(is_allowed("POST", f"/containers/{name}/start") for name in names)
    labels = asked()["Labels"]
    assert "sidestream.replica" not in labels
    assert replica_of(labels) == REPLICA
    second = replace(REPLICA, number=2)
    body = configuration(second, spec(), DOCKER, HOST, port=8080, folder="/hub")
    assert body["Labels"] == labels | {"sidestream.replica": "2"}
    assert replica_of(body["Labels"]) == second
    assert replica_of(labels | {"sidestream.replica": "two"}) is None


def test_a_model_without_wishes() -> None:
    assert asked() == {
        "Image": "ghcr.io/huggingface/text-generation-inference:3.3.7",
        "Cmd": [
            "--model-id", "openai-community/gpt2",
            "--num-shard", "1",
            "--port", "8080",
            "--json-output",
            "--usage-stats", "off",
            "--disable-custom-kernels",
            "--max-batch-size", "1",
        ],
        "Env": ["HF_HOME=/data", "HUGGINGFACE_HUB_CACHE=/data/hub"],
        "ExposedPorts": {"8080/tcp": {}},
        "Healthcheck": {"Test": ["NONE"]},
        "StopSignal": "SIGTERM",
        "StopTimeout": 100,
        "Labels": {
            "sidestream.instance": "default",
            "sidestream.model": "gpt2",
            "sidestream.settings": settings_hash(spec(), DOCKER),
        },
        "HostConfig": {
            "Privileged": False,
            "CapDrop": ["ALL"],
            "CapAdd": [],
            "SecurityOpt": ["no-new-privileges"],
            "NetworkMode": "bridge",
            "PublishAllPorts": False,
            "IpcMode": "private",
            "RestartPolicy": {"Name": "no"},
            "AutoRemove": False,
            "Mounts": [
                {
                    "Type": "bind",
                    "Source": "/home/me/.cache/huggingface/hub",
                    "Target": "/data/hub",
                    "ReadOnly": False,
                }
            ],
            "Memory": 90 << 30,
            "MemorySwap": 90 << 30,
            "NanoCpus": 0,
            "PidsLimit": 4096,
            "ShmSize": 1 << 30,
            "OomScoreAdj": 500,
            "LogConfig": {
                "Type": "json-file",
                "Config": {"max-size": "10485760", "max-file": "2"},
            },
            "PortBindings": {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]},
        },
    }  # fmt: skip


def test_a_model_with_every_wish() -> None:
    model = spec(
        revision="main",
        image="ghcr.io/huggingface/text-generation-inference:3.3.6",
        gpus="device=0,GPU-1",
        num_shard=2,
        quantize="awq",
        max_input_tokens=1000,
        max_total_tokens=2000,
        max_batch_prefill_tokens=3000,
        trust_remote_code=True,
        arguments="--cuda-memory-fraction 0.5 --disable-grammar-support",
        shm_size=Size(2 << 30),
        cpus=2.5,
        pids_limit=1000,
        memory=Size(8 << 30),
    )
    plain, wished = asked(), asked(model, GPU_HOST, port=8081, token="hf_token")
    assert wished["Image"] == "ghcr.io/huggingface/text-generation-inference:3.3.6"
    assert wished["Cmd"] == [
        "--model-id", "openai-community/gpt2",
        "--revision", "main",
        "--num-shard", "2",
        "--port", "8080",
        "--quantize", "awq",
        "--max-input-tokens", "1000",
        "--max-total-tokens", "2000",
        "--max-batch-prefill-tokens", "3000",
        "--json-output",
        "--usage-stats", "off",
        "--trust-remote-code",
        "--cuda-memory-fraction", "0.5",
        "--disable-grammar-support",
    ]  # fmt: skip
    assert wished["Env"] == [*plain["Env"], "HF_TOKEN=hf_token"]
    assert wished["HostConfig"] == plain["HostConfig"] | {
        "DeviceRequests": [{"Driver": "", "Capabilities": [["gpu"]], "DeviceIDs": ["0", "GPU-1"]}],
        "Memory": 8 << 30,
        "MemorySwap": 8 << 30,
        "NanoCpus": 2_500_000_000,
        "PidsLimit": 1000,
        "ShmSize": 2 << 30,
        "PortBindings": {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8081"}]},
    }


@pytest.mark.parametrize(
    ("gpus", "num_shard", "has_gpus", "request_"),
    [
        ("auto", 1, False, None),
        ("auto", 2, True, {"Count": 2}),
        ("none", 1, True, None),
        ("all", 1, False, {"Count": -1}),
        ("3", 1, False, {"Count": 3}),
    ],
)
def test_gpus_are_asked_for_as_the_settings_say(
    gpus: str, num_shard: int, has_gpus: bool, request_: dict[str, int] | None
) -> None:
    model = spec(gpus=gpus, num_shard=num_shard)
    body = asked(model, replace(HOST, has_gpus=has_gpus))
    requests = body["HostConfig"].get("DeviceRequests")
    assert requests == (
        None if request_ is None else [{"Driver": "", "Capabilities": [["gpu"]], **request_}]
    )
    assert ("--disable-custom-kernels" in body["Cmd"]) == (request_ is None)


@pytest.mark.parametrize(
    ("flavour", "paths"),
    [("-rocm", ["/dev/kfd", "/dev/dri"]), ("-intel-xpu", ["/dev/dri"])],
)
def test_gpus_that_are_device_files_are_passed_as_such(flavour: str, paths: list[str]) -> None:
    docker = replace(DOCKER, image=DOCKER.image + flavour)
    host = asked(spec(gpus="all"), docker=docker)["HostConfig"]
    assert [device["PathOnHost"] for device in host["Devices"]] == paths
    assert "DeviceRequests" not in host


def test_the_flavour_for_intel_cpus_is_told_to_make_no_cuda_graphs() -> None:
    docker = replace(DOCKER, image=DOCKER.image + "-intel-cpu")
    assert command(spec(), docker=docker).endswith("--cuda-graphs 0")
    own = spec(arguments="--cuda-graphs 1")
    assert command(own, docker=docker).endswith("off --cuda-graphs 1")


def test_a_batch_size_of_ones_own_replaces_ours() -> None:
    assert command(spec(arguments="--max-batch-size 8")).count("--max-batch-size") == 1


def test_root_keeps_one_capability_where_the_cache_is_somebody_elses() -> None:
    assert asked(host=replace(HOST, is_cache_foreign=True))["HostConfig"]["CapAdd"] == [
        "DAC_OVERRIDE"
    ]


def test_containers_get_only_variables_for_reaching_the_hub() -> None:
    environment = {"HF_HUB_OFFLINE": "1", "HTTPS_PROXY": "http://proxy", "AWS_SECRET": "x"}
    env = asked(environment=environment)["Env"]
    assert env[2:] == ["HF_HUB_OFFLINE=1", "HTTPS_PROXY=http://proxy"]


def test_the_settings_label_changes_with_the_settings_and_with_nothing_else() -> None:
    def label(**words: Any) -> str:
        return str(asked(**words)["Labels"]["sidestream.settings"])

    assert label() == label(port=8085) == label(token="hf_x") == label(host=GPU_HOST)
    assert label() == label(environment={"HF_HUB_OFFLINE": "1"})
    others = [
        label(model=spec(max_total_tokens=100)),
        label(model=spec(gpus="2")),
        label(model=spec(memory=Size(1 << 30))),
        label(docker=replace(DOCKER, image=DOCKER.image + "-rocm")),
        label(docker=replace(DOCKER, hf_cache=Path("/elsewhere"))),
    ]
    assert len({label(), *others}) == 6


def test_display_names_do_not_make_a_container_outdated() -> None:
    shown = spec(name="GPT", description="old", system="Be brief.", parameters={"temperature": 0.5})
    assert settings_hash(shown, DOCKER) == settings_hash(spec(), DOCKER)


def test_a_name_tells_the_instance_and_the_model() -> None:
    assert container_name(REPLICA.instance, REPLICA.model) == "sidestream-default-gpt2"


def test_the_configuration_can_be_sent() -> None:
    assert json.loads(json.dumps(asked())) == asked()
