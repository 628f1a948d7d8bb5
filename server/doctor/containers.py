"""What models in containers need of the engine, what they left there, and what they may ask.

A missing engine is reported by `check_docker`, and not again here.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from server.core.docker_engine import (
    LABEL_INSTANCE,
    LABEL_MODEL,
    container_name,
    gives_gpus,
    identity_of,
    is_rootless,
    number_of,
)
from server.doctor.docker import DockerUnavailable, ask_docker
from server.doctor.findings import Finding, Wanted, side_by_side

# The first with device requests, which is how containers get GPUs.
LEAST_API: Final = (1, 40)

_CONTAINER: Final = r"(sidestream-[A-Za-z0-9_.-]+|[0-9a-f]{64})"
_UNREAD: Final = "cannot be told while the settings cannot be read"
# Engines beyond that are left behind, before the doctor leaves this check behind.
_ENGINES_SECONDS: Final = 3.0
# An engine kills a server, frees its memory and removes its files before it answers.
_REMOVAL_SECONDS: Final = 60.0
# Every request that Sidestream makes of an engine, and why.
POLICY: Final = (
    ("GET", r"/_ping", "is it there"),
    ("GET", r"/version", "its API's version"),
    ("GET", r"/info", "its machine's memory and GPUs"),
    ("GET", r"/events", "what happens to containers"),
    ("GET", r"/containers/json", "which run"),
    ("GET", rf"/containers/{_CONTAINER}/json", "how one is"),
    ("GET", rf"/containers/{_CONTAINER}/logs", "what one says"),
    ("POST", r"/containers/create", "make one"),
    ("POST", rf"/containers/{_CONTAINER}/start", "start it"),
    ("POST", rf"/containers/{_CONTAINER}/stop", "end it"),
    ("DELETE", rf"/containers/{_CONTAINER}", "remove it"),
    ("GET", r"/images/[A-Za-z0-9_./:@-]+/json", "is an image there"),
    ("POST", r"/images/create", "fetch it; leave this out where images are fetched by hand"),
)


@dataclass(frozen=True)
class Leftover:
    """A container of no model: its name, and its engine, with the host of that."""

    container: str
    engine: str
    host: str


def policy_text() -> str:
    """Return the least that a proxy before the engine's socket has to let through."""
    lines = [
        "# Requests that Sidestream makes of a Docker engine, as regular expressions of the whole",
        "# path. A proxy before the engine's socket need let nothing else through. Whoever may",
        "# create containers at will owns the machine: a proxy that reads bodies should refuse",
        "# those that ask for Privileged, CapAdd other than DAC_OVERRIDE, host namespaces, or",
        "# mounts other than the Hugging Face cache's `hub` and Ollama's models.",
    ]
    for method, pattern, why in POLICY:
        lines.append(f"{method:<6} ^(/v1\\.[0-9]+)?{pattern}$".ljust(78) + f"  # {why}")
    return "\n".join(lines)


def check_containers(wanted: Wanted) -> Finding:
    """See whether the engine can do what models in containers need."""
    if wanted.container_models is None:
        return Finding("containers", "ok", _UNREAD)
    if not wanted.container_models:
        return Finding("containers", "ok", "no model runs in one")
    if not wanted.uses_docker_host:
        return Finding("containers", "ok", "no model runs on the engine of [docker]")
    try:
        info = ask_docker("/info", wanted.docker_host)
        seen, mends = _needs(info, wanted.docker_host, wanted.images)
    except DockerUnavailable:
        return Finding("containers", "warn", "cannot be told without a Docker engine")
    return Finding("containers", "warn" if mends else "ok", "; ".join(seen), " ".join(mends))


def check_docker_engines(wanted: Wanted) -> Finding:
    """See whether each engine with a section of its own can do what models need."""
    if wanted.container_models is None:
        return Finding("engines", "ok", _UNREAD)
    if not wanted.docker_engines:
        return Finding("engines", "ok", "no section [docker NAME]")

    known: dict[tuple[str, str, str], str] = {}

    def describe(engine: tuple[str, str]) -> tuple[str, str]:
        name, host = engine
        try:
            info = ask_docker("/info", host)
            other = known.setdefault(identity_of(info), name)
            if other != name:
                return f"{name}: the engine of {other}", f"{name}: remove one of the two sections."
            seen, mends = _needs(info, host, wanted.images)
        except DockerUnavailable as error:
            return f"{name}: {error.seen}", f"{name}: {error.mend}"
        return f"{name}: {', '.join(seen)}", " ".join(f"{name}: {mend}" for mend in mends)

    found = side_by_side(describe, wanted.docker_engines, _ENGINES_SECONDS)
    told = [found.get((name, host), _silent(name, host)) for name, host in wanted.docker_engines]
    mends = [mend for _, mend in told if mend]
    seen = "; ".join(one for one, _ in told)
    return Finding("engines", "warn" if mends else "ok", seen, " ".join(mends))


