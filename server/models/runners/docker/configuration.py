"""A container's configuration: a pure function of settings, tested by snapshot.

Rules:

1. A container gets only what it needs: no privileges, no capability (except one, see
   `_capabilities`), no new privileges, no host namespace, no restart policy, limits on memory,
   processes and log, one folder, and one port, published on loopback.
2. Users can choose only what the checked settings allow.
3. The label `sidestream.settings` is a hash of everything that comes from the settings, but not of
   the port, the token or the machine. A container with another label was started with other
   settings.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from server.engines.engine import CONTAINER_PORT
from server.models.catalogue.catalog import ModelSpec
from server.models.runners.base import Replica
from server.models.runners.containers.command import (
    command,
    labels_of,
    passed_variables,
    variables,
)
from server.settings.containers import DEVICE_FILE_FLAVOURS, engine_of, image_of
from server.settings.models import ModelSettings
from server.settings.tables import DockerSettings

_PORT_KEY: Final = f"{CONTAINER_PORT}/tcp"
_MEMORY_SHARE: Final = 0.9
# When memory is short, the kernel kills a model server before the user's own programs.
_OOM_SCORE: Final = 500
_NANO: Final = 1_000_000_000


@dataclass(frozen=True)
class Host:
    """The facts about the engine's machine that the configuration depends on."""

    memory_bytes: int = 0
    has_gpus: bool = False
    is_cache_foreign: bool = False
    """Whether root in a container is another user than the cache's owner."""


def configuration(
    replica: Replica,
    spec: ModelSpec,
    docker: DockerSettings,
    host: Host,
    *,
    port: int,
    folder: str,
    token: str = "",
    environment: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the body of the request to the engine's API that creates the model's container.

    `port` and `folder` are those on the engine's machine.
    """
    body = _from_settings(spec, docker, host, folder)
    engine = engine_of(spec.settings)
    passed = passed_variables(engine, token, environment or {}, spec.settings)
    body["Env"] += [f"{k}={v}" for k, v in passed.items()]
    body["Labels"] = labels_of(replica, engine, settings_hash(spec, docker))
    body["HostConfig"]["PortBindings"] = {
        _PORT_KEY: [{"HostIp": "127.0.0.1", "HostPort": str(port)}]
    }
    return body


def settings_hash(spec: ModelSpec, docker: DockerSettings) -> str:
    """Return a hash of the parts of a container's configuration that come from the settings."""
    folder: Path = getattr(docker, engine_of(spec.settings).cache.setting)
    body = _from_settings(spec, docker, Host(), str(folder))
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]


def published_port(inspected: Mapping[str, Any]) -> int | None:
    """Return the port on the engine's machine that leads to an inspected container."""
    bindings = inspected["HostConfig"].get("PortBindings") or {}
    published = bindings.get(_PORT_KEY) or [{}]
    port = published[0].get("HostPort", "")
    return int(port) if port.isdecimal() else None


def _from_settings(
    spec: ModelSpec, docker: DockerSettings, host: Host, folder: str
) -> dict[str, Any]:
    model = spec.settings
    engine, image = engine_of(model), image_of(model, docker)
    grace = engine.stop_grace_seconds if docker.stop_grace is None else docker.stop_grace
    uses_gpus = model.gpus != "none" and (model.gpus != "auto" or host.has_gpus)
    memory_bytes = int(model.memory) or int(host.memory_bytes * _MEMORY_SHARE)
    return {
        "Image": image,
        "Cmd": command(model, engine, image, uses_gpus=uses_gpus),
        "Env": [f"{name}={value}" for name, value in variables(model, engine).items()],
        "ExposedPorts": {_PORT_KEY: {}},
        # The gateway checks the health; each request for /health may cost the server a generation.
        "Healthcheck": {"Test": ["NONE"]},
        "StopSignal": "SIGTERM",
        "StopTimeout": max(1, round(model.stop_grace or grace)),
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
                {
                    "Type": "bind",
                    "Source": folder,
                    "Target": engine.cache.target,
                    "ReadOnly": False,
                }
            ],
            "Memory": memory_bytes,
            # No swap: a model that swaps is useless, and slows down the machine.
            "MemorySwap": memory_bytes,
            "NanoCpus": round(model.cpus * _NANO),
            "PidsLimit": model.pids_limit,
            "ShmSize": int(model.shm_size) or engine.shm_bytes,
            "OomScoreAdj": _OOM_SCORE,
            "LogConfig": {
                "Type": "json-file",
                "Config": {"max-size": str(int(docker.log_max_size)), "max-file": "2"},
            },
            **(_gpus(model, image) if uses_gpus else {}),
        },
    }


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

    TGI runs as root and needs none, with one exception: root without capabilities is bound by
    file permissions like any user, and can neither read nor write another user's cache.
    DAC_OVERRIDE permits that, and only the mounted files are within reach.
    """
    return ["DAC_OVERRIDE"] if host.is_cache_foreign else []
