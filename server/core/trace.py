"""For whom something is done: ids that go from a request into the log, and on to model servers.

A trace is set where a request comes in. What is begun from there, tasks included, has it too,
without anybody handing it on.
"""

import re
import secrets
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

REQUEST_ID_HEADER: Final = "X-Request-Id"
# W3C Trace Context, level 1, 3.2.
TRACEPARENT_HEADER: Final = "traceparent"

# Long enough for anybody's ids, and nothing in them that means something to a log's reader.
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+=-]{0,127}")
# Ids of zeros alone are invalid, and so is version ff; later versions may say more at the end.
_TRACEPARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[!-~]{1,200})?"
)


@dataclass(frozen=True)
class Trace:
    """Name a request, and the trace of somebody else's that it is part of."""

    request_id: str = ""
    traceparent: str = ""

    @property
    def trace_id(self) -> str:
        """Return the id of the whole trace, empty if there is none."""
        return self.traceparent.split("-")[1] if self.traceparent else ""


_NOBODY: Final = Trace()
_current: Final[ContextVar[Trace]] = ContextVar("trace", default=_NOBODY)


def current() -> Trace:
    """Return for whom the present task works; an empty trace if for nobody in particular."""
    return _current.get()


def enter(trace: Trace) -> None:
    """Have the present task, and what it begins from now on, work for `trace`."""
    _current.set(trace)


def read_trace(request_id: str | None, traceparent: str | None) -> Trace:
    """Make a trace from a request's headers: a wrong one counts as none, and an id is made."""
    if request_id is None or not _REQUEST_ID.fullmatch(request_id):
        request_id = secrets.token_hex(8)
    if traceparent is None or not _TRACEPARENT.fullmatch(traceparent):
        traceparent = ""
    return Trace(request_id, traceparent)
