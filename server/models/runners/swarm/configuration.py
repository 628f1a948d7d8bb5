"""A service's configuration: a pure function of settings.

Rules:

1. A service gets what a container of one engine gets, as far as services have it: no capability
   (except one, see `_capabilities`), no restarts, limits on memory, processes and log, one folder
   or volume, and one port. What they lack has to be set on the nodes: docs/SWARM.md.
2. Fields of newer engines are sent to all: older ones ignore what they do not know.
3. The label `sidestream.settings` is a hash of everything that comes from the settings, but not of
   the image's digest, the token or the nodes.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from server.engines.engine import CONTAINER_PORT, Engine
from server.models.catalogue.catalog import ModelSpec
from server.models.runners.base import Replica
from server.models.runners.containers.command import (
    command,
    labels_of,
    passed_variables,
    shared_folder,
    variables,
)
from server.models.runners.swarm.tasks import name_of
from server.settings.containers import engine_of, image_of
from server.settings.models import ModelSettings
from server.settings.tables import SwarmSettings

HOST_PORT: Final = "host-port"
TOKEN_FILE: Final = "/data/token"  # noqa: S105  (where it is, not what it is)
"""Where engines look for the hub's token beside the cache."""

_NANO: Final = 1_000_000_000


def configuration(
    replica: Replica,
    spec: ModelSpec,
    swarm: SwarmSettings,
    *,
    image: str,
    gpus: int,
    secret: str = "",
    token: str = "",
    environment: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the body of the request that creates the model's service.

    `image` is named by its digest, `gpus` is how many are to be reserved. `secret` is the id of the
    secret with the token; without one, an engine that takes the token from its environment gets
    `token` there.
    """
    body = _from_settings(spec, swarm, gpus=gpus)
    engine = engine_of(spec.settings)
    name, labels = name_of(replica), labels_of(replica, engine, settings_hash(spec, swarm))
    container = body["TaskTemplate"]["ContainerSpec"]
    passed = passed_variables(engine, "" if secret else token, environment or {}, spec.settings)
    container["Image"] = image
    container["Env"] += [f"{key}={value}" for key, value in passed.items()]
    container["Labels"] = body["Labels"] = labels
    body["Name"] = name
    if secret:
        container["Env"].append(f"HF_TOKEN_PATH={TOKEN_FILE}")
        file = {"Name": TOKEN_FILE, "UID": "0", "GID": "0", "Mode": 0o400}
        container["Secrets"] = [{"SecretID": secret, "SecretName": name, "File": file}]
    return body


def secret_body(replica: Replica, engine: Engine, data: str) -> dict[str, Any]:
    """Return the body of the request that creates a service's secret; `data` is in base64."""
    return {"Name": name_of(replica), "Labels": labels_of(replica, engine, ""), "Data": data}


def settings_hash(spec: ModelSpec, swarm: SwarmSettings) -> str:
    """Return a hash of the parts of a service's configuration that come from the settings."""
    body = _from_settings(spec, swarm, gpus=wanted_gpus(spec.settings, ()))
    body["image"] = image_of(spec.settings, swarm)
    body["gpus"] = spec.settings.gpus
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]


def wanted_gpus(model: ModelSettings, kinds: Sequence[str]) -> int:
    """Return how many GPUs a model takes; `kinds` are the generic resources that nodes have."""
    if model.gpus.isdecimal():
        return int(model.gpus)
    return model.num_shard if model.gpus == "auto" and model.gpu_resource in kinds else 0


def _from_settings(spec: ModelSpec, swarm: SwarmSettings, *, gpus: int) -> dict[str, Any]:
    model = spec.settings
    engine, image = engine_of(model), image_of(model, swarm)
    grace = engine.stop_grace_seconds if swarm.stop_grace is None else swarm.stop_grace
    memory_bytes, kind = int(model.memory), model.gpu_resource
    reserved = [{"DiscreteResourceSpec": {"Kind": kind, "Value": gpus}}] if gpus else []
    body: dict[str, Any] = {
        "TaskTemplate": {
            "ContainerSpec": {
                "Args": command(model, engine, image, uses_gpus=gpus > 0),
                "Env": [f"{name}={value}" for name, value in variables(model, engine).items()],
                # The gateway checks the health.
                "Healthcheck": {"Test": ["NONE"]},
                "StopSignal": "SIGTERM",
                "StopGracePeriod": max(1, round(model.stop_grace or grace)) * _NANO,
                "CapabilityDrop": ["ALL"],
                "CapabilityAdd": _capabilities(engine, swarm),
                "Privileges": {"NoNewPrivileges": True},
                "Mounts": [_mount(engine, swarm), _shared_memory(model, engine)],
            },
            "Resources": {
                "Limits": {
                    "MemoryBytes": memory_bytes,
                    "NanoCPUs": round(model.cpus * _NANO),
                    "Pids": model.pids_limit,
                },
                "Reservations": {"MemoryBytes": memory_bytes, "GenericResources": reserved},
            },
            "RestartPolicy": {"Condition": "none"},
            "Placement": {"Constraints": [*swarm.constraints, *model.constraints]},
            "LogDriver": {
                "Name": "json-file",
                "Options": {"max-size": str(int(swarm.log_max_size)), "max-file": "2"},
            },
        },
        "Mode": {"Replicated": {"Replicas": 1}},
    }
    if swarm.network == HOST_PORT:
        # Without a port of its own, so that the node takes a free one.
        port = {"Protocol": "tcp", "TargetPort": CONTAINER_PORT, "PublishMode": "host"}
        body["EndpointSpec"] = {"Ports": [port]}
    else:
        body["TaskTemplate"]["Networks"] = [{"Target": swarm.network}]
        body["EndpointSpec"] = {"Mode": "dnsrr"}
    return body


def _mount(engine: Engine, swarm: SwarmSettings) -> dict[str, Any]:
    if volume := _volume(engine, swarm):
        return {"Type": "volume", "Source": volume, "Target": engine.cache.target}
    folder = str(shared_folder(engine, swarm))
    return {"Type": "bind", "Source": folder, "Target": engine.cache.target}


def _volume(engine: Engine, swarm: SwarmSettings) -> str:
    return swarm.hf_volume if engine.cache.setting == "hf_cache" else swarm.ollama_volume


def _shared_memory(model: ModelSettings, engine: Engine) -> dict[str, Any]:
    size = int(model.shm_size) or engine.shm_bytes
    options = {"SizeBytes": size, "Mode": 0o1777}
    return {"Type": "tmpfs", "Target": "/dev/shm", "TmpfsOptions": options}  # noqa: S108


def _capabilities(engine: Engine, swarm: SwarmSettings) -> list[str]:
    """Return the capabilities that the container keeps.

    Who owns a folder of a node cannot be seen, and root without capabilities could neither read
    nor write another user's. A volume belongs to root.
    """
    return [] if _volume(engine, swarm) else ["DAC_OVERRIDE"]
