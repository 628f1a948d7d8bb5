"""The states of a model server, the events that change them, and the status that clients see.

Strategy: the state machine is data. `TRANSITIONS` maps each state and each event that may happen in
it to the next state; any other event is a bug in the lifecycle, not a fault of the server. The
table in docs/PROJECT_STRUCTURE.md is generated from it.
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


# No event of the server takes a stop back.
_STOPPING: Final[dict[Event, ModelState]] = dict.fromkeys(EVENTS, "stopping")
_COMING_UP: Final = _follow("start", "pull", "load", "ready", "stop", "gone", "fail")

TRANSITIONS: Final[dict[ModelState, dict[Event, ModelState]]] = {
    "stopped": _follow("start"),
    # Room and image come first; the started server may download the weights itself.
    "starting": _COMING_UP,
    "pulling": _COMING_UP,
    "loading": _follow("load", "ready", "stop", "gone", "fail"),
    "ready": _follow("stop", "gone", "fail"),
    "stopping": _STOPPING | _follow("gone", "fail"),
    # An unreachable remote server is probed again without being shown as starting.
    "failed": _follow("start", "load", "ready", "stop", "fail"),
}


def next_state(state: ModelState, event: Event) -> ModelState:
    """Return the next state; log a transition that the table lacks as a bug."""
    follows = TRANSITIONS[state].get(event)
    if follows is None:
        logger.error("bug: a model server that is %s cannot get the event %s", state, event)
        return EVENTS[event][0]
    return follows


@dataclass(frozen=True)
class Status:
    """The state of a deployment, with its progress and its error."""

    state: ModelState = "stopped"
    progress: Progress | None = None
    error: ModelError | None = None
    info: EngineInfo | None = None
    is_outdated: bool = False


def as_sidestream_error(error: Exception) -> SidestreamError:
    """Return an error as a `SidestreamError`."""
    return (
        error if isinstance(error, SidestreamError) else SidestreamError(f"internal error: {error}")
    )


def model_error(error: SidestreamError) -> ModelError:
    """Return an error in the form that clients get with a model."""
    return ModelError(error.code, error.message, error.hint)
