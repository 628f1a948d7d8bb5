"""The sockets that listen on this machine, from `/proc`; only Linux has it.

The doctor imports this before anything is installed: the standard library only.
"""

from pathlib import Path
from typing import Final

_TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_LISTEN: Final = "0A"


def listening_sockets() -> dict[str, int]:
    """Return the TCP port of each socket that listens, by the name that descriptors link to."""
    sockets = {}
    for table in _TABLES:
        try:
            lines = table.read_text().splitlines()[1:]
        except OSError:
            continue
        for columns in map(str.split, lines):
            if columns[3] == _LISTEN:
                sockets[f"socket:[{columns[9]}]"] = int(columns[1].rpartition(":")[2], 16)
    return sockets
