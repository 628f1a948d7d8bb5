"""The machine of the Docker engine: its memory, GPUs and rights, and the folder it shares."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from server.core.docker_engine import gives_gpus, is_rootless
from server.core.errors import ModelFailed
from server.models.runners.containers.client import DockerEngine
from server.models.runners.containers.errors import DockerUnreachable
from server.models.runners.docker.configuration import Host
from server.models.runners.docker.weights_watch import HUB
from server.models.runners.machines import Look, Machine, Placed, PlaceKind

# Somebody looks at a page.
_PATIENCE_SECONDS: Final = 5.0


async def look_at_host(engine: DockerEngine, folder: Path) -> Host:
    """Return the facts about the engine's machine; if it is this one, create the shared folder.

    Raises `DockerUnreachable`, and `ModelFailed` if the folder cannot be used.
    """
    info = await engine.info()
    owner = await asyncio.to_thread(owner_of_folder, folder) if engine.is_local else 0
    return Host(
        memory_bytes=int(info.get("MemTotal") or 0),
        has_gpus=gives_gpus(info),
        # Root in a container of a rootless engine is the engine's user outside of it.
        is_cache_foreign=owner != 0 and not is_rootless(info),
    )


async def machine_of(engine: DockerEngine) -> Look:
    """Return the engine's machine, and why it cannot be told; see `HasMachines`."""
    kind: PlaceKind = "here" if engine.is_local else "docker"
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            info = await engine.info()
    except (ModelFailed, TimeoutError) as error:
        said = error.reason if isinstance(error, DockerUnreachable) else str(error)
        problem = f"The Docker engine cannot be asked: {said or 'it takes too long'}."
        # What runs here is known by the gateway, too.
        known = (Placed(Machine(name="", kind=kind)),) if engine.is_local else ()
        return Look(known, (problem,))
    machine = Machine(
        name=str(info.get("Name") or "docker"),
        kind=kind,
        version=str(info.get("ServerVersion") or ""),
        cpus=info.get("NCPU"),
        memory_bytes=info.get("MemTotal"),
    )
    return Look((Placed(machine),))


def hub_of(environment: Mapping[str, str]) -> str | None:
    """Return the hub's address; None in offline mode."""
    if environment.get("HF_HUB_OFFLINE", "").lower() in {"1", "true", "yes", "on"}:
        return None
    return (environment.get("HF_ENDPOINT") or HUB).rstrip("/")


def owner_of_folder(folder: Path) -> int:
    """Create the folder unless it exists; return its owner's id.

    Raises `ModelFailed` if that is not possible.
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
