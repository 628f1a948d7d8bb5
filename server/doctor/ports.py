"""Find out whether a TCP port can be listened on, and if not, which process has it."""

import errno
import socket
from pathlib import Path

from server.core.listening import listening_sockets


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
    sockets = {name for name, its_port in listening_sockets().items() if its_port == port}
    for descriptor in Path("/proc").glob("[0-9]*/fd/*") if sockets else ():
        try:
            if str(descriptor.readlink()) in sockets:
                process = descriptor.parent.parent
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
                return f"{command} (process {process.name})"
        except OSError:
            continue  # It ended, or is another user's.
    return "another program"
