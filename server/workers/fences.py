"""What every worker process does: give up what it does not need, then answer frames.

Imports the standard library only. The fences are the system's, set for good before the first
request: no file, socket or pipe can be opened, memory is bounded (where the system allows), no core
is written; and a timer that nobody handles ends the process when one request takes too long. The
timer counts the processor's time, so that a busy machine fails nothing.
"""

import contextlib
import json
import resource
import signal
import struct
import sys
from collections.abc import Callable
from typing import Any, Final

FRAME: Final = struct.Struct(">I")
OUT_OF_TIME: Final = -signal.SIGPROF
"""The exit status of a worker that its timer ended."""
_MEMORY_BYTES: Final = 768 * 1024 * 1024


def arguments() -> list[str]:
    """Return what `WorkerProcess.start` was given beside the module."""
    return sys.argv[3:]


def close_doors() -> None:
    """Give up for good what work on a request does not need."""
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    with contextlib.suppress(ValueError, OSError):  # macOS has no such limit.
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))


def serve(answer: Callable[[Any], Any], seconds: float) -> None:
    """Answer frames, each within so many seconds of work, until the input ends."""
    close_doors()
    while header := sys.stdin.buffer.read(FRAME.size):
        request = json.loads(sys.stdin.buffer.read(FRAME.unpack(header)[0]))
        signal.setitimer(signal.ITIMER_PROF, seconds)
        body = json.dumps(answer(request)).encode()
        signal.setitimer(signal.ITIMER_PROF, 0)
        sys.stdout.buffer.write(FRAME.pack(len(body)) + body)
        sys.stdout.buffer.flush()
