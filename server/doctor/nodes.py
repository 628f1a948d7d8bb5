"""A look inside a container on each node of a swarm: what services lack there, and the mend for it.

Rules:

1. It runs only on request, since it starts containers. No node fetches anything for it: the image
   is one that the settings name, by an id that the manager has, or that of a server that runs on
   the node, by its digest. Where there is none, that is said.
2. It is a service for each node, as models' are, which prints two files of the kernel and ends. All
   are removed whatever happens, those of an earlier run that was killed as well.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from server.doctor.docker import DockerUnavailable, ask_docker, read_docker
from server.doctor.findings import Finding, Wanted
from server.doctor.swarm import manager_of

LABEL: Final = "sidestream.look"
_CEILING_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.2
_SHM: Final = "/dev/shm"  # noqa: S108  (where it is)
_SHM_BYTES: Final = 1 << 30
_ENDED: Final = frozenset({"complete", "failed", "shutdown", "rejected", "orphaned", "remove"})
_FILES: Final = ("/proc/self/status", "/proc/mounts", "/proc/swaps")
_FRAME_HEAD: Final = 8
_PORTS: Final = (
    "Who else reaches models' ports cannot be seen from here: docs/SWARM.md has the rule for it."
)


@dataclass(frozen=True)
class _Node:
    id: str
    name: str
    image: str
    """What can be run there without fetching it; empty for nothing."""
    trouble: str
    """Why nothing is started there; empty if something is."""


def look_at_nodes(wanted: Wanted) -> list[Finding]:
    """Return what a container on each node sees; blocks for up to half a minute."""
    if not wanted.swarm_models:
        return [Finding("nodes", "ok", "no model runs in a swarm")]
    try:
        manager = manager_of(wanted)
        _remove(manager, wanted.instance)
        nodes = _nodes(wanted, manager)
        try:
            services = {
                node.id: _create(node, wanted.instance, manager)
                for node in nodes
                if not node.trouble
            }
            tasks = _ended(services, wanted.instance, manager)
            found = [_finding(node, tasks.get(node.id), manager) for node in nodes]
        finally:
            _remove(manager, wanted.instance)
    except DockerUnavailable as error:
        return [Finding("nodes", "warn", error.seen, error.mend)]
    return found


def _nodes(wanted: Wanted, manager: str) -> list[_Node]:
    """Return the nodes, each with an image that is there."""
    own = next((one for name in sorted(wanted.swarm_images) if (one := _id(name, manager))), "")
    running = {
        task["NodeID"]: task["Spec"]["ContainerSpec"]["Image"]
        for task in ask_docker("/tasks", manager)
        if task["Status"]["State"] == "running" and _is_pinned(task)
    }
    nodes = []
    for node in ask_docker("/nodes", manager):
        image, name = running.get(node["ID"], own), node["Description"]["Hostname"]
        state, availability = node["Status"]["State"], node["Spec"]["Availability"]
        trouble = ""
        if state != "ready" or availability != "active":
            trouble = f"not looked into: it is {state if state != 'ready' else availability}"
        elif not image:
            names = ", ".join(sorted(wanted.swarm_images))
            trouble = f"not looked into: no image to run is known to be there ({names})"
        nodes.append(_Node(node["ID"], name, image, trouble))
    return sorted(nodes, key=lambda one: one.name)


def _id(image: str, manager: str) -> str:
    """Return the id that the manager's engine knows an image by, empty if it has none."""
    try:
        return str(ask_docker(f"/images/{quote(image)}/json", manager)["Id"])
    except DockerUnavailable:
        return ""


def _is_pinned(task: Mapping[str, Any]) -> bool:
    """Tell whether a task's image is named so that its node fetches nothing if it is there."""
    image = (task["Spec"].get("ContainerSpec") or {}).get("Image", "")
    return "@sha256:" in image or image.startswith("sha256:")


def _create(node: _Node, instance: str, manager: str) -> str:
    """Start a container on a node; return the id of its service."""
    shm = {"Type": "tmpfs", "Target": _SHM, "TmpfsOptions": {"SizeBytes": _SHM_BYTES}}
    body = {
        "Name": f"sidestream-look-{node.id}",
        "Labels": {LABEL: instance},
        "TaskTemplate": {
            "ContainerSpec": {
                "Image": node.image,
                "Command": ["cat", *_FILES],
                "Labels": {LABEL: instance},
                "Healthcheck": {"Test": ["NONE"]},
                "CapabilityDrop": ["ALL"],
                "Privileges": {"NoNewPrivileges": True},
                "Mounts": [shm],
            },
            "RestartPolicy": {"Condition": "none"},
            "Placement": {"Constraints": [f"node.id == {node.id}"]},
            "LogDriver": {"Name": "json-file"},
        },
        "Mode": {"Replicated": {"Replicas": 1}},
    }
    return str(ask_docker("/services/create", manager, method="POST", body=body)["ID"])


