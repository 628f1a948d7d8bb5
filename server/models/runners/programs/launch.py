"""The interface between the runner of programs and each kind of program."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from server.dialects.base import Endpoint
from server.engines.engine import CALM_OPENMP
from server.models.catalogue.catalog import ModelSpec
from server.models.runners.ports import Claim, PortRange

# Variables of systemd for the gateway, and the gateway's own settings with their keys.
_OURS_ALONE: Final = ("SIDESTREAM_", "NOTIFY_SOCKET", "LISTEN_", "WATCHDOG_")


@dataclass(frozen=True)
class Launch:
    """One start of a program: its arguments, its environment, and the endpoint of its server.

    `secrets` are hidden in its log; `hint` is shown if it cannot be executed.
    """

    words: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    endpoint: Endpoint
    secrets: tuple[str, ...] = field(default=(), repr=False)
    hint: str = ""


class Launcher(Protocol):
    """Prepare the starts of one kind of program."""

    def claim(self, spec: ModelSpec, ports: PortRange) -> Claim:
        """Claim the port at which the program will listen.

        Raises `ModelFailed` if it is taken, or none is free.
        """

    async def launch(self, spec: ModelSpec, port: int) -> Launch:
        """Return how to start the program.

        Raises `ModelFailed` if a file that the model's settings name cannot be read.
        """


def passed_on(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables of the gateway's environment that a program gets."""
    kept = {name: value for name, value in environment.items() if not name.startswith(_OURS_ALONE)}
    return {**CALM_OPENMP, **kept}