def _silent(name: str, host: str) -> tuple[str, str]:
    return f"{name}: no answer in time", f"{name}: see whether {host} can be reached."


def _needs(
    info: Mapping[str, Any], host: str, images: frozenset[str]
) -> tuple[list[str], list[str]]:
    """Return what is seen of an engine, and what to mend; raises `DockerUnavailable`."""
    api = ask_docker("/version", host)["ApiVersion"]
    seen = [
        "rootless engine" if is_rootless(info) else "engine of root",
        "gives GPUs" if gives_gpus(info) else "gives no GPUs: models use the CPU",
    ]
    mends = []
    if tuple(map(int, api.split("."))) < LEAST_API:
        mends.append(
            f"Update the engine: its API {api} is older than {'.'.join(map(str, LEAST_API))}."
        )
    if not info.get("MemoryLimit", True):
        seen.append("cannot limit memory")
        mends.append("Have the kernel count memory: cgroup_enable=memory on its command line.")
    missing = sorted(image for image in images if not _has_image(image, host))
    if missing:
        seen.append(
            f"the first start fetches {', '.join(missing)} (those for GPUs: 12 GB and more)"
        )
    return seen, mends


def check_leftovers(wanted: Wanted) -> Finding:
    """Look for containers of this instance whose model is not in the settings any more."""
    if wanted.container_models is None:
        return Finding("leftovers", "ok", _UNREAD)
    try:
        left = leftovers(wanted)
    except DockerUnavailable:
        return Finding("leftovers", "ok", "cannot be looked for without a Docker engine")
    if not left:
        return Finding("leftovers", "ok", f"no container of {wanted.instance!r} is left over")
    return Finding(
        "leftovers",
        "warn",
        f"left over of {wanted.instance!r}: {', '.join(sorted(map(_shown, left)))}",
        "Remove them: python3 run.py doctor --clean",
    )


def leftovers(wanted: Wanted) -> list[Leftover]:
    """Return this instance's containers that belong to no model, on all engines that answer.

    Raises `DockerUnavailable` if none does. None can be told apart while the settings cannot be
    read.
    """
    if wanted.container_models is None:
        return []
    own = [(wanted.docker_host, "")] if wanted.uses_docker_host or not wanted.docker_engines else []
    engines = [*own, *((host, name) for name, host in wanted.docker_engines)]
    # The engine of [docker] may have a section, too: containers are told apart by their ids.
    found: dict[str, Leftover] = {}
    away: list[DockerUnavailable] = []
    for host, name in engines:
        try:
            for container_id, container in _leftovers_at(host, wanted).items():
                found.setdefault(container_id, Leftover(container, name, host))
        except DockerUnavailable as error:
            away.append(error)
    if len(away) == len(engines):
        raise away[0]
    return [*found.values()]


def clean(wanted: Wanted) -> list[str]:
    """Remove what is left over and return its names; raises `DockerUnavailable`."""
    left = leftovers(wanted)
    for one in left:
        ask_docker(
            f"/containers/{one.container}?force=1&v=1",
            one.host,
            method="DELETE",
            patience_seconds=_REMOVAL_SECONDS,
        )
    return [_shown(one) for one in left]


def _shown(one: Leftover) -> str:
    return f"{one.container} on {one.engine}" if one.engine else one.container


def _leftovers_at(host: str, wanted: Wanted) -> dict[str, str]:
    """Return the ids and the names of the containers on an engine that belong to no model."""
    filters = quote(json.dumps({"label": [f"{LABEL_INSTANCE}={wanted.instance}"]}))
    listed: list[dict[str, Any]] = ask_docker(f"/containers/json?all=1&filters={filters}", host)
    named = [
        (one["Id"], one["Labels"].get(LABEL_MODEL), number_of(one["Labels"]), one["Names"][0][1:])
        for one in listed
    ]
    # Under another name it is somebody else's: images hand labels on.
    return {
        container_id: name
        for container_id, model, number, name in named
        if model
        and model not in (wanted.container_models or ())
        and name == container_name(wanted.instance, model, number)
    }


def _has_image(image: str, host: str) -> bool:
    try:
        ask_docker(f"/images/{image}/json", host)
    except DockerUnavailable:
        return False
    return True
