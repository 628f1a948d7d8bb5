"""The progress of weights that arrive in the hub's cache while TGI fetches them."""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import web

from server.core.protocol import Progress
from server.models.runners.docker.weights_watch import arrived_bytes, watch_weights, weight_sizes

CEILING_SECONDS = 20
MODEL = "owner/name"
MEGABYTE = 1_000_000
FIRST, SECOND, OTHER = "1" * 64, "2" * 64, "3" * 64

StartHub = Callable[..., Awaitable[str]]


def file(name: str, sha256: str, size: int) -> dict[str, Any]:
    return {"rfilename": name, "size": size, "lfs": {"sha256": sha256, "size": size}}


SIBLINGS = [
    file("model-00001-of-00002.safetensors", FIRST, 3 * MEGABYTE),
    file("model-00002-of-00002.safetensors", SECOND, MEGABYTE),
    file("pytorch_model.bin", OTHER, 9 * MEGABYTE),
    file("onnx/model.safetensors", OTHER, 9 * MEGABYTE),
    file("training_args.safetensors", OTHER, 9 * MEGABYTE),
    {"rfilename": "config.json", "size": 500},
]
SIZES = {FIRST: 3 * MEGABYTE, SECOND: MEGABYTE}


@pytest.fixture
async def start_hub(aiohttp_server: Any) -> StartHub:
    """Return `await start_hub(siblings)`: a hub that knows one model, by its address."""

    async def start(siblings: list[dict[str, Any]], *, status: int = 200, token: str = "") -> str:
        async def model(request: web.Request) -> web.Response:
            if token and request.headers.get("Authorization") != f"Bearer {token}":
                return web.Response(status=401)
            return web.json_response({"id": MODEL, "siblings": siblings}, status=status)

        app = web.Application()
        app.add_routes(
            [
                web.get("/api/models/owner/name", model),
                web.get("/api/models/owner/name/revision/v1", model),
            ]
        )
        server = await aiohttp_server(app)
        return str(server.make_url("")).rstrip("/")

    return start


@pytest.fixture
def blobs(tmp_path: Path) -> Path:
    folder = tmp_path / "models--owner--name" / "blobs"
    folder.mkdir(parents=True)
    return folder


def watched(tmp_path: Path, hub: str | None) -> AsyncGenerator[Progress]:
    watch = watch_weights(tmp_path, MODEL, "", hub=hub, look_every_seconds=0.01)
    return cast("AsyncGenerator[Progress]", watch)


async def upcoming(progress: AsyncIterator[Progress]) -> Progress:
    async with asyncio.timeout(CEILING_SECONDS):
        return await anext(progress)


async def test_the_hub_is_asked_for_the_files_that_tgi_fetches(start_hub: StartHub) -> None:
    hub = await start_hub(SIBLINGS)
    assert await weight_sizes(hub, MODEL, "", "") == SIZES
    assert await weight_sizes(hub, MODEL, "v1", "") == SIZES


async def test_without_safetensors_it_is_the_old_form_that_is_fetched(start_hub: StartHub) -> None:
    assert await weight_sizes(await start_hub(SIBLINGS[2:3]), MODEL, "", "") == {
        OTHER: 9 * MEGABYTE
    }


async def test_a_gated_model_is_asked_for_with_the_token(start_hub: StartHub) -> None:
    hub = await start_hub(SIBLINGS, token="secret")
    assert await weight_sizes(hub, MODEL, "", "secret") == SIZES
    assert await weight_sizes(hub, MODEL, "", "") is None


@pytest.mark.parametrize("siblings", [[], [{"rfilename": "x"}], "nonsense"])
async def test_a_hub_that_cannot_tell_tells_nothing(start_hub: StartHub, siblings: Any) -> None:
    assert await weight_sizes(await start_hub(siblings), MODEL, "", "") is None
    assert await weight_sizes("http://127.0.0.1:1", MODEL, "", "") is None


