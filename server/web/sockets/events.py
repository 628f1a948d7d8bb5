"""All events of the WebSocket, for its documentation: those of the core, and those of runs."""

from typing import Final

from server.core import protocol
from server.runs.events import RUN_EVENTS

EVENTS: Final[tuple[type[protocol.Event], ...]] = (*protocol.EVENTS, *RUN_EVENTS)
