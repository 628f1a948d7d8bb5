"""The ports in the range for model servers, shared by all runners."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from server.core.errors import ModelFailed

_LOOPBACK: Final = "127.0.0.1"


class Claim:
    """A port that is reserved until `release`, although nothing listens on it yet."""

    def __init__(self, port: int, held: set[int], sign: socket.socket | None = None) -> None:
        self.port = port
        self._held = held
        self._sign = sign
        held.add(port)

    def release(self) -> None:
        """Give the port back; may be called again."""
        self._held.discard(self.port)
        if self._sign is not None:
            self._sign.close()


class PortRange:
    """The range, and its ports that are reserved although nothing listens on them yet.

    All runners that take ports from the same range share `held`.
    """

    def __init__(self, ports: tuple[int, int], held: set[int]) -> None:
        self.first, self.last = ports
        self._held = held

    @contextmanager
    def hold(self, port: int) -> Iterator[None]:
        """Reserve `port` against other starts of this gateway while the context lasts."""
        self._held.add(port)
        try:
            yield
        finally:
            self._held.discard(port)

    def claim(self) -> Claim:
        """Reserve the first free port for a server that will bind it itself.

        Until then, another gateway on this machine could take it, too. So the UDP port of the same
        number is bound as a sign for other gateways: nothing else uses it, it is released when this
        process ends, and it does not conflict with the TCP port.

        Raises `ModelFailed` if no port is free.
        """
        for port in self.candidates(is_local=True):
            sign = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                sign.bind((_LOOPBACK, port))
            except OSError:
                sign.close()
                continue
            return Claim(port, self._held, sign)
        raise ModelFailed(
            f"no free port between {self.first} and {self.last}",
            hint="stop a model, or widen `ports` in [engines]",
        )

    def take(self, port: int) -> Claim:
        """Reserve the port of a server's address; raises `ModelFailed` if it is taken."""
        if port in self._held or not is_free(port, lingering=True):
            raise ModelFailed(
                f"port {port}, at which the command is to answer, is taken already",
                hint="stop what listens there, or take it into use as a server of somebody else's",
            )
        return Claim(port, self._held)

    def candidates(self, *, is_local: bool) -> Iterator[int]:
        """Yield ports that seem free, first those without lingering closed connections.

        With `is_local` false no port is checked, because only the engine of the other machine can
        tell which are free. The caller tries each port in turn.
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
    """Tell whether the port is free on this machine.

    `lingering` accepts closed connections on it, as a server that sets SO_REUSEADDR does.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            if lingering:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((_LOOPBACK, port))
            if lingering:
                # Linux lets two sockets with the option bind one port while neither listens.
                probe.listen()
        except OSError:
            return False
        return True
