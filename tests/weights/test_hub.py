"""Weights from the hub, by the real engine against a hub that behaves, or does not."""

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.engine.processes import EngineProcess
from tests.weights.misbehaving import COMMIT, FileServer, Hub, serving
from tests.weights.tiny import gguf_bytes

GGUF = gguf_bytes(tensor_bytes=2_000_000)
SPEC = "hf:org/repo/model.gguf"
# What the engine says when it has the file: it is whole, but no model.
IS_THERE = "key not found in model"
BAD_TOKEN = "Invalid credentials in Authorization header"
CACHE = "hub/models--org--repo"


@dataclass
class Starter:
    """Start an engine on weights of the hub, and let it end."""

    home: Path
    env: Mapping[str, str]

    async def log(self, spec: str = SPEC, **env: str) -> str:
        """Return what an engine says that starts on these weights, and ends."""
        with self.start(spec, **env) as engine:
            assert await asyncio.to_thread(engine.wait_for_end) == 1
            return engine.log

    def start(self, spec: str = SPEC, **env: str) -> EngineProcess:
        """Start an engine."""
        return EngineProcess(weights=spec, env={**self.env, **env})

    def files(self) -> set[str]:
        """Return the names of the blobs in the cache."""
        return {path.name for path in (self.home / CACHE / "blobs").glob("*")}


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    hub = Hub(FileServer(GGUF))
    async with serving(hub.elsewhere_app()) as hub.elsewhere:
        yield hub


@pytest.fixture
async def starter(hub: Hub, tmp_path: Path) -> AsyncIterator[Starter]:
    async with AsyncExitStack() as stack:
        endpoint = await stack.enter_async_context(serving(hub.app()))
        env = {
            "HF_ENDPOINT": endpoint,
            "HF_HOME": str(tmp_path),
            "HF_TOKEN": "",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HTTP_PROXY": "",
            "http_proxy": "",
        }
        yield Starter(tmp_path, env)


async def test_the_file_lands_in_the_hubs_own_cache(hub: Hub, starter: Starter) -> None:
    log = await starter.log()
    assert IS_THERE in log
    assert "Download file: model.gguf" in log
    assert "Downloading model.gguf: 100 % (2.0 of 2.0 MB)" in log
    linked = starter.home / CACHE / "snapshots" / COMMIT / "model.gguf"
    assert linked.read_bytes() == GGUF
    assert starter.files() == {hub.file.sha256}


async def test_a_second_start_asks_nobody(hub: Hub, starter: Starter) -> None:
    await starter.log()
    asked = (hub.heads, len(hub.file.requests))
    log = await starter.log()
    assert "Files are already present on the host. Skipping download." in log
    assert IS_THERE in log
    assert (hub.heads, len(hub.file.requests)) == asked
    assert IS_THERE in await starter.log(HF_HUB_OFFLINE="1")


async def test_a_revision_can_be_named(hub: Hub, starter: Starter) -> None:
    assert IS_THERE in await starter.log(f"{SPEC}@{COMMIT}")
    assert "org/repo on the hub has no revision 'v9'" in await starter.log(f"{SPEC}@v9")


async def test_a_cut_download_is_resumed_at_once(hub: Hub, starter: Starter) -> None:
    hub.file.cuts = [700_000, 500_000]
    assert IS_THERE in await starter.log()
    assert hub.file.requests[0] is None
    assert [str(asked)[:6] for asked in hub.file.requests[1:]] == ["bytes=", "bytes="]


async def test_bytes_fetched_by_a_killed_start_are_not_fetched_again(
    hub: Hub, starter: Starter
) -> None:
    hub.file.cuts, hub.file.hangs = [1_500_000], True
    with starter.start() as engine:
        await asyncio.to_thread(engine.wait_for, "Downloading model.gguf: 0 %")
        await hub.file.cut.wait()
        engine.process.terminate()
        assert await asyncio.to_thread(engine.wait_for_end) == -signal.SIGTERM
    assert starter.files() == {f"{hub.file.sha256}.part"}
    assert IS_THERE in await starter.log()
    assert starter.files() == {hub.file.sha256}


async def test_two_starts_at_once_fetch_once(hub: Hub, starter: Starter) -> None:
    for log in await asyncio.gather(starter.log(), starter.log()):
        assert IS_THERE in log
    assert len(hub.file.requests) == 1


async def test_another_hash_than_the_hub_says_is_refused(hub: Hub, starter: Starter) -> None:
    hub.claims_sha256 = "0" * 64
    log = await starter.log()
    assert "has SHA-256" in log
    assert "signature" not in log
    assert starter.files() == set()


async def test_the_token_goes_to_the_hub_and_not_elsewhere(hub: Hub, starter: Starter) -> None:
    hub.token = "hf_right"
    assert IS_THERE in await starter.log(HF_TOKEN="hf_right")
    assert hub.file.authorizations == [None]


@pytest.mark.parametrize(
    ("error", "token", "cause"),
    [
        ((401, "GatedRepo"), "", "org/repo on the hub is gated"),
        ((403, "GatedRepo"), "hf_x", "org/repo on the hub is gated"),
        ((404, "RepoNotFound"), "", "does not exist, or is private and HF_TOKEN does not open it"),
        ((401, "RepoNotFound"), "", "does not exist, or is private and HF_TOKEN does not open it"),
        ((404, "EntryNotFound"), "", "org/repo on the hub has no file 'model.gguf'"),
        ((401, BAD_TOKEN), "hf_x", "the hub does not accept the token (HTTP 401) for org/repo"),
        ((400, "BadRequest"), "", "the hub answers HTTP 400"),
    ],
)
async def test_a_refusal_of_the_hub_is_one_line(
    hub: Hub, starter: Starter, error: tuple[int, str], token: str, cause: str
) -> None:
    hub.error = error
    last = (await starter.log(HF_TOKEN=token)).splitlines()[-1]
    assert cause in last
    assert '"ERROR"' in last


async def test_offline_mode_is_told(hub: Hub, starter: Starter) -> None:
    log = await starter.log(HF_HUB_OFFLINE="1")
    assert "HF_HUB_OFFLINE forbids fetching it" in log
    assert hub.heads == 0


async def test_a_hub_out_of_reach_is_told(hub: Hub, starter: Starter) -> None:
    log = await starter.log(HF_ENDPOINT="http://127.0.0.1:9")
    assert "the hub cannot be reached for model.gguf of org/repo" in log


async def test_no_room_on_the_disk_is_told(hub: Hub, starter: Starter) -> None:
    (starter.home / "hub").write_text("in the way")
    log = await starter.log()
    assert "cannot write" in log
