"""An address that neither accepts nor refuses, as if all packets to it were dropped."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

# More than the queue of a listener that was promised none holds.
_FILLERS = 4


@contextmanager
def silent_port() -> Iterator[int]:
    """Give a port of loopback whose connections hang: its queue is full, and nobody empties it."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(_FILLERS):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
