"""The machine of the Docker engine: its memory, GPUs and rights, and the folder it shares."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from server.core.docker_engine import gives_gpus, is_rootless
from server.core.errors import ModelFailed
from server.models.runners.docker.client import DockerEngine
from server.models.runners.docker.configuration import Host
from server.models.runners.docker.weights_watch import HUB


async def look_at_host(engine: DockerEngine, folder: Path) -> Host:
    """Return what is known of the machine, and make the shared folder if it is this machine.

    Raises `DockerUnreachable`, and `ModelFailed` where the folder cannot be used.
    """
    info = await engine.info()
    owner = await asyncio.to_thread(owner_of_folder, folder) if engine.is_local else 0
    return Host(
        memory_bytes=int(info.get("MemTotal") or 0),
        has_gpus=gives_gpus(info),
        # The root of a rootless engine's containers is the user himself outside.
        is_cache_foreign=owner != 0 and not is_rootless(info),
    )


def hub_of(environment: Mapping[str, str]) -> str | None:
    """Return the hub's address; None in offline mode."""
    if environment.get("HF_HUB_OFFLINE", "").lower() in {"1", "true", "yes", "on"}:
        return None
    return (environment.get("HF_ENDPOINT") or HUB).rstrip("/")


def owner_of_folder(folder: Path) -> int:
    """Make the folder if it is not there; return its owner's id.

    Raises `ModelFailed` where that cannot be done.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return folder.stat().st_uid
    except OSError as error:
        raise ModelFailed(
            f"the folder for weights cannot be used: {error}",
            hint="correct `hf_cache` (for Ollama `ollama_models`) in [docker], or its rights",
            details={"cause": "cache_not_writable"},
        ) from None
