"""Where a wheel is, asked of pip: the quick way first, the documented way else."""

import subprocess
import sys

import msgspec

from server.engine import pip_locate
from server.engine.errors import DownloadFailed

# pip gives up by itself long before, unless it has to fetch the wheel to tell where it is.
_PIP_SECONDS = 900


class Wheel(msgspec.Struct, frozen=True):
    """One wheel in the package index."""

    url: str
    sha256: str
    version: str


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


def find_wheel(name: str, version: str | None) -> Wheel:
    """Return the wheel pip would install. Raises `DownloadFailed`."""
    asked = ["-m", pip_locate.__name__, name, *([version] if version else [])]
    done = _run(asked)
    if done.returncode == pip_locate.ANOTHER_PIP:
        return find_wheel_by_report(name, version)
    _check(done, name)
    try:
        return msgspec.json.decode(done.stdout, type=Wheel)
    except msgspec.DecodeError as error:
        raise DownloadFailed(f"pip's answer about {name} cannot be read: {error}") from error


def find_wheel_by_report(name: str, version: str | None) -> Wheel:
    """Return the same by a dry run of `pip install`, which fetches the wheel to find out.

    Raises `DownloadFailed`.
    """
    options = "--dry-run --no-deps --ignore-installed --only-binary :all: --no-input --quiet"
    wanted = f"{name}=={version}" if version else name
    done = _run(["-m", "pip", "install", *options.split(), "--report", "-", wanted])
    _check(done, name)
    try:
        (install,) = msgspec.json.decode(done.stdout, type=_Report).install
        sha256 = install.download_info.archive_info.hashes["sha256"]
    except (msgspec.DecodeError, ValueError, KeyError) as error:
        raise DownloadFailed(f"pip's report on {name} cannot be read: {error}") from error
    return Wheel(install.download_info.url, sha256, install.metadata.version)


def _run(arguments: list[str]) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, *arguments]
    try:
        return subprocess.run(command, capture_output=True, timeout=_PIP_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise DownloadFailed(f"pip said nothing for {_PIP_SECONDS} s") from error


def _check(done: subprocess.CompletedProcess[bytes], name: str) -> None:
    if done.returncode == 0:
        return
    lines = done.stderr.decode(errors="replace").splitlines()
    unreached = [line for line in lines if "Retrying" in line]
    if unreached:
        reason = unreached[-1].partition("connection broken by ")[2] or unreached[-1]
        raise DownloadFailed(f"the package index cannot be reached for {name}: {reason}")
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    reason = " ".join(errors or lines[-1:]) or "no reason given"
    raise DownloadFailed(f"pip cannot find {name}: {reason}")
