"""Run one program so that none of its processes outlives the gateway: `python -I -S supervisor.py`.

It reads the gateway's messages from standard input and answers on standard output:

    in    a line of JSON first: {"command": […], "environment": {…}}, and where the program has an
          input and an output of its own "input" and "output": file descriptors
          `t`    ask the program and all of its group to end (SIGTERM)
          end    kill the program and everything that it has started
    out   lines of JSON: {"pid": …} or {"error": "…"} first; when the program has ended
          {"code": …, "left": …}, its exit code (negative: the signal) and how many processes
          went on after it; those are killed

Rules:

1. When the gateway dies, the kernel closes its end of the pipe, and everything is killed. When the
   supervisor is killed, the kernel kills the program (Linux, `PR_SET_PDEATHSIG`).
2. On Linux orphans become children of the supervisor, so that it finds every descendant of the
   program, in any group or session; elsewhere it kills the program's process group.
3. Signals do not end the supervisor: it ends when the program has ended.
4. It imports only basic modules of the standard library, and none of the gateway: there is one
   supervisor for each model, and it has to start in milliseconds.

The program's output goes directly to the gateway: it is the supervisor's standard error, unless it
has one of its own.
"""

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time

_IS_LINUX = sys.platform == "linux"
_PR_SET_PDEATHSIG = 1  # <sys/prctl.h>
_PR_SET_CHILD_SUBREAPER = 36  # <sys/prctl.h>
# The pause between two rounds of killing; a process may start another one before it is killed.
_ROUND_SECONDS = 0.01
# The time that processes which end together with the program may need.
_SETTLE_SECONDS = 0.2
_TERMINATE = b"t"


def main() -> int:
    """Run the program that standard input names, until it and its descendants have ended."""
    wakened, waking = os.pipe()
    os.set_blocking(waking, False)
    signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
    # Handlers that do nothing, because the program would inherit ignored signals.
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    if _IS_LINUX:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    # Keep the reference: a Popen that is collected reaps its process, and the exit code is lost.
    started = _start(_read_line())
    if started is None:
        return 1
    pid = started.pid
    was_asked = False
    while True:
        ready, _, _ = select.select([0, wakened], [], [])
        if wakened in ready:
            os.read(wakened, 4096)
            code = _reap(pid)
            if code is not None:
                _say(code=code, left=_left_behind(pid, code=code, was_asked=was_asked))
                break
        if 0 in ready:
            words = os.read(0, 4096)
            if not words:
                break
            if _TERMINATE in words:
                was_asked = True
                _signal_group(pid, signal.SIGTERM)
    code = _kill_all(pid)
    if code is not None:
        _say(code=code, left=0)
    return 0


def _start(order: str) -> "subprocess.Popen[bytes] | None":
    """Start the program; return None if it cannot be executed."""
    if not order:
        return None
    wanted = json.loads(order)
    libc = ctypes.CDLL(None) if _IS_LINUX else None

    def before() -> None:
        if libc is not None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    try:
        started = subprocess.Popen(
            wanted["command"],
            env=wanted["environment"],
            stdin=wanted.get("input", subprocess.DEVNULL),
            stdout=wanted.get("output", 2),
            stderr=2,
            start_new_session=True,
            preexec_fn=before,  # noqa: PLW1509  there is one thread here
        )
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        _say(error=getattr(error, "strerror", None) or str(error))
        return None
    finally:
        # Whoever is at their other ends is to see when the program closes them.
        for name in ("input", "output"):
            if name in wanted:
                os.close(wanted[name])
    _say(pid=started.pid)
    return started


def _read_line() -> str:
    """Read the first line of the input and nothing after it; empty at the end of the input."""
    line = bytearray()
    while not line.endswith(b"\n"):
        piece = os.read(0, 1)
        if not piece:
            return ""
        line += piece
    return line.decode()


def _say(**words: object) -> None:
    try:
        os.write(1, json.dumps(words).encode() + b"\n")
    except OSError:
        # The gateway is gone; the caller kills everything in any case.
        return


def _reap(program: int) -> int | None:
    """Reap all children that have ended; return the program's exit code if it is among them."""
    code = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if pid == 0:
            return code
        if pid == program:
            code = os.waitstatus_to_exitcode(status)


def _left_behind(program: int, *, code: int, was_asked: bool) -> int:
    """Return how many processes outlive a program that ended by itself with code 0."""
    end = time.monotonic() + _SETTLE_SECONDS
    while not (code or was_asked) and time.monotonic() < end and _living(program):
        _reap(program)
        time.sleep(_ROUND_SECONDS)
    return 0 if was_asked else len(_living(program))


def _kill_all(program: int) -> int | None:
    """Kill everything and return when it is gone, with the program's exit code if it is known."""
    code = None
    beyond_us: set[int] = set()
    while True:
        living = _living(program) - beyond_us
        # After looking, so that every process that was found dead is reaped.
        reaped = _reap(program)
        code = code if reaped is None else reaped
        if not living:
            return code
        for pid in living:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            except PermissionError:
                # It belongs to another user, as with `sudo`.
                beyond_us.add(pid)
        time.sleep(_ROUND_SECONDS)


def _living(program: int) -> set[int]:
    """Return the ids of the program's processes; for a process group its negative id."""
    if _IS_LINUX:
        return _descendants()
    try:
        os.killpg(program, 0)
    except (ProcessLookupError, PermissionError):
        return set()
    return {-program}


def _descendants() -> set[int]:
    """Return all processes below this one except zombies."""
    children: dict[int, list[int]] = {}
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            with open(f"{entry.path}/stat", "rb") as file:  # noqa: PTH123  pathlib is slow to load
                # The name in brackets may have any characters, also brackets.
                stat = file.read().rpartition(b")")[2].split()
        except OSError:  # It has ended in between.
            continue
        if stat[0] != b"Z":
            children.setdefault(int(stat[1]), []).append(int(entry.name))
    found: set[int] = set()
    nearest = list(children.get(os.getpid(), ()))
    while nearest:
        pid = nearest.pop()
        found.add(pid)
        nearest += children.get(pid, ())
    return found


def _signal_group(program: int, number: int) -> None:
    try:
        os.killpg(program, number)
    except (ProcessLookupError, PermissionError):
        return


if __name__ == "__main__":
    sys.exit(main())
