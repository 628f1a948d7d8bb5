"""Notify subscribers of changes of models.

A change of state is announced at once. The numbers of running and waiting answers change several
times with every answer, and notifying a thousand sockets each time would cost more than the
answers themselves. So changes of these numbers are coalesced: the more subscribers, the longer the
pause between two announcements. The first change after a quiet time is announced at once.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from server.core.protocol import Model

Subscriber = Callable[[Model], None]
ListSubscriber = Callable[[list[Model]], None]

# Notifying one subscriber takes some 25 µs: half a percent of this pause.
PAUSE_PER_SUBSCRIBER_SECONDS: Final = 0.005

# From this number on, one event with all models is shorter than one event for each.
_FEW: Final = 20


class Announcer:
    """Notify subscribers of the current views of models."""

    def __init__(self, snapshot: Callable[[str], Model]) -> None:
        self._snapshot = snapshot
        self._subscribers: dict[object, Subscriber] = {}
        self._list_subscribers: dict[object, ListSubscriber] = {}
        # Models to announce after the pause; a dict, since it keeps its order.
        self._due: dict[str, None] = {}
        self._pause: asyncio.TimerHandle | None = None

    def subscribe(
        self, subscriber: Subscriber, list_subscriber: ListSubscriber | None = None
    ) -> Callable[[], None]:
        """Call `subscriber` with every changed model; return a function that unsubscribes.

        `list_subscriber` gets all models instead when some were added or removed.
        """
        key = object()
        self._subscribers[key] = subscriber
        if list_subscriber is not None:
            self._list_subscribers[key] = list_subscriber

        def unsubscribe() -> None:
            self._subscribers.pop(key, None)
            self._list_subscribers.pop(key, None)

        return unsubscribe

    def tell(self, model_id: str) -> None:
        """Announce one model at once."""
        self._due.pop(model_id, None)
        if self._subscribers:
            model = self._snapshot(model_id)
            for subscriber in self._subscribers.values():
                subscriber(model)

    def tell_several(self, model_ids: list[str], everything: Callable[[], list[Model]]) -> None:
        """Announce several models at once: one by one if they are few, else all as one list."""
        if len(model_ids) >= _FEW:
            self.tell_all(everything())
            return
        for model_id in model_ids:
            self.tell(model_id)

    def tell_all(self, models: list[Model]) -> None:
        """Announce all models at once, because some were added or removed."""
        self._due.clear()
        for subscriber in self._list_subscribers.values():
            subscriber(models)

    def tell_soon(self, model_id: str) -> None:
        """Announce one model at once or after the pause."""
        self._due[model_id] = None
        if self._pause is None:
            self._tell_due()

    def close(self) -> None:
        """Stop announcing changes."""
        self._subscribers.clear()
        self._list_subscribers.clear()
        if self._pause is not None:
            self._pause.cancel()

    def _tell_due(self) -> None:
        self._pause = None
        if not self._due:
            return
        for model_id in list(self._due):
            self.tell(model_id)
        seconds = PAUSE_PER_SUBSCRIBER_SECONDS * len(self._subscribers)
        if seconds:
            self._pause = asyncio.get_running_loop().call_later(seconds, self._tell_due)
