"""What a check is: what it is told, and what it returns."""

import os
from collections.abc import Callable
from dataclasses import dataclass
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
class Wanted:
    """The part of the settings that the checks ask about, with its defaults.

    `container_models` are those that run in containers, None where the settings cannot be read.
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
    problems: tuple[str, ...] | None = None


Check = Callable[[Wanted], Finding]


def read_settings() -> Wanted:
    """Return what the settings say; `problems` is None where they cannot be read yet."""
    try:
        from server.settings import SettingsError, load
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("server"):
            raise
        return Wanted()
    try:
        settings = load(run.ROOT / "settings.ini", os.environ)
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
        problems=(),
    )
