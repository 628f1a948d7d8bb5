"""Causes known without the log: from the exit code, the signal and the container engine."""

from typing import Final

from server.engines.cause import Cause

OUT_OF_MEMORY: Final = Cause(
    "out_of_memory",
    "the model server took more memory than it may have and was killed",
    "raise `memory` in the model's section, free memory on the machine, or take a smaller model",
)
KILLED: Final = Cause(
    "killed",
    "the model server was killed (signal 9), most likely for memory",
    "`dmesg` tells if the machine ran out of memory: free some, or take a smaller model; if "
    "somebody killed it, start it again",
)
KILLED_BY_SOMEBODY: Final = Cause(
    "killed", "the model server was killed by somebody else", "start it again"
)
STOPPED: Final = Cause(
    "stopped_by_somebody", "the model server was stopped by somebody else", "start it again"
)
# TGI exits like this when it is asked to, and so does a program that is no server.
ENDED: Final = Cause(
    "stopped_by_somebody",
    "the model server ended without an error, as when somebody else stops it",
    "start it again; if it ends by itself, see its log and whether it is a model server",
)
WENT_AWAY: Final = Cause(
    "went_into_the_background",
    "the command ended while something that it had started went on; that was killed",
    "have the server stay in the foreground: without `&`, nohup or an option that makes it a "
    "daemon, and in a script with `exec` before its command",
)
CRASHED_WHILE_SERVING: Final = Cause(
    "crashed_while_serving",
    "the model server crashed while it served",
    "the last lines say why; TGI ends after any error in its model code",
)
MISSING_SHM: Final = Cause(
    "missing_shm",
    "the model server was killed (signal 7), most likely for want of shared memory",
    "raise `shm_size` in the model's section",
)
