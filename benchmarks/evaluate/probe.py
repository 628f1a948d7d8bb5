"""Ask a gateway for its health, one time after the other, until the input ends.

Prints when each answer was waited for, and for how long, as JSON. In a process of its own, so that
nothing else than the gateway makes it wait.
"""

import json
import select
import socket
import sys
import time
from typing import Final

_REQUEST: Final = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
_PAUSE_SECONDS: Final = 0.002


def main() -> None:
    """Ask the gateway at the port of the command line."""
    seen: list[tuple[float, float]] = []
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        print("ready", flush=True)
        while not select.select([sys.stdin], [], [], _PAUSE_SECONDS)[0]:
            began = time.monotonic()
            connection.sendall(_REQUEST)
            answer = b""
            while b"\r\n\r\n" not in answer:
                answer += _received(connection)
            # The body came with the head, or comes at once: it is a few bytes.
            seen.append((began, time.monotonic() - began))
            _read_rest(connection, answer)
    print(json.dumps(seen))


def _read_rest(connection: socket.socket, answer: bytes) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    (length,) = (
        int(line.split(b":")[1])
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-length")
    )
    while len(body) < length:
        body += _received(connection)


def _received(connection: socket.socket) -> bytes:
    read = connection.recv(65_536)
    if not read:
        raise ConnectionResetError
    return read


if __name__ == "__main__":
    try:
        main()
    except ConnectionError:
        sys.exit("the gateway is gone")
