"""Ask the hub what a repository has, without fetching any of it.

Rules:

1. The hub is that of the operator's environment, as for fetching: HF_ENDPOINT, HF_TOKEN and the
   token file, HF_HUB_OFFLINE, and the variables that name a proxy.
2. Every answer has a limit of time and size; no answer or an invalid one is an error in
   words. What it says is checked before it is used.
3. The token goes to the hub only, not to where it redirects.
"""

import asyncio
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import aiohttp
import msgspec
from yarl import URL

from server import __version__
from server.hub.errors import (
    GatedRepository,
    HubError,
    HubUnreachable,
    NoGGUF,
    UnknownRepository,
)
from server.hub.naming import HubModel
from server.hub.variants import RepoFile, Variant, find_variants
from server.weights.errors import NotGGUF
from server.weights.gguf import read_beginning

ASK_SECONDS: Final = 20.0
_CONNECT_SECONDS: Final = 10.0
# A repository of a thousand files is told in less than 1 MB.
_MAX_LIST_BYTES: Final = 32 << 20
# All that is asked for stands before the vocabulary.
_HEAD_BYTES: Final = 256 << 10
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_HOW_TO_ASK: Final = "set HF_TOKEN in the gateway's environment to a token of yours, and restart it"
_HOW_TO_ACCEPT: Final = "accept the model's terms on its page at the hub, then "


class _Lfs(msgspec.Struct, frozen=True):
    sha256: str = ""
    size: int | None = None


class _Sibling(msgspec.Struct, frozen=True):
    rfilename: str
    size: int | None = None
    lfs: _Lfs | None = None


class _Repository(msgspec.Struct, frozen=True):
    siblings: list[_Sibling]


class _Told(msgspec.Struct, frozen=True):
    error: str = ""


@dataclass(frozen=True)
class HubPlace:
    """The hub: its address, its cache on this machine, and the headers of requests."""

    endpoint: str
    cache: str
    is_offline: bool
    headers: dict[str, str]


@dataclass(frozen=True)
class Repository:
    """What a repository has that can be run."""

    model: HubModel
    variants: tuple[Variant, ...]


async def hub_place() -> HubPlace:
    """Return the hub of the environment, as the hub's own library reads it."""
    return await asyncio.to_thread(_hub_place)


async def ask_for_repository(place: HubPlace, model: HubModel) -> Repository:
    """Return what a repository has that can be run.

    Raises `NoGGUF` where nothing of it can be, and what `ask_for_files` does.
    """
    files = await ask_for_files(place, model)
    variants = find_variants(files)
    if not variants:
        raise _no_gguf(model, [one.name for one in files])
    return Repository(model, tuple(variants))


async def ask_for_files(place: HubPlace, model: HubModel) -> list[RepoFile]:
    """Return all files of a repository.

    Raises `HubError`: `UnknownRepository`, `GatedRepository`, `HubUnreachable`. Cancelling ends the
    request.
    """
    url = f"{place.endpoint}/api/models/{model.repo}"
    if model.revision:
        url += f"/revision/{quote(model.revision, safe='')}"
    _, body = await _get(place, f"{url}?blobs=true", model, most=_MAX_LIST_BYTES)
    try:
        return list(map(_file, msgspec.json.decode(body, type=_Repository).siblings))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise HubError(
            f"{place.endpoint} gives no list of files for {model.repo}",
            hint="see whether HF_ENDPOINT names a model hub",
        ) from None


async def ask_for_metadata(
    place: HubPlace, model: HubModel, variant: Variant
) -> dict[str, Any] | None:
    """Return what the head of a variant's file says, None where it cannot be read.

    Raises `GatedRepository` where the hub does not give the file to us, and `HubUnreachable`.
    """
    revision = quote(model.revision or "main", safe="")
    url = f"{place.endpoint}/{model.repo}/resolve/{revision}/{quote(variant.file)}"
    status, head = await _get(
        place, url, model, most=_HEAD_BYTES, is_whole=False, Range=f"bytes=0-{_HEAD_BYTES - 1}"
    )
    try:
        return read_beginning(head) if status in (200, 206) else None
    except NotGGUF:
        return None


def _hub_place() -> HubPlace:
    # Only its constants: its functions for tokens and headers may ask the network.
    from huggingface_hub import constants

    headers = {"user-agent": f"Sidestream/{__version__}"}
    if not constants.HF_HUB_DISABLE_IMPLICIT_TOKEN and (token := _token(constants.HF_TOKEN_PATH)):
        headers["authorization"] = f"Bearer {token}"
    return HubPlace(
        constants.ENDPOINT.rstrip("/"),
        constants.HF_HUB_CACHE,
        constants.is_offline_mode(),
        headers,
    )


