"""Start processes that end with this one, and ask the kernel of them and of the machine."""

import asyncio
import ctypes
import os
import platform
import signal
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

_PR_SET_PDEATHSIG: Final = 1  # <sys/prctl.h>
_LIBC: Final = ctypes.CDLL(None)


async def start_child(*command: str, **options: Any) -> asyncio.subprocess.Process:
    """Start a program that is asked to end (SIGTERM) as soon as this process is gone.

    So nothing of a benchmark that is killed is left. `options` are those of
    `asyncio.create_subprocess_exec`. To be called in the main thread: the kernel looks at the
    thread that started a process.
    """
    parent = os.getpid()

    def bind() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)

    return await asyncio.create_subprocess_exec(*command, preexec_fn=bind, **options)


def cpu_seconds(pids: list[int]) -> float:
    """Return the CPU time of these processes with all their live threads, to the nanosecond.

    `schedstat` counts what `stat` rounds to ticks of 10 ms.
    """
    return (
        sum(
            int(thread.read_text().split()[0])
            for pid in pids
            for thread in Path(f"/proc/{pid}/task").glob("*/schedstat")
        )
        / 1e9
    )


def system_share(pids: list[int]) -> float:
    """Return which part of the CPU time so far was spent in the kernel."""
    user = system = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        user += int(fields[11])
        system += int(fields[12])
    return system / max(user + system, 1)


def memory_bytes(pids: list[int]) -> int:
    """Return the memory that belongs to these processes alone."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Private_"):
                total += int(line.split()[1]) * 1024
    return total


def with_children(pid: int) -> list[int]:
    """Return a process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, children)]


def machine(nginx: str) -> dict[str, Any]:
    """Describe what the figures were made on."""
    cpu = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    packages = {name: version(name) for name in ("aiohttp", "msgspec", "uvloop")}
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "nginx": nginx,
        **packages,
    }
