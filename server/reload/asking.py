"""Ask the running gateway to reload its settings, and read its report."""

import os
import select
import signal
import time
from typing import Final

import msgspec

from server.instance import InstanceLock
from server.reload.reloader import Reloaded, report_pipe
from server.settings.tables import Settings

# Reading the settings takes milliseconds; a gateway that is starting does not listen yet.
TIMEOUT_SECONDS: Final = 15.0
_MAX_REPORT_BYTES: Final = 1 << 20


def running_gateway(settings: Settings) -> int | None:
    """Return the id of the process that holds the instance's lock, None if there is none."""
    lock = InstanceLock(settings.server.state_dir.expanduser(), settings.server.instance)
    return None if lock.is_free() else lock.holder()


def ask_to_reload(pid: int, settings: Settings) -> Reloaded | None:
    """Send SIGHUP to the gateway and return its report; None if none comes in time."""
    pipe = report_pipe(settings.server.state_dir, settings.server.instance)
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe, 0o600)
    try:
        # Open before the signal, or there would be no reader for the report.
        with os.fdopen(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as reader:
            os.kill(pid, signal.SIGHUP)
            deadline = time.monotonic() + TIMEOUT_SECONDS
            said = b""
            while select.select([reader], [], [], max(deadline - time.monotonic(), 0))[0]:
                part = reader.read(_MAX_REPORT_BYTES)
                if not part:
                    return msgspec.json.decode(said, type=Reloaded)
                said += part
    finally:
        pipe.unlink(missing_ok=True)
    return None
