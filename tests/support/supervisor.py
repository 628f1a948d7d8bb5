"""Run a program so that none of its processes outlives the caller.

`python -I -S supervisor.py FOLDER COMMAND...` starts the command with its output in FOLDER/log,
writes its process id on a line, and when it has ended its exit code on another (negative for a
signal). At the end of standard input, also if the parent dies, all processes that the command has
started are killed, in whatever group or session, and the folder is removed.

On Linux orphans become children of the supervisor, so that it finds them all; elsewhere it kills
the command's process group.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36  # <sys/prctl.h>
# Between two rounds of killing: what was killed may have started something in the meantime.
_ROUND_SECONDS = 0.02


def descendants(pid: int) -> dict[int, str]:
    """Return the living processes below one, nearest first, each with its command line."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text(errors="replace").rpartition(")")[2].split()[:2]
        except OSError:  # It has ended in between.
            continue
        if state != "Z":
            parents.setdefault(int(parent), []).append(int(stat.parent.name))
    found: dict[int, str] = {}
    nearest = list(parents.get(pid, ()))
    while nearest:
        child = nearest.pop(0)
        nearest += parents.get(child, ())
        try:
            command = Path(f"/proc/{child}/cmdline").read_bytes()
        except OSError:
            continue
        found[child] = command.replace(b"\0", b" ").decode(errors="replace").strip()
    return found


def main() -> int:
    folder, *command = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    with Path(folder, "log").open("ab") as output:
        child = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
    print(child.pid, flush=True)
    threading.Thread(target=_kill_at_end_of_input, args=(child.pid,), daemon=True).start()
    while True:
        try:
            pid, status = os.waitpid(-1, 0)
        except ChildProcessError:
            # Nothing runs any more; a parent that lives may still want to know.
            sys.stdin.buffer.read()
            shutil.rmtree(folder, ignore_errors=True)
            return 0
        if pid == child.pid:
            try:
                print(os.waitstatus_to_exitcode(status), flush=True)
            except OSError:  # The parent is gone.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _kill_at_end_of_input(pid: int) -> None:
    while os.read(0, 4096):
        pass
    while True:
        for victim in descendants(os.getpid()) if sys.platform == "linux" else (-pid,):
            try:
                os.kill(victim, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(_ROUND_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
