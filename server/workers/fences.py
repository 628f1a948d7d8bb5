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
    while (frame := read_frame()) is not None:
        limit_time(seconds)
        body = json.dumps(answer(json.loads(frame))).encode()
        limit_time(0)
        write_frame(body)


def limit_time(seconds: float) -> None:
    """End the process, with `OUT_OF_TIME`, after so many seconds of work; 0 ends the limit."""
    signal.setitimer(signal.ITIMER_PROF, seconds)


def read_frame() -> bytes | None:
    """Return the next frame that is asked with, None once the input has ended."""
    header = sys.stdin.buffer.read(FRAME.size)
    return sys.stdin.buffer.read(FRAME.unpack(header)[0]) if header else None


def write_frame(body: bytes) -> None:
    """Answer with a frame; waits while what came before is not read."""
    sys.stdout.buffer.write(FRAME.pack(len(body)) + body)
    sys.stdout.buffer.flush()