async def test_the_bytes_that_arrive_are_a_fraction_of_those_to_come(
    start_hub: StartHub, tmp_path: Path, blobs: Path
) -> None:
    async with aclosing(watched(tmp_path, await start_hub(SIBLINGS))) as progress:
        waiting = asyncio.create_task(upcoming(progress))
        (blobs / f"{FIRST}.incomplete").write_bytes(os.urandom(MEGABYTE))
        seen = await waiting
        assert seen.phase == "downloading"
        assert seen.fraction == pytest.approx(0.25, abs=0.01)
        (blobs / f"{FIRST}.incomplete").write_bytes(os.urandom(2 * MEGABYTE))
        seen = await upcoming(progress)
        while (seen.fraction or 0) < 0.49:
            seen = await upcoming(progress)
        assert seen.text == "2 MB of 4 MB"
        (blobs / f"{FIRST}.incomplete").write_bytes(os.urandom(3 * MEGABYTE))
        (blobs / f"{FIRST}.incomplete").rename(blobs / FIRST)
        (blobs / SECOND).write_bytes(os.urandom(MEGABYTE))
        # Everything is there: nothing more will be told.
        async with asyncio.timeout(CEILING_SECONDS):
            assert all([(p.fraction or 0) < 1 async for p in progress])


async def test_weights_that_are_there_already_give_nothing(
    start_hub: StartHub, tmp_path: Path, blobs: Path
) -> None:
    (blobs / FIRST).write_bytes(bytes(3 * MEGABYTE))
    (blobs / SECOND).write_bytes(bytes(MEGABYTE))
    async with asyncio.timeout(CEILING_SECONDS):
        assert [p async for p in watched(tmp_path, await start_hub(SIBLINGS))] == []


async def test_where_the_hub_cannot_be_asked_only_what_has_come_is_told(
    tmp_path: Path, blobs: Path
) -> None:
    (blobs / "old").write_bytes(os.urandom(MEGABYTE))
    async with aclosing(watched(tmp_path, "http://127.0.0.1:1")) as progress:
        waiting = asyncio.create_task(upcoming(progress))
        while not waiting.done():
            with (blobs / "new.incomplete").open("ab") as growing:
                growing.write(os.urandom(MEGABYTE))
            await asyncio.wait([waiting], timeout=0.05)
        seen = await waiting
        assert seen.fraction is None
        assert seen.text.endswith("MB fetched")


async def test_a_hub_that_is_not_to_be_asked_is_not_asked(tmp_path: Path, blobs: Path) -> None:
    async with aclosing(watched(tmp_path, None)) as progress:
        waiting = asyncio.create_task(upcoming(progress))
        while not waiting.done():
            with (blobs / "new.incomplete").open("ab") as growing:
                growing.write(os.urandom(MEGABYTE))
            await asyncio.wait([waiting], timeout=0.2)
        assert (await waiting).fraction is None


async def test_a_cache_on_another_machine_gives_nothing() -> None:
    assert [p async for p in watch_weights(None, MODEL, "")] == []


def test_a_file_that_was_made_at_its_full_length_counts_by_what_is_written(blobs: Path) -> None:
    """As the fast downloaders make it, which then fill it in several places."""
    with (blobs / f"{FIRST}.incomplete").open("wb") as sparse:
        sparse.truncate(3 * MEGABYTE)
        sparse.seek(2 * MEGABYTE)
        sparse.write(os.urandom(100_000))
    assert 100_000 <= arrived_bytes(blobs, SIZES) < 200_000


def test_only_weights_count(blobs: Path) -> None:
    (blobs / FIRST).write_bytes(bytes(10))
    (blobs / f"{SECOND}.abcd.incomplete").write_bytes(os.urandom(4096))
    (blobs / "tokenizer").write_bytes(bytes(1000))
    assert arrived_bytes(blobs, SIZES) == 10 + 4096
    assert arrived_bytes(blobs, None) == 10 + 4096 + 1000


def test_a_cache_that_is_not_there_yet_is_empty(tmp_path: Path) -> None:
    assert arrived_bytes(tmp_path / "blobs", SIZES) == 0
