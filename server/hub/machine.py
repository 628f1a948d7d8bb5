"""What this machine has for models: memory, and room on the disk where weights are kept."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from server.hub.variants import Variant
from server.settings.values import human_size

# Where a container or a unit is told how much of the machine it may have: cgroup 2, then 1.
_CGROUPS: Final = Path("/sys/fs/cgroup")
_OWN_CGROUP: Final = Path("/proc/self/cgroup")
_OLD_LIMIT: Final = _CGROUPS / "memory/memory.limit_in_bytes"
# The system and other programs need some of it too.
_SHARE_FOR_MODELS: Final = 0.9
# A disk that is full to the last byte stops everything else.
_SPARE_DISK_BYTES: Final = 500_000_000


@dataclass(frozen=True)
class Machine:
    """Memory that a model may take here, and what is free on the disk of the weights, in bytes.

    `memory` is None where it cannot be told, and `budget` where the settings set none.
    """

    memory: int | None
    budget: int | None
    disk: int | None
    cache: str

    def problem(self, memory_bytes: int, missing_bytes: int) -> str:
        """Return in words why a model does not fit, empty if it does."""
        needs = f"needs {human_size(memory_bytes)} of memory, and "
        if self.memory is not None and memory_bytes > self.memory * _SHARE_FOR_MODELS:
            return f"{needs}this machine has {human_size(self.memory)}"
        if self.budget is not None and memory_bytes > self.budget:
            return f"{needs}`memory_budget` in [engines] is {human_size(self.budget)}"
        needed = missing_bytes + _SPARE_DISK_BYTES
        if self.disk is not None and missing_bytes > 0 and needed > self.disk:
            left = f"{self.cache} has {human_size(self.disk)} left"
            return f"takes {human_size(missing_bytes)} on the disk, and {left}"
        return ""


def this_machine(cache: str, budget_bytes: int) -> Machine:
    """Return what there is now; blocks for the time that the disk takes to tell."""
    return Machine(total_memory(), budget_bytes or None, _free_disk(Path(cache)), cache)


def missing_bytes(cache: str, repo: str, variant: Variant) -> int:
    """Return how much of a variant has yet to be fetched: what is not in the hub's cache."""
    blobs = Path(cache) / f"models--{repo.replace('/', '--')}" / "blobs"
    return sum(
        file.size_bytes
        for file in variant.files
        if not (file.sha256 and (blobs / file.sha256).is_file())
    )


def total_memory() -> int | None:
    """Return how much memory there is for us, in bytes; None where the system does not tell."""
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None
    limits = [total]
    for path in _limits():
        try:
            limits.append(int(path.read_text()))
        except (OSError, ValueError):
            continue  # "max", or a system without it
    return min(limit for limit in limits if limit > 0)


def _limits() -> list[Path]:
    """Return where limits of our own group may stand, and of those that it is in."""
    try:
        lines = _OWN_CGROUP.read_text().splitlines()
    except OSError:
        return []
    own = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), "")
    groups = [_CGROUPS / own, *(_CGROUPS / own).parents]
    inside = [group for group in groups if group.is_relative_to(_CGROUPS)]
    return [*(group / "memory.max" for group in inside), _OLD_LIMIT]


def _free_disk(path: Path) -> int | None:
    """Return what is free where a folder is, or will be made."""
    for place in (path, *path.parents):
        try:
            return shutil.disk_usage(place).free
        except FileNotFoundError:
            continue
        except OSError:
            return None
    return None
