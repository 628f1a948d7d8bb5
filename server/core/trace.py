"""Trace ids: from a request into the log, and on to model servers.

The trace is a context variable that is set where a request comes in; tasks that are created from
there inherit it.
"""

import re
import secrets
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

REQUEST_ID_HEADER: Final = "X-Request-Id"
# W3C Trace Context, level 1, 3.2.
TRACEPARENT_HEADER: Final = "traceparent"

# Long enough for common ids, without characters that mean something to readers of logs.
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+=-]{0,127}")
# Ids of zeros alone are invalid, and so is version ff; later versions may say more at the end.
_TRACEPARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[!-~]{1,200})?"
)


@dataclass(frozen=True)
class Trace:
    """The id of a request, and the W3C trace that it is part of."""

    request_id: str = ""
    traceparent: str = ""

    @property
    def trace_id(self) -> str:
        """Return the id of the whole trace, empty if there is none."""
        return self.traceparent.split("-")[1] if self.traceparent else ""


_NO_TRACE: Final = Trace()
_current: Final[ContextVar[Trace]] = ContextVar("trace", default=_NO_TRACE)


def current() -> Trace:
    """Return the trace of the running task; an empty one if it has none."""
    return _current.get()


def enter(trace: Trace) -> None:
    """Set the trace of the running task and of the tasks that it creates from now on."""
    _current.set(trace)


def read_trace(request_id: str | None, traceparent: str | None) -> Trace:
    """Make a trace from a request's headers; a missing or malformed id is replaced."""
    if request_id is None or not _REQUEST_ID.fullmatch(request_id):
        request_id = secrets.token_hex(8)
    if traceparent is None or not _TRACEPARENT.fullmatch(traceparent):
        traceparent = ""
    return Trace(request_id, traceparent)
