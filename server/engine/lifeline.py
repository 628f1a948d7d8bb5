"""Die with the parent, whatever the engine is doing just then.

Strategy: the parent keeps the write end of a pipe open and passes the read end. When the
parent goes, for whatever reason, the kernel closes its end and the read returns nothing.
A thread waits for that and leaves without asking anybody.

Loading the model holds the interpreter for its whole duration, so the thread cannot run
then. On Linux the kernel also kills the process when the thread that started it ends
(`PR_SET_PDEATHSIG`), which covers that time; elsewhere the engine goes as soon as the
loading is over, a few seconds at most.
"""

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1  # <sys/prctl.h>


def watch(lifeline_fd: int, before_exit: Callable[[], None]) -> None:
    """End this process as soon as the pipe behind `lifeline_fd` reaches its end.

    `before_exit` runs first and must be quick. Raises OSError when `lifeline_fd` is not an
    open descriptor.
    """
    os.fstat(lifeline_fd)
    os.set_inheritable(lifeline_fd, False)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    def wait() -> None:
        while True:
            try:
                if not os.read(lifeline_fd, 4096):
                    break
            except OSError:
                break
        try:
            before_exit()
        finally:
            os._exit(1)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()
