"""The states of a model server, the events that change them, and the status that clients see.

Strategy: the state machine is data. `TRANSITIONS` says for each state which events may happen and
which state follows; an event that it lacks is a bug in the lifecycle, not a matter of the server.
docs/PROJECT_STRUCTURE.md shows the table, generated from here.
"""

import logging
from dataclasses import dataclass
from typing import Final, Literal

from server.core.errors import SidestreamError
from server.core.protocol import ModelError, ModelState, Progress
from server.dialects.base import EngineInfo

logger = logging.getLogger(__name__)

Event = Literal["start", "pull", "load", "ready", "stop", "gone", "fail"]

EVENTS: Final[dict[Event, tuple[ModelState, str]]] = {
    "start": ("starting", "an attempt begins, waits for room, or starts the program"),
    "pull": ("pulling", "an image or weights are being fetched"),
    "load": ("loading", "the server loads its model or warms up"),
    "ready": ("ready", "the server is healthy"),
    "stop": ("stopping", "a stop is requested, or what is left of the server is removed"),
    "gone": ("stopped", "nothing is left of the server, and that was wanted"),
    "fail": ("failed", "nothing is left of the server, and that was not wanted"),
}
"""The state that each event leads to, and what it means."""


def _follow(*events: Event) -> dict[Event, ModelState]:
    return {event: EVENTS[event][0] for event in events}


# A stop is not taken back by what the server still does.
_STOPPING: Final[dict[Event, ModelState]] = dict.fromkeys(EVENTS, "stopping")
_COMING_UP: Final = _follow("start", "pull", "load", "ready", "stop", "gone", "fail")

TRANSITIONS: Final[dict[ModelState, dict[Event, ModelState]]] = {
    "stopped": _follow("start"),
    # Room and image come first, weights may be fetched by the server that was started.
    "starting": _COMING_UP,
    "pulling": _COMING_UP,
    "loading": _follow("load", "ready", "stop", "gone", "fail"),
    "ready": _follow("stop", "gone", "fail"),
    "stopping": _STOPPING | _follow("gone", "fail"),
    # A remote server that is away is probed again without being shown as starting.
    "failed": _follow("start", "load", "ready", "stop", "fail"),
}


def next_state(state: ModelState, event: Event) -> ModelState:
    """Return the state that follows; a transition that the table lacks is logged as a bug."""
    follows = TRANSITIONS[state].get(event)
    if follows is None:
        logger.error("bug: a model server that is %s cannot get the event %s", state, event)
        return EVENTS[event][0]
    return follows


@dataclass(frozen=True)
class Status:
    """The state of a deployment with what belongs to it."""

    state: ModelState = "stopped"
    progress: Progress | None = None
    error: ModelError | None = None
    info: EngineInfo | None = None
    is_outdated: bool = False


def as_sidestream_error(error: Exception) -> SidestreamError:
    """Return an error as one of our own tree."""
    return (
        error if isinstance(error, SidestreamError) else SidestreamError(f"internal error: {error}")
    )


def model_error(error: SidestreamError) -> ModelError:
    """Return an error in the form in which clients see it on a model."""
    return ModelError(error.code, error.message, error.hint)
