"""Several Docker engines: what is wrong with their sections, and which a model may run on."""

import dataclasses
import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from server.settings.commands import Problem
from server.settings.models import ModelSettings
from server.settings.tables import DockerEngineSettings, DockerSettings, EngineSettings

ANY: Final = "any"
"""As `engine_host`: the engine with the least use."""

_NO_PORTS: Final = (0, 0)
# At these, the ports of model servers are found on this machine by themselves.
_OWN_WAYS: Final = ("unix://", "ssh://")


def hosts_of(model: ModelSettings, engines: Mapping[str, DockerEngineSettings]) -> tuple[str, ...]:
    """Return the names of the Docker engines that a model may run on; empty for `[docker]`'s."""
    if model.engine_host == ANY:
        return tuple(engines)
    return (model.engine_host,) if model.engine_host else ()


def ports_of(engine: DockerEngineSettings, engines: EngineSettings) -> tuple[int, int]:
    """Return the ports of the model servers on one of several Docker engines."""
    return engines.ports if engine.ports == _NO_PORTS else engine.ports


def settings_on(engine: DockerEngineSettings, docker: DockerSettings) -> DockerSettings:
    """Return what holds for containers on one of several Docker engines."""
    return dataclasses.replace(
        docker,
        host=engine.host,
        hf_cache=Path(engine.hf_cache) if engine.hf_cache else docker.hf_cache,
        hf_token=engine.hf_token or docker.hf_token,
        ollama_models=Path(engine.ollama_models) if engine.ollama_models else docker.ollama_models,
    )


def gpus_of(engine: DockerEngineSettings) -> frozenset[str] | None:
    """Return the names of the GPUs that models may get on an engine, None for whatever it has."""
    if not engine.gpus:
        return None
    if engine.gpus == "none":
        return frozenset()
    if engine.gpus.isdecimal():
        return frozenset(str(number) for number in range(int(engine.gpus)))
    return frozenset(engine.gpus.removeprefix("device=").split(","))


def docker_engine_problems(
    engines: Mapping[str, DockerEngineSettings], common: EngineSettings
) -> Iterator[tuple[str, str, str]]:
    """Yield the name of each section with a problem, the key at fault, and what is wrong."""
    by_host: dict[str, str] = {}
    by_ports: dict[str, tuple[int, int]] = {}
    for name, engine in engines.items():
        if not engine.host:
            yield name, "host", "missing; expected unix:///PATH, tcp://HOST:PORT or ssh://HOST"
            continue
        if not _is_place(engine.host):
            yield name, "host", "expected a host, and a port from 1 to 65535 if it has one"
            continue
        host = engine.host.rstrip("/").casefold()
        if host in by_host:
            yield name, "host", f"is the engine of [docker {by_host[host]}] already"
        by_host.setdefault(host, name)
        if (engine.ports[0] == 0) != (engine.ports == _NO_PORTS):
            yield name, "ports", f"expected ports from 1 on, found {engine.ports[0]}"
            continue
        if engine.host.startswith(_OWN_WAYS):
            continue
        first, last = ports_of(engine, common)
        for other, (low, high) in by_ports.items():
            if first <= high and low <= last:
                yield (
                    name,
                    "ports",
                    f"{first}-{last} are ports of [docker {other}], too; each engine at tcp:// "
                    "needs its own, because they are forwarded to this machine by their numbers",
                )
        by_ports[name] = first, last


def _is_place(host: str) -> bool:
    """Tell whether an address leads anywhere: to a socket, or a host whose port there may be."""
    if host.startswith("unix://"):
        return True
    try:
        parts = urlsplit(host)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def engine_host_problems(
    host: str, engines: Mapping[str, DockerEngineSettings]
) -> Iterator[Problem]:
    """Yield what is wrong with a model's `engine_host`."""
    if not host or host in engines or (host == ANY and engines):
        return
    if not engines:
        yield "engine_host", f"there is no section [docker NAME] that {host!r} could mean"
        return
    near = difflib.get_close_matches(host, [*engines, ANY], n=1)
    meant = f"is `{near[0]}` meant?" if near else f"expected {ANY} or {', '.join(engines)}"
    yield "engine_host", f"there is no section [docker {host[:80]}]; {meant}"
