"""Which ports of the range for model servers are free: shared by the runners that take them."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_LOOPBACK: Final = "127.0.0.1"


class PortRange:
    """The range, and the ports in it that are ours already though nobody listens on them yet.

    `held` is shared by all runners that take ports from the same range.
    """

    def __init__(self, ports: tuple[int, int], held: set[int]) -> None:
        self.first, self.last = ports
        self._held = held

    @contextmanager
    def hold(self, port: int) -> Iterator[None]:
        """Keep other starts of this gateway away from `port` while the block runs."""
        self._held.add(port)
        try:
            yield
        finally:
            self._held.discard(port)

    def candidates(self, *, is_local: bool) -> Iterator[int]:
        """Give ports that look free, those first on which not even closed connections linger.

        On another machine only its engine can tell what is free. The caller tries, and asks
        for the next.
        """
        ports = range(self.first, self.last + 1)
        tried: set[int] = set()
        for lingering in (False, True):
            for port in ports:
                if port in tried or port in self._held:
                    continue
                if not is_local or is_free(port, lingering=lingering):
                    tried.add(port)
                    yield port


def is_free(port: int, *, lingering: bool = False) -> bool:
    """Tell whether nobody on this machine has the port.

    `lingering` accepts closed connections on it, as a server that sets SO_REUSEADDR does.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            if lingering:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((_LOOPBACK, port))
            if lingering:
                # Linux lets two bind that set the option, while neither listens.
                probe.listen()
        except OSError:
            return False
        return True
