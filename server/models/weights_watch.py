"""Weights on their way: bytes that arrive in the Hugging Face cache, against the hub's sizes.

TGI itself says nothing between the first and the last byte of a file, which may be minutes
apart. Whoever sees the folder it writes to can say more.

Rules:

1. What counts is what TGI fetches: the *.safetensors at the top of the repository, and the
   *.bin only where there are none.
2. A file on its way is as large as what is written of it: it may be made at its full
   length at once, and be filled in several places.
3. Where the hub cannot be asked there is no fraction, only what has arrived so far.
4. Weights that are all there give nothing.
"""

import asyncio
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final

import aiohttp
import msgspec

from server.core.protocol import Progress
from server.models.sizes import readable

HUB: Final = "https://huggingface.co"
_HUB_SECONDS: Final = 10.0
_LOOK_EVERY_SECONDS: Final = 1.0
_RATE_WINDOW_SECONDS: Final = 20.0
_MIN_RATE_SECONDS: Final = 2.0
_INCOMPLETE: Final = ".incomplete"
# The unit of st_blocks, whatever the file system's own is.
_BLOCK_BYTES: Final = 512
_NO_WEIGHTS: Final = ("arguments", "args", "training")


class _Lfs(msgspec.Struct):
    sha256: str = ""


class _Sibling(msgspec.Struct):
    rfilename: str
    size: int | None = None
    lfs: _Lfs | None = None


class _Repository(msgspec.Struct):
    siblings: list[_Sibling] = []


async def watch_weights(
    hub_cache: Path | None,
    model_id: str,
    revision: str,
    *,
    token: str = "",
    hub: str | None = HUB,
    look_every_seconds: float = _LOOK_EVERY_SECONDS,
) -> AsyncIterator[Progress]:
    """Give progress whenever bytes have arrived, until all have; stop iterating to end it.

    `hub_cache` is the folder with the `models--…` folders; None, one that cannot be seen
    from here, gives nothing. `hub` None is not asked.
    """
    if hub_cache is None:
        return
    blobs = hub_cache / f"models--{model_id.replace('/', '--')}" / "blobs"
    sizes = await weight_sizes(hub, model_id, revision, token) if hub else None
    seen: deque[tuple[float, int]] = deque()
    while True:
        done = await asyncio.to_thread(arrived_bytes, blobs, sizes)
        total = sum(sizes.values()) if sizes else None
        if total is not None and done >= total:
            return
        if not seen or done > seen[-1][1]:
            is_first = not seen
            seen.append((time.monotonic(), done))
            # What lay there before says nothing about a download.
            if not is_first or (total and done):
                yield _progress(done, total, seen)
        await asyncio.sleep(look_every_seconds)


async def weight_sizes(
    hub: str, model_id: str, revision: str, token: str
) -> Mapping[str, int] | None:
    """Ask the hub for the weight files, by the name they have in the cache; None if it cannot."""
    url = f"{hub}/api/models/{model_id}"
    if revision:
        url += f"/revision/{revision}"
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    timeout = aiohttp.ClientTimeout(total=_HUB_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=True) as http,
            http.get(url, params={"blobs": "true"}, headers=headers) as response,
        ):
            if response.status != 200:
                return None
            found = msgspec.json.decode(await response.read(), type=_Repository)
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
        return None
    for extension in (".safetensors", ".bin"):
        sizes = {
            one.lfs.sha256: one.size
            for one in found.siblings
            if one.lfs is not None and one.size and _is_weights(one.rfilename, extension)
        }
        if sizes:
            return sizes
    return None


def arrived_bytes(blobs: Path, sizes: Mapping[str, int] | None) -> int:
    """Return how many bytes of the named blobs are there, of all if there are no names."""
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
            continue  # It was given its final name meanwhile; the next look sees it.
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


def _progress(done: int, total: int | None, seen: deque[tuple[float, int]]) -> Progress:
    now = seen[-1][0]
    while seen[0][0] < now - _RATE_WINDOW_SECONDS:
        seen.popleft()
    seconds = now - seen[0][0]
    rate = (done - seen[0][1]) / seconds if seconds >= _MIN_RATE_SECONDS else 0.0
    if total is None:
        return Progress("downloading", None, f"{readable(done)} fetched")
    eta_seconds = round((total - done) / rate, 1) if rate > 0 else None
    text = f"{readable(done)} of {readable(total)}"
    return Progress("downloading", done / total, text, eta_seconds)
