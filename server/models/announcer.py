"""Who is told of a model's changes, and when.

A change of state is told at once. How many answers run and wait changes several times with every
answer, and telling a thousand sockets each time would cost more than the answers themselves:
the more are to be told, the longer a change of these numbers may wait, joined with those that
follow. The first one after a quiet time is told at once.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from server.core.protocol import Model

Subscriber = Callable[[Model], None]
ListSubscriber = Callable[[list[Model]], None]

# To tell one subscriber takes some 25 µs until it has left as a frame: half a percent of the time.
PAUSE_PER_SUBSCRIBER_SECONDS: Final = 0.005

# From here on one event with all models is less to write, and to read, than one for each.
_FEW: Final = 20


class Announcer:
    """Tell subscribers what models look like now."""

    def __init__(self, snapshot: Callable[[str], Model]) -> None:
        self._snapshot = snapshot
        self._subscribers: dict[object, Subscriber] = {}
        self._list_subscribers: dict[object, ListSubscriber] = {}
        # Models whose numbers are to be told; a dict, since it keeps its order.
        self._due: dict[str, None] = {}
        self._pause: asyncio.TimerHandle | None = None

    def subscribe(
        self, subscriber: Subscriber, list_subscriber: ListSubscriber | None = None
    ) -> Callable[[], None]:
        """Have `subscriber` told of every change; returns the way to end that.

        `list_subscriber` is told all models, in place of that, when some have come or gone.
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
        """Tell everybody at once."""
        self._due.pop(model_id, None)
        if self._subscribers:
            model = self._snapshot(model_id)
            for subscriber in self._subscribers.values():
                subscriber(model)

    def tell_several(self, model_ids: list[str], everything: Callable[[], list[Model]]) -> None:
        """Tell everybody of several models at once: one by one, or all that there are."""
        if len(model_ids) >= _FEW:
            self.tell_all(everything())
            return
        for model_id in model_ids:
            self.tell(model_id)

    def tell_all(self, models: list[Model]) -> None:
        """Tell all models at once, since some have come or gone."""
        self._due.clear()
        for subscriber in self._list_subscribers.values():
            subscriber(models)

    def tell_soon(self, model_id: str) -> None:
        """Tell everybody when it is time."""
        self._due[model_id] = None
        if self._pause is None:
            self._tell_due()

    def close(self) -> None:
        """Tell nobody anything more."""
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
