"""Where the gateway has its state: on which file system, and whether that follows it."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from server.core.docker_engine import LABEL_GATEWAY
from server.doctor.findings import Finding, Wanted

_ESCAPED: Final = re.compile(r"\\([0-7]{3})")
_MOUNTS: Final = Path("/proc/self/mountinfo")
# SQLite's write-ahead log needs locks and shared memory that these do not have.
_UNFIT: Final = ("nfs", "cifs", "smb", "9p", "fuse.sshfs", "afs")
_STATE: Final = "/var/lib/sidestream"
"""Where the image has its state."""
_FOLLOWS: Final = (
    "give it a volume that follows it (docs/SWARM.md), or keep it on one node by a constraint."
)


def check_state(wanted: Wanted) -> Finding:
    """See whether the state is on a file system that a database can be on."""
    places = [wanted.state_dir.expanduser()]
    if wanted.conversations_file:
        places.append(Path(wanted.conversations_file).expanduser())
    try:
        mounts = _MOUNTS.read_text()
    except OSError:
        return Finding("state", "ok", f"{places[0]}, on a file system that cannot be told here")
    kinds = {place: file_system(place, mounts) for place in places}
    seen = ", ".join(f"{place} is on {kind}" for place, kind in kinds.items())
    if not any(kind.startswith(_UNFIT) for kind in kinds.values()):
        return Finding("state", "ok", seen)
    mend = (
        "Conversations get damaged there: set `state_dir` in [server], or `file` in "
        "[conversations], to a disk of this machine, or to block storage."
    )
    return Finding("state", "warn", seen, mend)


def file_system(place: Path, mounts: str) -> str:
    """Return the kind of file system that a path is on, by the text of a mountinfo."""
    path, best, kind = place.resolve(), -1, "an unknown file system"
    for line in mounts.splitlines():
        mount, _, source = line.partition(" - ")
        point = Path(_ESCAPED.sub(lambda found: chr(int(found[1], 8)), mount.split()[4]))
        # Of several at one place the last one counts.
        if path.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), source.split()[0]
    return kind


def check_gateways(services: Iterable[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """Return what is seen of gateways among a swarm's services, and what to mend."""
    seen, mends = [], []
    for service in services:
        spec = service["Spec"]
        task = spec["TaskTemplate"]
        mounts = {one["Target"]: one for one in task["ContainerSpec"].get("Mounts") or []}
        if _STATE not in mounts and LABEL_GATEWAY not in (spec.get("Labels") or {}):
            continue
        where, is_lost, is_damaged = _state_of(mounts.get(_STATE))
        seen.append(f"the gateway {spec['Name']} has its state {where}")
        if is_damaged:
            mends.append(f"Conversations get damaged there: {_FOLLOWS}")
        elif is_lost and not _stays(task):
            mends.append(f"A gateway that moves to another node leaves it behind: {_FOLLOWS}")
    return seen, mends


def _state_of(mount: dict[str, Any] | None) -> tuple[str, bool, bool]:
    """Return where a gateway's state is, whether it stays on its node, and whether it is unsafe."""
    if mount is None:
        return "in its container", True, False
    if mount.get("Type") != "volume":
        # Whether it is one storage on all nodes cannot be seen.
        return f"in the folder {mount.get('Source')} of its node", False, False
    driver = (mount.get("VolumeOptions") or {}).get("DriverConfig") or {}
    options = driver.get("Options") or {}
    kind = str(options.get("type", ""))
    if kind.startswith(_UNFIT):
        return f"on {kind}", False, True
    if driver.get("Name", "") not in {"", "local"}:
        return f"on a volume of {driver['Name']}", False, False
    if options.get("device"):
        return f"on {options['device']} of its node", False, False
    return "on a local volume", True, False


def _stays(task: dict[str, Any]) -> bool:
    """Tell whether constraints name the one node that tasks may be on."""
    constraints = (task.get("Placement") or {}).get("Constraints") or []
    words = ("".join(one.split()) for one in constraints)
    return any(one.startswith(("node.hostname==", "node.id==")) for one in words)
