"""Servers that somebody else runs: found, used, never started, never stopped."""

import asyncio

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
