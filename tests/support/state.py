"""A folder for what gateways in the test's own process remember, gone with the process."""

import atexit
import tempfile
from functools import cache
from pathlib import Path


@cache
def state_dir() -> Path:
    """Return the folder, the same for all: each gateway has an instance name of its own."""
    folder = tempfile.TemporaryDirectory(prefix="sidestream-test-")
    atexit.register(folder.cleanup)
    return Path(folder.name)
