"""Measure the progress of a download of weights: bytes in the hub's cache against the hub's sizes.

TGI logs nothing while it downloads a file, which may take minutes. So the folder that it writes to
is watched.

Rules:

1. Only the files that the engine downloads count: the *.safetensors at the top of the repository,
   or the *.bin if there are none.
2. An incomplete file counts by its allocated blocks: it may be created at its full length at once
   and filled in several places.
3. If the hub cannot be asked, there is no fraction, only the number of bytes.
4. Complete weights give no progress.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from server.core.protocol import Progress
from server.hub.asking import HubPlace, ask_for_files
from server.hub.errors import HubError
from server.hub.naming import HubModel
from server.models.runners.docker.pull import RemainingTime
from server.settings.values import human_size

HUB: Final = "https://huggingface.co"
_LOOK_EVERY_SECONDS: Final = 1.0
_INCOMPLETE: Final = ".incomplete"
# The unit of st_blocks, independent of the file system's block size.
_BLOCK_BYTES: Final = 512
_NO_WEIGHTS: Final = ("arguments", "args", "training")


async def watch_weights(
    hub_cache: Path | None,
    model_id: str,
    revision: str,
    *,
    token: str = "",
    hub: str | None = HUB,
    weights: Sequence[str] = (".safetensors", ".bin"),
    look_every_seconds: float = _LOOK_EVERY_SECONDS,
) -> AsyncIterator[Progress]:
    """Yield progress whenever bytes have arrived, until all have; stop iterating to end it.

    `hub_cache` is the folder with the `models--…` folders; with None, for a cache on another
    machine, nothing is yielded. `hub` is None in offline mode. `weights` are suffixes of files; the
    first one that the repository has counts.
    """
    if hub_cache is None:
        return
    blobs = hub_cache / f"models--{model_id.replace('/', '--')}" / "blobs"
    sizes = await weight_sizes(hub, model_id, revision, token, weights) if hub else None
    remaining, last = RemainingTime(), -1
    while True:
        done = await asyncio.to_thread(arrived_bytes, blobs, sizes)
        total = sum(sizes.values()) if sizes else None
        if total is not None and done >= total:
            return
        if done > last:
            is_first, last = last < 0, done
            eta_seconds = remaining.seconds(done, total or done, time.monotonic())
            # Without a total, bytes that were there before are no progress.
            if not is_first or (total and done):
                yield _progress(done, total, eta_seconds)
        await asyncio.sleep(look_every_seconds)


async def weight_sizes(
    hub: str,
    model_id: str,
    revision: str,
    token: str,
    weights: Sequence[str] = (".safetensors", ".bin"),
) -> Mapping[str, int] | None:
    """Return the sizes of the weight files by their names in the cache; None if the hub fails."""
    place = HubPlace(hub, "", False, {"authorization": f"Bearer {token}"} if token else {})
    try:
        files = await ask_for_files(place, HubModel(model_id, revision=revision))
    except HubError:
        return None
    for extension in weights:
        sizes = {
            one.sha256: one.size_bytes
            for one in files
            if one.sha256 and one.size_bytes and _is_weights(one.name, extension)
        }
        if sizes:
            return sizes
    return None


def arrived_bytes(blobs: Path, sizes: Mapping[str, int] | None) -> int:
    """Return how many bytes of the named blobs, or of all without names, are in the cache."""
    total = 0
    try:
        entries = list(os.scandir(blobs))
    except FileNotFoundError:
        return 0
    for entry in entries:
        name = entry.name.split(".", 1)[0]
        if sizes is not None and name not in sizes:
            continue
        try:
            status = entry.stat()
        except FileNotFoundError:
            continue  # It was renamed meanwhile; the next look sees it.
        if entry.name.endswith(_INCOMPLETE):
            total += min(status.st_size, status.st_blocks * _BLOCK_BYTES)
        else:
            total += status.st_size
    return total


def _is_weights(name: str, extension: str) -> bool:
    return (
        name.endswith(extension)
        and "/" not in name
        and not any(word in name for word in _NO_WEIGHTS)
    )


def _progress(done: int, total: int | None, eta_seconds: float | None) -> Progress:
    if total is None:
        return Progress("downloading", None, f"{human_size(done)} fetched")
    text = f"{human_size(done)} of {human_size(total)}"
    return Progress("downloading", done / total, text, eta_seconds)
