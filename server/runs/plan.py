"""What a driver is given: what is to be asked, of whom, and where the answers go."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from server.access.principal import Caller
from server.core.generation import Generation
from server.core.protocol import End, ErrorInfo, Message
from server.runs.shapes import CellKey, CheckOutcome, RunAnswer, Target, TargetState


class Questions(Protocol):
    """What a run asks."""

    def __len__(self) -> int:
        """Return the number of prompts."""

    def messages(self, prompt: int, system: str | None = None) -> Sequence[Message]:
        """Return one prompt as it is asked; `system` replaces the set's, and no dialogue's own."""

    async def check(self, prompt: int, text: str, end: End) -> list[CheckOutcome]:
        """Check an answer to it."""


class Log(Protocol):
    """Where a driver's results go."""

    async def until_writable(self) -> None:
        """Wait until answers can be stored and few wait for it, or nothing more is asked."""

    def keep(self, answer: RunAnswer) -> None:
        """Store a complete answer soon."""

    def begun(self, cell: CellKey, generation: Generation) -> None:
        """Note that an answer is asked for now."""

    def dropped(self, cell: CellKey) -> None:
        """Note that an answer is to be asked for again."""

    def target_changed(self, place: int, state: TargetState, error: ErrorInfo | None) -> None:
        """Note how far a target is."""


@dataclass
class Plan:
    """A run as the driver needs it; `done` are the answers that are there.

    `caller` returns who asks, or raises `Unauthorized`. `default_length` is how many tokens an
    answer has at most where neither the target nor its model's settings say it; None leaves that to
    the gateway's settings.
    """

    id: str
    targets: Sequence[Target]
    repeats: int
    questions: Questions
    done: set[CellKey]
    caller: Callable[[], Caller]
    default_length: int | None = None
