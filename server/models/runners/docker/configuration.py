"""A container's configuration: a pure function of settings, tested by snapshot.

Rules:

1. The container gets nothing it does not need: no privileges, no capability (but one, see
   `_capabilities`), no new privileges, no host namespace, no restart of its own, limits on
   memory, processes and log, and one port, published on loopback.
2. What is the user's choice comes from checked settings; nothing else can be asked for.
3. The label `sidestream.settings` is a hash of everything that came from the settings, and
   of nothing else: not the port, not the token, not the machine. A container whose label
   differs from today's was started with other settings.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from server.models.catalog import ModelSpec
from server.models.runners.base import Replica
from server.settings import DockerSettings, ModelSettings
from server.settings.containers import DEVICE_FILE_FLAVOURS, split_arguments

LABEL_INSTANCE: Final = "sidestream.instance"
LABEL_MODEL: Final = "sidestream.model"
LABEL_SETTINGS: Final = "sidestream.settings"

# Above 1023, so that no engine needs a capability to bind it.
CONTAINER_PORT: Final = 8080
_PORT_KEY: Final = f"{CONTAINER_PORT}/tcp"
# Where all flavours are told to look for the hub's cache. Left alone they differ: most look
# into /data/hub (HF_HOME), the Intel CPU flavour and old versions into /data.
_HF_HOME: Final = "/data"
_HUB_CACHE: Final = "/data/hub"
# Of the gateway's environment, what a container needs to find the hub the same way.
PASSED_ENVIRONMENT: Final = (
    "HF_HUB_OFFLINE",
    "HF_ENDPOINT",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
)
_MEMORY_SHARE: Final = 0.9
# The kernel is to take a model server before anything that the user works with.
_OOM_SCORE: Final = 500
_NANO: Final = 1_000_000_000


@dataclass(frozen=True)
class Host:
    """What is to be known of the engine's machine."""

    memory_bytes: int = 0
    has_gpus: bool = False
    is_cache_foreign: bool = False
    """Whether the cache belongs to another user than the container's root is outside."""


def container_name(replica: Replica) -> str:
    """Return the name that makes two containers of one replica impossible.

    Signs of an id that no container's name can have become `.`, and the id's hash tells such ids
    apart.
    """
    plain = re.sub(r"[^A-Za-z0-9_.-]", ".", replica.model)
    if plain == replica.model:
        return f"sidestream-{replica.instance}-{plain}"
    # No instance has a `_`, so that this is no other id's plain name.
    digest = hashlib.sha256(replica.model.encode()).hexdigest()[:12]
    return f"sidestream-{replica.instance}_{plain}-{digest}"


def image_of(spec: ModelSpec, docker: DockerSettings) -> str:
    """Return the image that the model runs in."""
    return spec.settings.image or docker.image


