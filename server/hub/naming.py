"""What people write to name a model that is to be added: of the hub, at a server, or in a file.

    hf:OWNER/REPO[/FILE.gguf][@REVISION]    OWNER/REPO[:QUANTIZATION]
    https://huggingface.co/OWNER/REPO[/blob/REVISION/FILE.gguf]
    http://HOST:PORT                        a server
    /PATH/FILE.gguf, ./FILE.gguf            a file of this machine

Rules:

1. The form of a name alone tells its kind; nothing on the machine is read.
2. A name has no part that leads out of where it stands (`..`), and no blanks.
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from server.core.errors import InvalidCommand

_HUBS: Final = frozenset({"huggingface.co", "www.huggingface.co", "hf.co"})
# The hub's own rule for names, which have neither `--` nor `..` in them.
_PART: Final = r"(?!.*(?:--|\.\.))[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
_REPO: Final = re.compile(rf"({_PART})/({_PART})")
_FILE: Final = re.compile(r"[^\s@\\\x00-\x1f\x7f]+\.gguf", re.IGNORECASE)
_REVISION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}")
_QUANTIZATION: Final = re.compile(r"[A-Za-z0-9._-]{1,40}")
# Addresses of a repository's page, by the word behind its name.
_VIEWS: Final = frozenset({"blob", "resolve", "raw", "tree"})
_SERVER: Final = re.compile(r"(localhost|[\w.-]+:\d+|\[[0-9A-Fa-f:.]+\](:\d+)?)(/.*)?")
_MOST_CHARACTERS: Final = 500
_HINT: Final = (
    "name a model of the hub as hf:OWNER/REPO or hf:OWNER/REPO/FILE.gguf, or a server by its "
    "address, such as http://gpu-box:8000"
)


@dataclass(frozen=True)
class HubModel:
    """A repository of the hub, and as far as it was said the file, quantization and revision."""

    repo: str
    file: str = ""
    revision: str = ""
    quantization: str = ""

    def weights(self, file: str) -> str:
        """Return how `weights` in the settings names a file of it."""
        return f"hf:{self.repo}/{file}" + (f"@{self.revision}" if self.revision else "")


@dataclass(frozen=True)
class ServerAddress:
    """The address of a model server, as it was written."""

    url: str


@dataclass(frozen=True)
class FilePath:
    """The path of a file on this machine, as it was written."""

    path: str


Named = HubModel | ServerAddress | FilePath


def read_name(text: str, *, endpoint: str = "") -> Named:
    """Return what is named; raises `InvalidCommand` that says what was expected.

    `endpoint` is the hub's address where it is another than usual.
    """
    text = text.strip().strip("<>\"'`").strip()
    if not text or len(text) > _MOST_CHARACTERS or not text.isprintable():
        raise InvalidCommand("this names no model", hint=_HINT)
    if text.startswith("hf:"):
        return _hub_model(text.removeprefix("hf:").lstrip("/"), text)
    scheme, is_address, rest = text.partition("://")
    if not is_address and rest == "" and text.partition("/")[0].lower() in _HUBS:
        scheme, is_address, rest = "https", "://", text
    if is_address:
        return _at_address(f"{scheme}://{rest}", endpoint)
    if re.match(r"/|~|\.{1,2}/|\\|[A-Za-z]:\\|file:", text):
        return FilePath(text)
    if _SERVER.fullmatch(text):
        return ServerAddress(text)
    return _hub_model(text, text)


def is_file_of_repo(name: str) -> bool:
    """Tell whether a file of a repository may be named so in the settings."""
    parts = name.split("/")
    return _FILE.fullmatch(name) is not None and not {"", ".", ".."} & set(parts)


def _at_address(text: str, endpoint: str) -> Named:
    try:
        parts = urlsplit(text)
        # Of a hub, its port is part of who it is; of the usual one it is none.
        place, hub = parts.netloc.lower(), urlsplit(endpoint).netloc.lower()
    except ValueError:
        raise _refused(text) from None
    if parts.scheme not in {"http", "https"}:
        raise _refused(text)
    if place not in _HUBS and (not hub or place != hub):
        return ServerAddress(text)
    names = [unquote(part) for part in parts.path.split("/") if part]
    repo, rest = "/".join(names[:2]), names[2:]
    revision, file = "", ""
    if rest and rest[0] in _VIEWS:
        revision, file = "".join(rest[1:2]), "/".join(rest[2:])
        # A folder of files says nothing of which.
        file = file if file.lower().endswith(".gguf") else ""
    file = file or parse_qs(parts.query).get("show_file_info", [""])[0]
    revision = "" if revision == "main" else revision
    return _checked(HubModel(*_repo_and_quantization(repo, text, file, revision)), text)


def _hub_model(name: str, text: str) -> HubModel:
    name, _, revision = name.partition("@")
    parts = name.split("/")
    repo, file = "/".join(parts[:2]), "/".join(parts[2:])
    if "@" in text and not revision:
        raise _refused(text)
    return _checked(HubModel(*_repo_and_quantization(repo, text, file, revision)), text)


def _repo_and_quantization(
    repo: str, text: str, file: str, revision: str
) -> tuple[str, str, str, str]:
    repo, colon, quantization = repo.partition(":")
    if colon and (not _QUANTIZATION.fullmatch(quantization) or file):
        raise _refused(text)
    return repo, file, revision, quantization


def _checked(model: HubModel, text: str) -> HubModel:
    if not _REPO.fullmatch(model.repo):
        raise _refused(text)
    if model.file and not is_file_of_repo(model.file):
        raise InvalidCommand(f"{model.file[:80]!r} is not the name of a .gguf file", hint=_HINT)
    if model.revision and (not _REVISION.fullmatch(model.revision) or ".." in model.revision):
        raise InvalidCommand(f"{model.revision[:80]!r} is not a revision", hint=_HINT)
    return model


def _refused(text: str) -> InvalidCommand:
    return InvalidCommand(f"{text[:80]!r} names no model", hint=_HINT)
