"""How long a model server may take, and how its health is checked."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

IsWell = Callable[[], Awaitable[bool]]
"""A cheap look at a server's health, which raises nothing."""


@dataclass(frozen=True)
class Timeouts:
    """Say how many seconds each part of a request may take.

    `connect` is for a connection with all its handshakes. `read` is the silence after which the
    server's health is looked at or, where nobody can look, the request ends. `first_token` is the
    silence that ends a request although the server is well.
    """

    connect: float = 5.0
    # TGI and the embedded engine send something every few seconds, whatever they do.
    read: float = 45.0
    # A big model is loaded, or a long prompt read on a small machine, within that.
    first_token: float = 600.0
