"""Fetch one file over HTTP: resumed where it was cut, checked, never half under its name.

Strategy: the bytes go to `NAME.part`. A cut leaves that file, and the next attempt asks
for the rest (`Range`). The expected SHA-256 is known beforehand and guards the whole: parts
of two different files can never pass for one. An attempt that made progress is followed by
another at once, a fruitless one after a growing pause, five in all.
"""

import hashlib
import http.client
import io
import os
import random
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from server.weights.errors import WeightsFailed
from server.weights.reporting import DownloadProgress, Report

_CHUNK_BYTES = 256 * 1024
_SILENCE_SECONDS = 30
_FRUITLESS_ATTEMPTS = 5
_REPORT_SECONDS = 0.25
# Where a certificate bundle is named, in the order in which pip and its like look.
_BUNDLE_VARIABLES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


class DownloadReporter:
    """Report that a download begins, its progress at most four times a second, and its end."""

    def __init__(self, report: Report, name: str) -> None:
        report(f"Download file: {name}")
        self._report = report
        self._name = name
        self._begun = self._started = time.monotonic()
        self._reported = 0.0
        self._start_bytes: int | None = None

    def update(self, done_bytes: int, total_bytes: int | None) -> None:
        """Note how far it is; the first and the last state are always reported."""
        now = time.monotonic()
        is_end = done_bytes == total_bytes
        if self._start_bytes is None:
            self._start_bytes, self._started = done_bytes, now
        elif not is_end and now - self._reported < _REPORT_SECONDS:
            return
        self._reported = now
        progress = DownloadProgress(
            done_bytes, total_bytes, self._eta_seconds(now, done_bytes, total_bytes)
        )
        self._report(progress.describe(self._name), progress=progress)

    def finish(self, path: Path) -> None:
        """Report the file that was fetched, and how long that took."""
        elapsed = timedelta(seconds=round(time.monotonic() - self._begun))
        self._report(f"Downloaded {path} in {elapsed}.")

    def _eta_seconds(self, now: float, done_bytes: int, total_bytes: int | None) -> float | None:
        fetched = done_bytes - (self._start_bytes or 0)
        if total_bytes is None or fetched <= 0:
            return None
        return round((total_bytes - done_bytes) * (now - self._started) / fetched, 1)


def download(
    url: str,
    part: Path,
    sha256: str,
    reporter: DownloadReporter,
    *,
    headers: Mapping[str, str] | None = None,
) -> None:
    """Fetch `url` into `part` until it is whole and its hash is right.

    `headers` go to the host of `url` only, and with no redirection.

    Raises `WeightsFailed`; what has arrived stays for the next time, unless its hash is
    wrong.
    """
    fruitless = 0
    while True:
        before = _size(part)
        problem = _attempt(url, headers or {}, part, reporter)
        if problem is None:
            break
        fruitless = 0 if _size(part) > before else fruitless + 1
        if fruitless >= _FRUITLESS_ATTEMPTS:
            raise WeightsFailed(f"cannot fetch {_shown(url)}: {problem}")
        if fruitless:
            time.sleep(random.uniform(0.5, 1.0) * 0.25 * 2**fruitless)
    with part.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != sha256:
        part.unlink()
        raise WeightsFailed(
            f"{_shown(url)} has SHA-256 {actual}, and the index says {sha256}; nothing is kept"
        )


def disk_error(error: OSError, path: Path) -> WeightsFailed:
    """Return the cause for people of an error while writing `path`."""
    free_bytes = shutil.disk_usage(path.parent).free if path.parent.exists() else 0
    return WeightsFailed(f"cannot write {path}: {error.strerror} ({free_bytes / 1e6:.0f} MB free)")


def _attempt(
    url: str, headers: Mapping[str, str], part: Path, reporter: DownloadReporter
) -> str | None:
    """Fetch what is missing; return what went wrong, or None when nothing is missing."""
    start = _size(part)
    # The address is the package index's or the hub's; a local mirror's may be a file.
    request = urllib.request.Request(url)  # noqa: S310
    for name, value in headers.items():
        request.add_unredirected_header(name, value)
    if start:
        request.add_header("Range", f"bytes={start}-")
    try:
        with urllib.request.urlopen(  # noqa: S310
            request, timeout=_SILENCE_SECONDS, context=_tls()
        ) as response:
            resumes = getattr(response, "status", None) == http.client.PARTIAL_CONTENT
            length = response.headers.get("Content-Length")
            done = start if resumes else 0
            total = done + int(length) if length and length.isdigit() else None
            with _open(part, append=resumes) as file:
                done = _copy(
                    response.read, file, part, lambda size: reporter.update(size, total), done
                )
            if total is not None and done < total:
                return f"the connection ended after {done} of {total} bytes"
            return None
    except urllib.error.HTTPError as error:
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            # All of it is here already, or too much; the hash will tell.
            return None
        if error.code < 500 and error.code not in (408, 429):
            raise WeightsFailed(
                f"cannot fetch {_shown(url)}: HTTP {error.code} {error.reason}"
            ) from error
        return f"HTTP {error.code} {error.reason}"
    except urllib.error.URLError as error:
        return str(error.reason)
    except (http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError) as error:
        return str(error) or type(error).__name__


def _copy(
    read: Callable[[int], bytes],
    file: io.FileIO,
    part: Path,
    report: Callable[[int], None],
    done: int,
) -> int:
    report(done)
    while chunk := read(_CHUNK_BYTES):
        try:
            file.write(chunk)
        except OSError as error:
            raise disk_error(error, part) from error
        done += len(chunk)
        report(done)
    return done


def _open(part: Path, *, append: bool) -> io.FileIO:
    try:
        # Unbuffered: what has arrived is on disk when the process is killed.
        return part.open("ab" if append else "wb", buffering=0)
    except OSError as error:
        raise disk_error(error, part) from error


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _tls() -> ssl.SSLContext:
    bundle = next((os.environ[name] for name in _BUNDLE_VARIABLES if os.environ.get(name)), None)
    return ssl.create_default_context(cafile=bundle)


def _shown(url: str) -> str:
    """Return the address without credentials, which an index's address may hold."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()