def configuration(
    replica: Replica,
    spec: ModelSpec,
    docker: DockerSettings,
    host: Host,
    *,
    port: int,
    hub_cache: str,
    token: str = "",
    environment: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return what the engine's API takes to create the model's container.

    `port` is the one on the engine's machine, `hub_cache` the folder there.
    """
    body = _from_settings(spec, docker, host, hub_cache)
    passed = {name: (environment or {}).get(name, "") for name in PASSED_ENVIRONMENT}
    passed["HF_TOKEN"] = token
    body["Env"] += [f"{name}={value}" for name, value in passed.items() if value]
    body["Labels"] = {
        LABEL_INSTANCE: replica.instance,
        LABEL_MODEL: replica.model,
        LABEL_SETTINGS: settings_hash(spec, docker),
    }
    body["HostConfig"]["PortBindings"] = {
        _PORT_KEY: [{"HostIp": "127.0.0.1", "HostPort": str(port)}]
    }
    return body


def settings_hash(spec: ModelSpec, docker: DockerSettings) -> str:
    """Return a short name for everything in a container that comes from the settings."""
    body = _from_settings(spec, docker, Host(), str(docker.hf_cache))
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]


def published_port(inspected: Mapping[str, Any]) -> int | None:
    """Return the port on the engine's machine that leads to an inspected container."""
    bindings = inspected["HostConfig"].get("PortBindings") or {}
    published = bindings.get(_PORT_KEY) or [{}]
    port = published[0].get("HostPort", "")
    return int(port) if port.isdecimal() else None


def _from_settings(
    spec: ModelSpec, docker: DockerSettings, host: Host, hub_cache: str
) -> dict[str, Any]:
    model = spec.settings
    image = image_of(spec, docker)
    uses_gpus = model.gpus != "none" and (model.gpus != "auto" or host.has_gpus)
    memory_bytes = int(model.memory) or int(host.memory_bytes * _MEMORY_SHARE)
    return {
        "Image": image,
        "Cmd": _command(model, image, uses_gpus=uses_gpus),
        "Env": [f"HF_HOME={_HF_HOME}", f"HUGGINGFACE_HUB_CACHE={_HUB_CACHE}"],
        "ExposedPorts": {_PORT_KEY: {}},
        # We ask ourselves, and a look at /health may cost the server a generation.
        "Healthcheck": {"Test": ["NONE"]},
        "StopSignal": "SIGTERM",
        "StopTimeout": max(1, round(docker.stop_grace)),
        "HostConfig": {
            "Privileged": False,
            "CapDrop": ["ALL"],
            "CapAdd": _capabilities(host),
            "SecurityOpt": ["no-new-privileges"],
            "NetworkMode": "bridge",
            "PublishAllPorts": False,
            "IpcMode": "private",
            "RestartPolicy": {"Name": "no"},
            "AutoRemove": False,
            "Mounts": [
                {"Type": "bind", "Source": hub_cache, "Target": _HUB_CACHE, "ReadOnly": False}
            ],
            "Memory": memory_bytes,
            # No swap on top: a model that swaps serves nobody, and slows everything down.
            "MemorySwap": memory_bytes,
            "NanoCpus": round(model.cpus * _NANO),
            "PidsLimit": model.pids_limit,
            "ShmSize": int(model.shm_size),
            "OomScoreAdj": _OOM_SCORE,
            "LogConfig": {
                "Type": "json-file",
                "Config": {"max-size": str(int(docker.log_max_size)), "max-file": "2"},
            },
            **(_gpus(model, image) if uses_gpus else {}),
        },
    }


def _command(model: ModelSettings, image: str, *, uses_gpus: bool) -> list[str]:
    options = {
        "--model-id": model.model_id,
        "--revision": model.revision,
        # TGI's own default is the number of visible GPUs, counted differently by version.
        "--num-shard": model.num_shard,
        "--port": CONTAINER_PORT,
        "--quantize": model.quantize,
        "--dtype": model.dtype,
        "--max-input-tokens": model.max_input_tokens,
        "--max-total-tokens": model.max_total_tokens,
        "--max-batch-prefill-tokens": model.max_batch_prefill_tokens,
    }
    given = [str(word) for option in options.items() if option[1] for word in option]
    given += ["--json-output", "--usage-stats", "off"]
    if model.trust_remote_code:
        given.append("--trust-remote-code")
    own = split_arguments(model.arguments)
    if not uses_gpus:
        given += [word for option in _cpu_options(image) if option[0] not in own for word in option]
    return given + own


def _cpu_options(image: str) -> list[tuple[str, ...]]:
    """Return what TGI needs to be told where there is no GPU."""
    if image.endswith("-intel-cpu"):
        return [("--cuda-graphs", "0")]
    # On a CPU the CUDA flavour fails on two prompts in one batch, for Llama's kin.
    return [("--disable-custom-kernels",), ("--max-batch-size", "1")]


def _gpus(model: ModelSettings, image: str) -> dict[str, Any]:
    if image.endswith(DEVICE_FILE_FLAVOURS):
        names = ["/dev/kfd", "/dev/dri"] if image.endswith("-rocm") else ["/dev/dri"]
        return {
            "Devices": [
                {"PathOnHost": name, "PathInContainer": name, "CgroupPermissions": "rwm"}
                for name in names
            ]
        }
    request: dict[str, Any] = {"Driver": "", "Capabilities": [["gpu"]]}
    if model.gpus.startswith("device="):
        request["DeviceIDs"] = model.gpus.removeprefix("device=").split(",")
    elif model.gpus == "all":
        request["Count"] = -1
    else:
        request["Count"] = model.num_shard if model.gpus == "auto" else int(model.gpus)
    return {"DeviceRequests": [request]}


def _capabilities(host: Host) -> list[str]:
    """Return the capabilities that the container keeps.

    TGI runs as root and needs none, with one exception. Root without capabilities is bound
    by file rights like anybody: it can neither read nor fill a cache that belongs to another
    user. DAC_OVERRIDE lets it, and reaches no further than the files that are mounted.
    """
    return ["DAC_OVERRIDE"] if host.is_cache_foreign else []