def _ended(services: Mapping[str, str], instance: str, manager: str) -> dict[str, dict[str, Any]]:
    """Return the task on each node, once all have ended or it takes too long."""
    deadline = time.monotonic() + _CEILING_SECONDS
    while True:
        tasks = {
            one["NodeID"]: one for one in _labelled("tasks", instance, manager) if "NodeID" in one
        }
        is_done = [
            tasks.get(node, {"Status": {"State": ""}})["Status"]["State"] in _ENDED
            for node in services
        ]
        if all(is_done) or time.monotonic() > deadline:
            return tasks
        time.sleep(_POLL_SECONDS)


def _finding(node: _Node, task: Mapping[str, Any] | None, manager: str) -> Finding:
    name = f"node {node.name}"
    if node.trouble:
        return Finding(
            name,
            "warn",
            node.trouble,
            "" if node.image else "Fetch one of them there, or on the manager: docker pull IMAGE.",
        )
    status = {} if task is None else task["Status"]
    if task is None or status["State"] != "complete":
        said = status.get("Err") or status.get("Message") or "it did not start in time"
        return Finding(name, "warn", f"not looked into: {said}")
    log = read_docker(f"/tasks/{task['ID']}/logs?stdout=1", manager)
    return read_look(name, _text_of(log))


def read_look(name: str, text: str) -> Finding:
    """Return what is lacking, from what the files in a container say."""
    seen: list[str] = []
    mends: list[str] = []
    if "NoNewPrivs:\t1" in text:
        seen.append("no-new-privileges holds")
    else:
        seen.append("no-new-privileges does not hold")
        mends.append(
            'Set "no-new-privileges": true in its /etc/docker/daemon.json, or update Docker.'
        )
    shm = _shm_bytes(text)
    seen.append(f"{_SHM} has {shm >> 20} MB of {_SHM_BYTES >> 20} asked for")
    if shm < _SHM_BYTES:
        mends.append('Set "default-shm-size": "1g" there.')
    if _has_swap(text):
        seen.append("the machine swaps")
        mends.append("Take its swap away (swapoff -a): a service may swap as much as its memory.")
    return Finding(
        name,
        "warn" if mends else "ok",
        "; ".join(seen),
        " ".join(mends) and f"{' '.join(mends)} {_PORTS}",
    )


def _shm_bytes(text: str) -> int:
    """Return the size of /dev/shm by the last line of mounts that names it."""
    options = [line.split()[3] for line in text.splitlines() if f" {_SHM} " in line]
    sizes = [one for one in (options or [""])[-1].split(",") if one.startswith("size=")]
    return int(sizes[0].removeprefix("size=").removesuffix("k")) * 1024 if sizes else 0


def _has_swap(text: str) -> bool:
    """Tell whether the table of swaps has an entry below its head."""
    return bool(text.partition("Filename\t")[2].partition("\n")[2].strip())


def _text_of(log: bytes) -> str:
    """Return what stands in the frames of a log."""
    text = b""
    while len(log) >= _FRAME_HEAD:
        end = _FRAME_HEAD + int.from_bytes(log[4:_FRAME_HEAD], "big")
        text, log = text + log[_FRAME_HEAD:end], log[end:]
    return text.decode(errors="replace")


def _remove(manager: str, instance: str) -> None:
    """Remove all services of a look, and return once their containers are gone."""
    for service in _labelled("services", instance, manager):
        ask_docker(f"/services/{service['ID']}", manager, method="DELETE")
    deadline = time.monotonic() + _CEILING_SECONDS
    while _labelled("tasks", instance, manager) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


def _labelled(kind: str, instance: str, manager: str) -> Sequence[dict[str, Any]]:
    filters = quote(json.dumps({"label": [f"{LABEL}={instance}"]}))
    listed: list[dict[str, Any]] = ask_docker(f"/{kind}?filters={filters}", manager)
    return listed
