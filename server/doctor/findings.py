"""What a check is: what it is told, and what it returns."""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

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
    """A remote model server that the settings name, and in which section.

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
class KnownCommand:
    """A program of a section: its first word, and where it is looked for, None for PATH."""

    section: str
    program: str
    path: str | None = None


@dataclass(frozen=True)
class Wanted:
    """The part of the settings that the checks ask about, with its defaults.

    `container_models` are those that run in containers, `swarm_models` those in a swarm, None where
    the settings cannot be read. `docker_engines` are names and hosts of the sections [docker NAME];
    `uses_docker_host` is whether any model runs on the engine of [docker].
    `unseen` has what the settings refer to and the user of the doctor cannot see.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    model_ports: tuple[int, int] = (8080, 8089)
    weights_dir: Path = Path("~/.cache/sidestream/weights")
    hf_cache: Path = Path("~/.cache/huggingface")
    instance: str = "default"
    state_dir: Path = Path("~/.local/state/sidestream")
    conversations_file: str = ""
    docker_host: str = ""
    uses_docker_host: bool = True
    docker_engines: tuple[tuple[str, str], ...] = ()
    container_models: frozenset[str] | None = None
    images: frozenset[str] = frozenset()
    swarm_hosts: tuple[str, ...] = ()
    swarm_models: frozenset[str] | None = None
    swarm_images: frozenset[str] = frozenset()
    servers: tuple[KnownServer, ...] = ()
    commands: tuple[KnownCommand, ...] = ()
    unseen: tuple[str, ...] = ()
    problems: tuple[str, ...] | None = None


Check = Callable[[Wanted], Finding]

K = TypeVar("K")
V = TypeVar("V")


def side_by_side(work: Callable[[K], V], items: Iterable[K], ceiling_seconds: float) -> dict[K, V]:
    """Do the same to all items at once, each on a thread; return what came of it in time.

    Threads that are not done after `ceiling_seconds` in all are left behind.
    """
    found: dict[K, V] = {}

    def do(item: K) -> None:
        found[item] = work(item)

    threads = [threading.Thread(target=do, args=[item], daemon=True) for item in items]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + ceiling_seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return dict(found)
