"""Listeners by the name of what they listen to."""

import asyncio
from collections.abc import Callable
from typing import Any

Off = Callable[[], None]


class Emitter:
    """Tell listeners of events, in the order they came.

    A listener that raises keeps neither the others nor the caller from going on: its error
    goes to the event loop's exception handler.
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
        """Tell all who listen to `event` now."""
        for listener in list(self._listeners.get(event, {}).values()):
            try:
                listener(detail)
            except Exception as error:  # noqa: BLE001 - it is reported, to whom it belongs
                asyncio.get_running_loop().call_exception_handler(
                    {"message": f"a listener to {event!r} failed", "exception": error}
                )
