"""What models in containers need of the engine, what they left there, and what they may ask.

A missing engine is reported by `check_docker`, and not again here.
"""

import json
from typing import Any, Final
from urllib.parse import quote

from server.core.docker_engine import (
    LABEL_INSTANCE,
    LABEL_MODEL,
    container_name,
    gives_gpus,
    is_rootless,
    number_of,
)
from server.doctor.docker import DockerUnavailable, ask_docker
from server.doctor.findings import Finding, Wanted

# The first with device requests, which is how containers get GPUs.
LEAST_API: Final = (1, 40)

_CONTAINER: Final = r"(sidestream-[A-Za-z0-9_.-]+|[0-9a-f]{64})"
_UNREAD: Final = "cannot be told while the settings cannot be read"
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
    try:
        info = ask_docker("/info", wanted.docker_host)
        api = ask_docker("/version", wanted.docker_host)["ApiVersion"]
    except DockerUnavailable:
        return Finding("containers", "warn", "cannot be told without a Docker engine")
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
    missing = sorted(image for image in wanted.images if not _has_image(image, wanted))
    if missing:
        seen.append(
            f"the first start fetches {', '.join(missing)} (those for GPUs: 12 GB and more)"
        )
    return Finding("containers", "warn" if mends else "ok", "; ".join(seen), " ".join(mends))


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
        f"left over of {wanted.instance!r}: {', '.join(sorted(left))}",
        "Remove them: python3 run.py doctor --clean",
    )


def leftovers(wanted: Wanted) -> list[str]:
    """Return the names of this instance's containers that belong to no model.

    Raises `DockerUnavailable`. None can be told apart while the settings cannot be read.
    """
    if wanted.container_models is None:
        return []
    filters = quote(json.dumps({"label": [f"{LABEL_INSTANCE}={wanted.instance}"]}))
    listed: list[dict[str, Any]] = ask_docker(
        f"/containers/json?all=1&filters={filters}", wanted.docker_host
    )
    named = [
        (one["Labels"].get(LABEL_MODEL), number_of(one["Labels"]), one["Names"][0].lstrip("/"))
        for one in listed
    ]
    # Under another name it is somebody else's: images hand labels on.
    return [
        name
        for model, number, name in named
        if model
        and model not in wanted.container_models
        and name == container_name(wanted.instance, model, number)
    ]


def clean(wanted: Wanted) -> list[str]:
    """Remove what is left over and return its names; raises `DockerUnavailable`."""
    left = leftovers(wanted)
    for name in left:
        ask_docker(
            f"/containers/{name}?force=1&v=1",
            wanted.docker_host,
            method="DELETE",
            patience_seconds=_REMOVAL_SECONDS,
        )
    return left


def _has_image(image: str, wanted: Wanted) -> bool:
    try:
        ask_docker(f"/images/{image}/json", wanted.docker_host)
    except DockerUnavailable:
        return False
    return True
