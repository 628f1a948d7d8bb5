"""Events and their listeners."""

import asyncio
from collections.abc import Callable
from typing import Any

Off = Callable[[], None]


class Emitter:
    """Call listeners of events, in the order of subscription.

    A listener that raises affects neither the others nor the caller: its error goes to the event
    loop's exception handler.
    """

    def __init__(self) -> None:
        self._listeners: dict[str, dict[object, Callable[[Any], object]]] = {}

    def listen(self, event: str, listener: Callable[[Any], object]) -> Off:
        """Call `listener` at every `event` until the function returned is called."""
        listeners = self._listeners.setdefault(event, {})
        key = object()
        listeners[key] = listener

        def off() -> None:
            listeners.pop(key, None)

        return off

    def emit(self, event: str, detail: object) -> None:
        """Call all listeners of `event`."""
        for listener in list(self._listeners.get(event, {}).values()):
            try:
                listener(detail)
            except Exception as error:  # noqa: BLE001 - it is reported
                asyncio.get_running_loop().call_exception_handler(
                    {"message": f"a listener to {event!r} failed", "exception": error}
                )
