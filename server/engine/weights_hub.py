"""Weights from the Hugging Face hub, in the hub library's own cache.

Strategy: `huggingface_hub` says where the file is, how long it is and what it hashes to,
with the user's token, mirror and cache. It would fetch the bytes too, but it throws away
what it has when it is cut and asks nobody for the hash. So `download` fetches them beside
their place in the cache, and the library then finds its blob there and links it, as if it
had come by itself: other programs see an ordinary cache.

What the library says goes wrong is translated here, and only here.
"""

import fcntl
import re
import time
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import huggingface_hub
from huggingface_hub import constants, errors, file_download, utils

from server.engine.download import Meter, disk_error, download
from server.engine.errors import DownloadFailed
from server.engine.log import EngineLog

_SHA256 = re.compile(r"[0-9a-f]{64}")


def fetch_from_hub(repo: str, file: str, revision: str | None, log: EngineLog) -> Path:
    """Return the file's path in the hub's cache, fetched if it is not there.

    Raises `DownloadFailed`. A cached file is used without asking the hub.
    """
    try:
        cached = huggingface_hub.try_to_load_from_cache(repo, file, revision=revision)
        if isinstance(cached, str):
            log.fact("Files are already present on the host. Skipping download.")
            return Path(cached)
        started = time.monotonic()
        log.fact(f"Download file: {file}")
        metadata = file_download.get_hf_file_metadata(
            huggingface_hub.hf_hub_url(repo, file, revision=revision)
        )
        if metadata.etag is None or not _SHA256.fullmatch(metadata.etag):
            raise DownloadFailed(f"the hub gives no SHA-256 for {file} in {repo}")
        _fetch_blob(repo, metadata.etag, metadata.location, Meter(log, file))
        path = Path(huggingface_hub.hf_hub_download(repo, file, revision=revision))
    except errors.HFValidationError as error:
        raise DownloadFailed(f"{repo} is not the name of a repository: {error}") from error
    except (errors.HTTPError, OSError) as error:  # type: ignore[attr-defined]
        raise DownloadFailed(_cause(error, repo, file, revision)) from error
    elapsed = timedelta(seconds=round(time.monotonic() - started))
    log.fact(f"Downloaded {path} in {elapsed}.")
    return path


def _fetch_blob(repo: str, sha256: str, url: str, meter: Meter) -> None:
    folder = file_download.repo_folder_name(repo_id=repo, repo_type="model")
    blob = Path(constants.HF_HUB_CACHE) / folder / "blobs" / sha256
    part = blob.with_name(f"{sha256}.part")
    try:
        blob.parent.mkdir(parents=True, exist_ok=True)
        lock = part.open("ab")
    except OSError as error:
        raise disk_error(error, blob) from error
    with lock:
        # Whoever comes second waits here, and finds the blob in place.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if blob.exists():
            part.unlink(missing_ok=True)
        else:
            download(url, part, sha256, meter, headers=_headers(url))
            part.replace(blob)


def _headers(url: str) -> dict[str, str]:
    """Return the headers for `url`; the token goes to the hub and to nobody it points to."""
    headers: dict[str, str] = utils.build_hf_headers()  # type: ignore[attr-defined]
    if urlsplit(url).netloc != urlsplit(constants.ENDPOINT).netloc:
        headers.pop("authorization", None)
    return headers


def _cause(error: Exception, repo: str, file: str, revision: str | None) -> str:
    where = f"{repo} on the hub"
    if isinstance(error, errors.GatedRepoError):
        return f"{where} is gated: accept its terms there and set HF_TOKEN to a token of yours"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{where} has no revision {revision!r}"
    if isinstance(error, errors.RemoteEntryNotFoundError):
        return f"{where} has no file {file!r}"
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"{where} does not exist, or is private and HF_TOKEN does not open it"
    if isinstance(error, errors.OfflineModeIsEnabled):
        return f"{file} of {repo} is not in the cache, and HF_HUB_OFFLINE forbids fetching it"
    if isinstance(error, errors.HfHubHTTPError):
        status = error.response.status_code
        if status == 401:
            return f"the hub does not accept the token (HTTP 401) for {repo}"
        return f"the hub answers HTTP {status} for {file} of {repo}"
    return f"the hub cannot be reached for {file} of {repo}: {str(error) or type(error).__name__}"
