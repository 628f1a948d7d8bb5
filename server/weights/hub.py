"""Weights from the Hugging Face hub, in the hub library's own cache.

Strategy: `huggingface_hub` says where the file is, how long it is and what it hashes to,
with the user's token, mirror and cache. It would fetch the bytes too, but it cannot resume a
download of a killed process and does not check the hash. So `download` fetches them beside
their place in the cache, and the library then finds the blob there and links it: other programs
see an ordinary cache.

The library's errors are translated here, and only here.
"""

import fcntl
import re
from pathlib import Path
from urllib.parse import urlsplit

import huggingface_hub
from huggingface_hub import constants, errors, file_download, utils

from server.weights.download import DownloadReporter, disk_error, download
from server.weights.errors import WeightsFailed
from server.weights.reporting import Report
from server.weights.shards import parts_of

_SHA256 = re.compile(r"[0-9a-f]{64}")


def fetch_from_hub(repo: str, file: str, revision: str | None, report: Report) -> Path:
    """Return the file's path in the hub's cache, fetched if it is not there.

    Of a model in several files all are fetched, and the first is returned. Raises `WeightsFailed`.
    A cached file is used without asking the hub.
    """
    first, *_ = [_fetch(repo, part, revision, report) for part in parts_of(file)]
    return first


def _fetch(repo: str, file: str, revision: str | None, report: Report) -> Path:
    try:
        cached = huggingface_hub.try_to_load_from_cache(repo, file, revision=revision)
        if isinstance(cached, str):
            report("Files are already present on the host. Skipping download.")
            return Path(cached)
        reporter = DownloadReporter(report, file)
        metadata = file_download.get_hf_file_metadata(
            huggingface_hub.hf_hub_url(repo, file, revision=revision)
        )
        if metadata.etag is None or not _SHA256.fullmatch(metadata.etag):
            raise WeightsFailed(f"the hub gives no SHA-256 for {file} in {repo}")
        _fetch_blob(repo, metadata.etag, metadata.location, reporter)
        path = Path(huggingface_hub.hf_hub_download(repo, file, revision=revision))
    except errors.HFValidationError as error:
        raise WeightsFailed(f"{repo} is not the name of a repository: {error}") from error
    except (errors.HTTPError, OSError) as error:  # type: ignore[attr-defined]
        raise WeightsFailed(_cause(error, repo, file, revision)) from error
    reporter.finish(path)
    return path


def _fetch_blob(repo: str, sha256: str, url: str, reporter: DownloadReporter) -> None:
    folder = file_download.repo_folder_name(repo_id=repo, repo_type="model")
    blob = Path(constants.HF_HUB_CACHE) / folder / "blobs" / sha256
    part = blob.with_name(f"{sha256}.part")
    try:
        blob.parent.mkdir(parents=True, exist_ok=True)
        lock = part.open("ab")
    except OSError as error:
        raise disk_error(error, blob) from error
    with lock:
        # A second process waits here, and then finds the blob in place.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if blob.exists():
            part.unlink(missing_ok=True)
        else:
            download(url, part, sha256, reporter, headers=_headers(url))
            part.replace(blob)


def _headers(url: str) -> dict[str, str]:
    """Return the headers for `url`; the token goes to the hub only, not to where it redirects."""
    headers: dict[str, str] = utils.build_hf_headers()  # type: ignore[attr-defined]
    if urlsplit(url).netloc != urlsplit(constants.ENDPOINT).netloc:
        headers.pop("authorization", None)
    return headers


def _cause(error: Exception, repo: str, file: str, revision: str | None) -> str:
    where = f"{repo} on the hub"
    if isinstance(error, errors.GatedRepoError):
        return f"{where} is gated"
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
