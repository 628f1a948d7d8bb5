"""The runner of remote servers: it starts and stops nothing."""

import asyncio
from pathlib import Path

import pytest

from server.core.errors import ModelFailed
from server.models.runners.base import Condition, Replica
from server.models.runners.remote import RemoteRunner
from tests.support.specs import catalog

A = Replica("test", "a")
SPEC = catalog(a={"runner": "remote", "url": "http://h:1/", "api_key": "hunter2"}).get("a")


async def test_its_address_and_key_are_those_of_the_settings() -> None:
    endpoint = await RemoteRunner().start(A, SPEC, lambda _: None)
    assert (endpoint.url, endpoint.api_key) == ("http://h:1", "hunter2")
    assert "hunter2" not in repr(endpoint)


async def test_whether_it_runs_cannot_be_seen() -> None:
    runner = RemoteRunner()
    assert (await runner.inspect(A)).condition is Condition.MISSING
    endpoint = await runner.start(A, SPEC, lambda _: None)
    seen = await runner.inspect(A)
    assert (seen.condition, seen.endpoint) == (Condition.UNKNOWN, endpoint)
    assert await runner.list() == [seen]
    waiting = asyncio.create_task(runner.wait(A))
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()
    await asyncio.wait([waiting])


async def test_stopping_it_means_forgetting_it() -> None:
    runner = RemoteRunner()
    await runner.start(A, SPEC, lambda _: None)
    await runner.stop(A, grace_seconds=0)
    await runner.stop(A, grace_seconds=0)
    assert (await runner.wait(A)).condition is Condition.MISSING
    await runner.start(A, SPEC, lambda _: None)
    await runner.close()
    assert await runner.list() == []


async def test_its_log_is_the_other_sides() -> None:
    runner = RemoteRunner()
    await runner.start(A, SPEC, lambda _: None)
    assert [line async for line in runner.logs(A, tail=10, follow=True)] == []


async def test_a_template_from_the_settings_goes_along_as_text(tmp_path: Path) -> None:
    file = tmp_path / "mine.jinja"
    said = {"runner": "remote", "url": "http://h:1", "chat_template": str(file)}
    spec = catalog(a=said).get("a")
    for words in ("{{ messages }} ü", "other"):
        file.write_text(words)
        assert (await RemoteRunner().start(A, spec, lambda _: None)).chat_template == words


@pytest.mark.parametrize("content", [None, b"\xff\xfe\xfd"])
async def test_a_template_that_cannot_be_read_any_more_is_told(
    tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "mine.jinja"
    if content is not None:
        file.write_bytes(content)
    said = {"runner": "remote", "url": "http://h:1", "chat_template": str(file)}
    runner = RemoteRunner()
    with pytest.raises(ModelFailed, match=r"mine\.jinja cannot be read") as caught:
        await runner.start(A, catalog(a=said).get("a"), lambda _: None)
    assert "`chat_template`" in (caught.value.hint or "")
    assert await runner.list() == []


@pytest.mark.parametrize(
    ("url", "is_here"),
    [("http://127.0.0.1:1", True), ("http://[::1]:1", True), ("http://gpu-box:1", False)],
)
async def test_the_hubs_folder_goes_along_to_servers_of_this_machine(
    url: str, is_here: bool
) -> None:
    spec = catalog(a={"runner": "remote", "url": url}).get("a")
    endpoint = await RemoteRunner("/hub").start(A, spec, lambda _: None)
    assert endpoint.hub_cache == ("/hub" if is_here else "")
