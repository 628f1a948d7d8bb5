"""Where the processes of a program listen, as far as Linux tells: to see that it took another port.

Elsewhere nothing is known of it, and nothing is said.
"""

import os
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_TABLES: Final = (_PROC / "net" / "tcp", _PROC / "net" / "tcp6")
_LISTEN: Final = "0A"


def listening_ports(session: int) -> frozenset[int]:
    """Return the TCP ports on which processes of that session listen."""
    ports = dict(_listening_sockets())
    if not ports:
        return frozenset()
    found = set()
    for process in _PROC.glob("[0-9]*"):
        try:
            # The name in brackets may hold anything, brackets too.
            stat = (process / "stat").read_bytes().rpartition(b")")[2].split()
            if int(stat[3]) != session:
                continue
            for descriptor in os.scandir(process / "fd"):
                port = ports.get(os.readlink(descriptor.path))  # noqa: PTH115
                if port is not None:
                    found.add(port)
        except OSError:
            continue  # It has ended in between, or is somebody else's.
    return frozenset(found)


def _listening_sockets() -> list[tuple[str, int]]:
    sockets = []
    for table in _TABLES:
        try:
            lines = table.read_text().splitlines()[1:]
        except OSError:
            continue
        for columns in map(str.split, lines):
            if columns[3] == _LISTEN:
                port = int(columns[1].rpartition(":")[2], 16)
                sockets.append((f"socket:[{columns[9]}]", port))
    return sockets
