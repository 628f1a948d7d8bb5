"""Find a model's own chat template in the Hugging Face cache that its server reads.

TGI reads templates from three JSON files and never `chat_template.jinja`, where they have been
since 2025. The cache's layout is `models--OWNER--NAME/{refs/REVISION,snapshots/COMMIT/FILE}`, each
file a link into `blobs` beside them.

A model's name and revision come from a server, and links from the programs that filled the cache:
invalid names are refused, and only files within the model's own folder are read.
"""

import re
from pathlib import Path
from typing import Any, Final

import msgspec

from server.dialects.tgi.templates import Template

MAX_TEMPLATE_BYTES: Final = 1024 * 1024
"""The longest of real templates has 50 KB."""
# A list of special tokens for each of 260,000 entries has 50 MB; usual ones have 1.
_MAX_CONFIG_BYTES: Final = 64 * 1024 * 1024

_MODEL: Final = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._-]*/)?[A-Za-z0-9][A-Za-z0-9._-]*")
_REVISION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_TOKEN_NAME: Final = re.compile(r"[a-z]+_token")


def find_template(cache: Path, model: str, revision: str = "") -> Template | None:
    """Return a model's `chat_template.jinja` with its special tokens, None where there is none.

    `cache` is the folder that holds `models--…`. Reads files, so it belongs into a thread; what
    cannot be read, is too large or is no text counts as not there.
    """
    text = _read_of(cache, model, revision, "chat_template.jinja", MAX_TEMPLATE_BYTES)
    return Template(text, find_tokens(cache, model, revision)) if text else None


def find_tokens(cache: Path, model: str, revision: str = "") -> dict[str, str]:
    """Return a model's special tokens by names such as `bos_token`, as `find_template` finds them.

    `tokenizer_config.json` has them as text, or as an object with the text.
    """
    config = _read_of(cache, model, revision, "tokenizer_config.json", _MAX_CONFIG_BYTES)
    try:
        values = msgspec.json.decode(config or "{}", type=dict[str, Any])
    except msgspec.DecodeError:
        return {}
    tokens: dict[str, str] = {}
    for name, value in values.items():
        text = value.get("content") if isinstance(value, dict) else value
        if _TOKEN_NAME.fullmatch(name) and isinstance(text, str):
            tokens[name] = text
    return tokens


def _read_of(cache: Path, model: str, revision: str, name: str, max_bytes: int) -> str | None:
    if not _MODEL.fullmatch(model) or not _REVISION.fullmatch(revision or "main"):
        return None
    folder = cache / ("models--" + model.replace("/", "--"))
    snapshot = _snapshot(folder, revision)
    return _read(folder, snapshot / name, max_bytes) if snapshot else None


def _snapshot(folder: Path, revision: str) -> Path | None:
    snapshots = folder / "snapshots"
    if revision and "/" not in revision and (snapshots / revision).is_dir():
        return snapshots / revision
    commit = (_read(folder, folder / "refs" / (revision or "main"), 1024) or "").strip()
    if _REVISION.fullmatch(commit) and "/" not in commit:
        return snapshots / commit
    if revision:
        return None
    # A cache that was copied or filled by hand may have no name for its only snapshot.
    try:
        found = [entry for entry in snapshots.iterdir() if entry.is_dir()]
    except OSError:
        return None
    return found[0] if len(found) == 1 else None


def _read(folder: Path, path: Path, max_bytes: int) -> str | None:
    try:
        if not path.is_file() or not path.resolve().is_relative_to(folder.resolve()):
            return None
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
        return data.decode() if len(data) <= max_bytes else None
    except (OSError, UnicodeDecodeError):
        return None
