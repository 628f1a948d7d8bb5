"""The configuration of services, and the settings that are refused."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from server.core.docker_engine import service_name
from server.models.catalogue.catalog import ModelSpec
from server.models.runners.base import Replica
from server.models.runners.swarm.configuration import configuration, settings_hash, wanted_gpus
from server.settings.containers import service_problems, swarm_problems
from server.settings.tables import SwarmSettings
from server.settings.values import Size
from tests.support.specs import catalog

REPLICA = Replica("default", "openai/gpt-2.0")
SWARM = SwarmSettings(hf_cache=Path("/srv/hf"), constraints=("node.role == worker",))
DIGEST = f"ghcr.io/x@sha256:{'0' * 64}"


def spec(**settings: Any) -> ModelSpec:
    said = {"runner": "swarm", "model_id": "openai-community/gpt2", **settings}
    return catalog(a=said).get("a")


def asked(model: ModelSpec | None = None, swarm: SwarmSettings = SWARM, **words: Any) -> Any:
    given = {"image": DIGEST, "gpus": 0, "token": "hf_token", **words}
    return configuration(REPLICA, model or spec(), swarm, **given)


def test_a_name_is_a_label_of_the_dns_and_no_other_replicas() -> None:
    ids = ["a", "A", "a.b", "a-b", "a/b", "ü", "x" * 200, f"{'x' * 199}y"]
    names = [service_name("i" * 32, one, number) for one in ids for number in (1, 2)]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name) for name in names)


def test_a_service_is_one_task_that_swarm_never_starts_again() -> None:
    body = asked()
    template, container = body["TaskTemplate"], body["TaskTemplate"]["ContainerSpec"]
    assert body["Mode"] == {"Replicated": {"Replicas": 1}}
    assert template["RestartPolicy"] == {"Condition": "none"}
    assert template["Placement"] == {"Constraints": ["node.role == worker"]}
    assert container["Image"] == DIGEST
    assert container["StopGracePeriod"] == 100 * 10**9
    assert container["Args"][:2] == ["--model-id", "openai-community/gpt2"]
    assert body["Labels"] == container["Labels"]
    assert body["EndpointSpec"]["Ports"] == [
        {"Protocol": "tcp", "TargetPort": 8080, "PublishMode": "host"}
    ]


def test_the_token_is_a_file_or_for_those_who_read_none_a_variable() -> None:
    container = asked(secret="s1")["TaskTemplate"]["ContainerSpec"]
    (secret,) = container["Secrets"]
    assert (secret["SecretID"], secret["File"]["Name"]) == ("s1", "/data/token")
    assert secret["File"]["Mode"] == 0o400
    assert "HF_TOKEN_PATH=/data/token" in container["Env"]
    assert not any("hf_token" in one for one in container["Env"])
    llama = asked(spec(engine="llama.cpp", model_id="o/n-GGUF"))["TaskTemplate"]["ContainerSpec"]
    assert "HF_TOKEN=hf_token" in llama["Env"]


def test_gpus_and_memory_are_reserved_and_a_volume_takes_the_folders_place() -> None:
    swarm = replace(SWARM, hf_volume="weights", network="models")
    body = asked(spec(memory=Size(1 << 30), gpu_resource="NVIDIA"), swarm, gpus=2)
    resources = body["TaskTemplate"]["Resources"]["Reservations"]
    assert resources["GenericResources"] == [
        {"DiscreteResourceSpec": {"Kind": "NVIDIA", "Value": 2}}
    ]
    assert resources["MemoryBytes"] == 1 << 30
    container = body["TaskTemplate"]["ContainerSpec"]
    mount = {"Type": "volume", "Source": "weights", "Target": "/data/hub"}
    assert container["Mounts"][0] == mount
    assert container["CapabilityAdd"] == []
    assert asked()["TaskTemplate"]["ContainerSpec"]["CapabilityAdd"] == ["DAC_OVERRIDE"]
    assert body["TaskTemplate"]["Networks"] == [{"Target": "models"}]
    assert body["EndpointSpec"] == {"Mode": "dnsrr"}


@pytest.mark.parametrize(
    ("settings", "kinds", "count"),
    [
        ({}, (), 0),
        ({}, ("GPU",), 1),
        ({"num_shard": 2}, ("GPU",), 2),
        ({"gpu_resource": "NVIDIA"}, ("GPU",), 0),
        ({"gpus": "3"}, (), 3),
        ({"gpus": "none"}, ("GPU",), 0),
    ],
)
def test_how_many_gpus_a_model_takes(
    settings: dict[str, Any], kinds: tuple[str, ...], count: int
) -> None:
    assert wanted_gpus(spec(**settings).settings, kinds) == count


def test_the_hash_follows_the_settings_and_not_the_digest() -> None:
    first = settings_hash(spec(), SWARM)
    others = [
        settings_hash(spec(gpus="2"), SWARM),
        settings_hash(spec(constraints=("node.hostname == a",)), SWARM),
        settings_hash(spec(image="ghcr.io/huggingface/text-generation-inference:3"), SWARM),
        settings_hash(spec(), replace(SWARM, hf_volume="weights")),
    ]
    assert len({first, *others}) == 5
    assert asked()["Labels"]["sidestream.settings"] == first
    assert settings_hash(spec(name="Other"), SWARM) == first


@pytest.mark.parametrize(
    ("settings", "key", "words"),
    [
        ({"gpus": "all"}, "gpus", "auto, none or a number"),
        ({"gpus": "device=0"}, "gpus", "auto, none or a number"),
        ({"constraints": ("gpu",)}, "constraints", "node.labels.disk == ssd"),
        ({"image": "evil/image"}, "image", "[swarm]"),
        ({"image": f"{SWARM.image}-rocm"}, "gpus", "device files"),
    ],
)
def test_what_a_model_may_not_say(settings: dict[str, Any], key: str, words: str) -> None:
    ((found, why),) = service_problems(spec(**settings).settings, SWARM)
    assert found == key
    assert words in why


def test_what_the_section_may_not_say() -> None:
    wrong = SwarmSettings(host=("manager1",), hf_cache=Path("hf"), constraints=("x",))
    assert [key for key, _ in swarm_problems(wrong)] == ["host", "hf_cache", "constraints"]
    assert not list(swarm_problems(SwarmSettings()))
