"""The ports at which the processes of a program listen, read from `/proc` (Linux only)."""

import os
from pathlib import Path
from typing import Final

from server.core.listening import listening_sockets

_PROC: Final = Path("/proc")


def listening_ports(session: int) -> frozenset[int]:
    """Return the TCP ports on which processes of that session listen."""
    ports = listening_sockets()
    if not ports:
        return frozenset()
    found = set()
    for process in _PROC.glob("[0-9]*"):
        try:
            # The name in brackets may have any characters, also brackets.
            stat = (process / "stat").read_bytes().rpartition(b")")[2].split()
            if int(stat[3]) != session:
                continue
            for descriptor in os.scandir(process / "fd"):
                port = ports.get(os.readlink(descriptor.path))  # noqa: PTH115
                if port is not None:
                    found.add(port)
        except OSError:
            continue  # It has ended meanwhile, or belongs to another user.
    return frozenset(found)
