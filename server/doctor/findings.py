"""What a check is: what it is told, and what it returns."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

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
