"""Lists of servers' models: stored in a file, and read at intervals whatever a server answers."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from server.core.errors import EngineError, SidestreamError
from server.dialects.base import ServedModel, Upstream
from server.models.catalogue import listing
from server.models.catalogue.listing import ListReader, ServerLists

CEILING_SECONDS = 20
URL = "http://h:1"


def stored(file: Path) -> Any:
    return json.loads(file.read_text())


# --- the file ---------------------------------------------------------------------------------


def test_lists_outlive_us_with_the_time_they_were_read(tmp_path: Path) -> None:
    file = tmp_path / "new" / "x.models"
    lists = ServerLists(file)
    assert lists.take("u", URL, [ServedModel("a", aliases=("b",), details={"q": "4"})])
    lists.store()
    assert file.stat().st_mode & 0o777 == 0o600
    known = ServerLists(file).get("u", URL)
    assert known is not None
    assert known.models == [ServedModel("a", aliases=("b",), details={"q": "4"})]
    assert abs(known.seen - time.time()) < 60


def test_a_server_that_moved_is_another_one(tmp_path: Path) -> None:
    lists = ServerLists()
    lists.take("u", URL, [ServedModel("a")])
    assert lists.get("u", "http://h:2") is None
    assert lists.models({"u": "http://h:2", "v": URL}) == {}
    assert lists.models({"u": URL}) == {"u": [ServedModel("a")]}


def test_only_what_is_another_list_is_said_to_be(tmp_path: Path) -> None:
    lists = ServerLists()
    assert lists.take("u", URL, [])
    assert not lists.take("u", URL, [])
    assert lists.take("u", URL, [ServedModel("a")])
    assert lists.take("u", URL, [ServedModel("a", is_loaded=True)])
    assert lists.take("u", URL, [ServedModel("e", kind="embedding")])
    known = lists.get("u", URL)
    assert known is not None
    assert known.left_out == 1


def test_the_file_is_written_for_other_models_and_at_the_end(tmp_path: Path) -> None:
    file = tmp_path / "x.models"
    lists = ServerLists(file)
    lists.take("u", URL, [ServedModel("a")])
    lists.store()
    first = stored(file)["u"]["seen"]
    lists.take("u", URL, [ServedModel("a", is_loaded=True)])
    lists.store()
    assert stored(file)["u"]["seen"] == first
    lists.store(is_last=True)
    assert stored(file)["u"]["seen"] > first


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"u": 1}',
        b'{"u": {"url": "x", "models": [{}], "seen": 1}}',
        b"[" * 100_000,
        b'{"u":' * 100_000,
        b"\xff\xfe",
        b'{"u":{"url":"\\ud800","models":[],"seen":0}}',
        b'{"u":{"url":"' + b"x" * (17 << 20) + b'","models":[],"seen":0}}',
    ],
)
def test_a_file_that_is_of_no_use_is_as_good_as_none(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "x.models"
    file.write_bytes(content)
    lists = ServerLists(file)
    assert lists.models({"u": "x"}) == {}
    lists.take("u", URL, [ServedModel("a")])
    lists.store()
    assert stored(file)["u"]["url"] == URL


def test_a_place_that_cannot_be_written_costs_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    lists = ServerLists(tmp_path / "file" / "x.models")
    for name in ("a", "b", "c"):
        lists.take("u", URL, [ServedModel(name)])
        lists.store()
    assert len([r for r in caplog.records if "cannot be stored" in r.message]) == 1
    assert lists.models({"u": URL}) == {"u": [ServedModel("c")]}


# --- the reader -------------------------------------------------------------------------------


class Server:
    """What a reader asks: it gives its lists one after the other, and errors among them."""

    def __init__(self, *answers: list[ServedModel] | Exception) -> None:
        self.answers = list(answers)
        self.reads = 0
        self.found = asyncio.Event()

    async def wait_until_ready(self) -> Upstream:
        await self.found.wait()
        return cast(Upstream, self)

    async def models(self) -> list[ServedModel]:
        self.reads += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Heard:
    """What a reader has told, and a way to wait for it."""

    def __init__(self) -> None:
        self.lists: list[list[ServedModel]] = []
        self.problems: list[SidestreamError] = []
        self._changed = asyncio.Event()

    def take(self, models: list[ServedModel]) -> None:
        self.lists.append(models)
        self._changed.set()

    def tell(self, error: SidestreamError) -> None:
        self.problems.append(error)
        self._changed.set()

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(CEILING_SECONDS):
            while not is_so():
                self._changed.clear()
                await self._changed.wait()


@asynccontextmanager
async def reading(server: Server, *, interval: float = 1000) -> AsyncIterator[tuple[Any, Heard]]:
    heard = Heard()
    reader = ListReader(
        "u", server.wait_until_ready, heard.take, heard.tell, interval_seconds=interval
    )
    try:
        yield reader, heard
    finally:
        await reader.close()


async def test_nothing_is_read_before_the_server_is_well() -> None:
    server = Server([ServedModel("a")])
    async with reading(server) as (_, heard):
        await asyncio.sleep(0)
        assert server.reads == 0
        server.found.set()
        await heard.until(lambda: bool(heard.lists))


async def test_lists_are_read_periodically_and_on_demand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listing, "_PAUSE_SECONDS", 0)
    server = Server([ServedModel("a")])
    server.found.set()
    async with reading(server) as (reader, heard):
        await heard.until(lambda: len(heard.lists) == 1)
        reader.look_soon()
        await heard.until(lambda: len(heard.lists) == 2)
    async with reading(server, interval=0.01) as (_, heard):
        await heard.until(lambda: len(heard.lists) == 3)


@pytest.mark.parametrize("error", [EngineError("no list"), ValueError("a bug")])
async def test_a_failed_reading_is_reported_and_repeated(error: Exception) -> None:
    server = Server(error, [ServedModel("a")])
    server.found.set()
    async with reading(server, interval=0.01) as (_, heard):
        await heard.until(lambda: bool(heard.lists))
        assert len(heard.problems) == 1
        assert str(error) in heard.problems[0].message


async def test_a_list_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(Server):
        async def models(self) -> list[ServedModel]:
            await asyncio.Event().wait()
            return []

    monkeypatch.setattr(listing, "_READ_SECONDS", 0.01)
    server = Slow([])
    server.found.set()
    async with reading(server) as (_, heard):
        await heard.until(lambda: bool(heard.problems))
        assert "not come to its end" in heard.problems[0].message


async def test_a_stopped_listing_reports_nothing() -> None:
    server = Server([ServedModel("a")])
    async with reading(server) as (reader, heard):
        reader.stop()
        server.found.set()
        await reader.close()
        assert heard.lists == []
