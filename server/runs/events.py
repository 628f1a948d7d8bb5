"""What the WebSocket tells of runs."""

from typing import Final

from server.core.protocol import Event, Key
from server.runs.shapes import Run


class RunChanged(Event, frozen=True, tag="run"):
    """Replace what the client knows of a run that it follows."""

    run: Run


class RunRemoved(Event, frozen=True, tag="run_removed"):
    """Say that a run that the client follows was deleted; nothing of it follows."""

    run: Key


RUN_EVENTS: Final[tuple[type[Event], ...]] = (RunChanged, RunRemoved)
