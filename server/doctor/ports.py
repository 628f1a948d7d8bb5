"""Find out whether a TCP port can be listened on, and who has it if not."""

import errno
import socket
from pathlib import Path

_LISTEN = "0A"


def why_not_free(host: str, port: int) -> str:
    """Return why `port` cannot be listened on, in words; empty if it can."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return f"taken by {find_owner(port)}"
        return str(error.strerror)
    return ""


def find_owner(port: int) -> str:
    """Return the command line and process id of who listens on `port`, where Linux tells."""
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for descriptor in Path("/proc").glob("[0-9]*/fd/*") if sockets else ():
        try:
            if str(descriptor.readlink()) in sockets:
                process = descriptor.parent.parent
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
                return f"{command} (process {process.name})"
        except OSError:
            continue  # It ended, or is somebody else's.
    return "another program"


def _listening_inodes(port: int) -> set[str]:
    inodes = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        lines = table.read_text().splitlines()[1:] if table.exists() else []
        for columns in map(str.split, lines):
            if columns[3] == _LISTEN and int(columns[1].rpartition(":")[2], 16) == port:
                inodes.add(columns[9])
    return inodes