def _token(file: str) -> str:
    """Return the token of the environment, else of the hub's own file, empty without any."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if token := os.environ.get(name, "").strip():
            return token
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


async def _get(
    place: HubPlace,
    url: str,
    model: HubModel,
    *,
    most: int,
    is_whole: bool = True,
    **headers: str,
) -> tuple[int, bytes]:
    """Return status and body, of one that need not be whole at most so many bytes."""
    if place.is_offline:
        raise HubUnreachable(
            "the hub is not to be asked (HF_HUB_OFFLINE)",
            hint="unset HF_HUB_OFFLINE in the gateway's environment, and restart it",
        )
    timeout = aiohttp.ClientTimeout(total=ASK_SECONDS, sock_connect=_CONNECT_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=True) as http,
            http.get(
                URL(url, encoded=True), headers={**place.headers, **headers}, max_redirects=5
            ) as response,
        ):
            body = await _read(response, most)
            if response.status >= 400:
                raise _refused(response, body, place, model)
            if is_whole and len(body) > most:
                raise HubError(f"{place.endpoint} answers with more than a list of files")
            return response.status, body
    except TimeoutError:
        raise HubUnreachable(
            f"{place.endpoint} does not answer in time ({ASK_SECONDS:g} s)",
            hint="try again; see whether this machine reaches the hub",
        ) from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise HubUnreachable(
            f"{place.endpoint} cannot be reached: {_reason(error)[:200]}",
            hint="see whether this machine has a network, and what HF_ENDPOINT and proxies say",
        ) from None


def _reason(error: Exception) -> str:
    """Return why there is no connection; aiohttp and asyncio wrap the system's words in theirs."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, OSError) and (cause.errno or 0) > 0:
        return os.strerror(cause.errno or 0)
    if isinstance(cause, OSError) and cause.strerror:
        return str(cause.strerror)
    return str(cause) or type(cause).__name__


async def _read(response: aiohttp.ClientResponse, most: int) -> bytes:
    """Return the body, or what comes of it until it is longer than `most`."""
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > most:
            break
    return bytes(body)


def _refused(
    response: aiohttp.ClientResponse, body: bytes, place: HubPlace, model: HubModel
) -> HubError:
    """Return what an answer of the hub means that is none of what was asked for."""
    status = response.status
    code = response.headers.get("X-Error-Code", "")
    told = response.headers.get("X-Error-Message", "") or _told(body)
    if code == "GatedRepo" or (status == 403 and "gated" in told.lower()):
        return GatedRepository(
            f"the repository {model.repo} is gated: it is for those who have accepted its terms",
            hint=_HOW_TO_ACCEPT + _HOW_TO_ASK,
        )
    if code == "RevisionNotFound" or (status == 404 and "revision" in told.lower()):
        return UnknownRepository(f"the repository {model.repo} has no revision {model.revision!r}")
    if code == "EntryNotFound":
        return UnknownRepository(f"the repository {model.repo} has no such file")
    has_token = "authorization" in place.headers
    if code == "RepoNotFound" or status == 404 or (status == 401 and not has_token):
        return UnknownRepository(
            f"the repository {model.repo} does not exist on the hub, or is private"
            + (" and HF_TOKEN does not open it" if has_token else ""),
            hint=f"see how it is spelt; for a private one {_HOW_TO_ASK}",
        )
    if status in (401, 403):
        return HubError(
            f"the hub does not accept the token (HTTP {status}) for {model.repo}", hint=_HOW_TO_ASK
        )
    if status == 429 or status >= 500:
        return HubUnreachable(f"{place.endpoint} answers HTTP {status}", hint="try again later")
    return HubError(f"{place.endpoint} answers HTTP {status} for {model.repo}")


def _told(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_Told).error
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return ""


def _file(sibling: _Sibling) -> RepoFile:
    lfs = sibling.lfs or _Lfs()
    # The file itself; where it stands for another one, that one.
    size = lfs.size if lfs.size is not None else sibling.size
    return RepoFile(
        sibling.rfilename, size or 0, lfs.sha256 if _SHA256.fullmatch(lfs.sha256) else ""
    )


def _no_gguf(model: HubModel, files: list[str]) -> NoGGUF:
    if any(name.endswith((".safetensors", ".bin")) for name in files):
        return NoGGUF(
            f"the repository {model.repo} has no GGUF file: its weights are in another form "
            "(safetensors)",
            hint="look for a repository of the same model with GGUF in its name; or run it as it "
            "is in a container, by a section of settings.ini with runner = docker and "
            f"model_id = {model.repo} (engine = vllm or tgi)",
        )
    return NoGGUF(
        f"the repository {model.repo} has no GGUF file that can be run",
        hint="look for a repository of the same model with GGUF in its name",
    )
