"""The receiving end of an outbox: what a client would have got, without a socket."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from server.core.outbox import Outbox
from server.core.protocol import Delta, End, Event, State
from server.models.state_changed import StateChanged

E = TypeVar("E", bound=Event)


class Reader:
    """Take everything as soon as it is due, unless held up, and keep it."""

    def __init__(self) -> None:
        self.outbox = Outbox(self._wake)
        self.events: list[Event] = []
        self.is_held = False
        self._changed = StateChanged()

    def _wake(self) -> None:
        # As the real writer, not from within the change that woke it.
        asyncio.get_running_loop().call_soon(self._take)

    def _take(self) -> None:
        while not self.is_held and (events := self.outbox.take()):
            self.events += events
            self._changed.notify_all()

    def hold(self) -> None:
        """Read nothing until let go: a slow reader."""
        self.is_held = True

    def let_go(self) -> None:
        """Read what has collected, and go on."""
        self.is_held = False
        self._take()

    async def sees(self, is_true: Callable[[], object]) -> None:
        """Return when that is true of what has come."""
        try:
            async with asyncio.timeout(20):
                await self._changed.wait_for(lambda: bool(is_true()))
        except TimeoutError:
            raise AssertionError(f"waited in vain; saw {self.events}") from None

    def of(self, kind: type[E], generation: str) -> list[E]:
        """Return the events of that kind about a generation."""
        return [
            event
            for event in self.events
            if isinstance(event, kind) and getattr(event, "generation", None) == generation
        ]

    def text(self, generation: str) -> str:
        """Return the joined deltas of a generation."""
        return "".join(delta.text for delta in self.of(Delta, generation))

    def seq(self, generation: str) -> int:
        """Return the cursor of a generation."""
        deltas = self.of(Delta, generation)
        return deltas[-1].seq if deltas else 0

    def states(self, generation: str) -> list[str]:
        """Return the states of a generation, in their order."""
        return [event.state for event in self.of(State, generation)]

    async def end(self, generation: str) -> End:
        """Return the end of a generation once it has come."""
        await self.sees(lambda: self.of(End, generation))
        (end,) = self.of(End, generation)
        return end
