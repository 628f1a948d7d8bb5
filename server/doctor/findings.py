"""What a check is: what it is told, and what it returns."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import run

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Finding:
    """What one check saw, how bad that is, and what to do about it."""

    name: str
    level: Level
    seen: str
    mend: str = ""


@dataclass(frozen=True)
class KnownServer:
    """A model server of somebody else's that the settings name, and in which section.

    `headers` are sent with each request, the key included. `readable_files` are those with its key
    that others on this machine may read; `key_is_written` tells that settings.ini has it in full.
    """

    place: str
    url: str
    api: str = "/v1"
    dialect: str = "auto"
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    ca_file: str = ""
    is_here: bool = False
    has_key: bool = False
    key_is_written: bool = False
    readable_files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wanted:
    """The part of the settings that the checks ask about, with its defaults.

    `container_models` are those that run in containers, None where the settings cannot be read.
    `unseen` has what the settings refer to and what is not there for whoever runs the doctor.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    model_ports: tuple[int, int] = (8080, 8089)
    weights_dir: Path = Path("~/.cache/sidestream/weights")
    hf_cache: Path = Path("~/.cache/huggingface")
    instance: str = "default"
    docker_host: str = ""
    container_models: frozenset[str] | None = None
    images: frozenset[str] = frozenset()
    servers: tuple[KnownServer, ...] = ()
    unseen: tuple[str, ...] = ()
    problems: tuple[str, ...] | None = None


Check = Callable[[Wanted], Finding]


def read_settings() -> Wanted:
    """Return what the settings say; `problems` is None where they cannot be read yet."""
    try:
        from server.doctor.known import known_servers
        from server.settings import SettingsError, load
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("server"):
            raise
        return Wanted()
    file = run.ROOT / "settings.ini"
    unseen: tuple[str, ...] = ()
    try:
        try:
            settings = load(file, os.environ)
        except SettingsError as error:
            unseen = tuple(error.problems)
            # The gateway may have another environment, and other rights.
            settings = load(file, os.environ, looks_up=False)
    except SettingsError as error:
        return Wanted(problems=tuple(error.problems))
    containers = {
        name: model
        for name, model in settings.models.items()
        if model.runner == "docker" and not model.base
    }
    return Wanted(
        host=settings.server.host,
        port=settings.server.port,
        model_ports=settings.engines.ports,
        weights_dir=settings.engines.weights_dir,
        hf_cache=settings.docker.hf_cache,
        instance=settings.server.instance,
        docker_host=settings.docker.host,
        container_models=frozenset(containers),
        images=frozenset(model.image or settings.docker.image for model in containers.values()),
        servers=known_servers(settings),
        unseen=unseen,
        problems=(),
    )
