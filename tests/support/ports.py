"""Ports for tests that need several in a row."""

import itertools
import random
import socket
from contextlib import ExitStack

# Below the ports that systems give to outgoing connections, so that none appears in between.
_FIRST, _LAST = 15_000, 32_000
_starts = itertools.count(random.randrange(_FIRST, _LAST), 16)


def free_ports(count: int) -> tuple[int, int]:
    """Return the first and the last of so many ports in a row that nobody uses."""
    while True:
        first = _FIRST + next(_starts) % (_LAST - _FIRST)
        try:
            with ExitStack() as stack:
                for port in range(first, first + count):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
        except OSError:
            continue
        return first, first + count - 1
