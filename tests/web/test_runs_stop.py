"""A gateway stops at once while somebody follows a run, a judge or a prompt that falls silent."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from server.core.errors import RateLimited
from server.settings.tables import EngineSettings, Settings
from server.web.keys import GENERATIONS
from tests.conftest import StartFake
from tests.web.gateway import Gateway, ports, remote, running, server_settings
from tests.web.test_followed_judges import GIVEN, GRADE
from tests.web.test_judges import a_run

# aiohttp waits for requests for two minutes.
CEILING_SECONDS = 20.0
LAST = b"0\r\n\r\n"


@asynccontextmanager
async def reading(gateway: Gateway, path: str) -> AsyncIterator[asyncio.StreamReader]:
    """Follow events by a connection that outlives the gateway, from the first of them on."""
    host, _, port = gateway.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        await reader.readuntil(b"data: ")
        yield reader
    finally:
        writer.close()


def settings_of(**urls: str) -> Settings:
    return Settings(
        server=server_settings(),
        engines=EngineSettings(ports=ports(), stop_grace=1.0),
        models={name: remote(url, max_concurrent=1) for name, url in urls.items()},
    )


async def begun(gateway: Gateway, model: str) -> str:
    """Begin a run of two prompts; return its id."""
    kept = (await gateway.post("/prompt-sets", {"prompts": ["One?", "Two?"]})).json
    given = {"prompt_set": kept["id"], "targets": [{"model": model}]}
    run: str = (await gateway.post("/runs", given)).json["id"]
    return run


@pytest.mark.parametrize("is_prompt", [False, True])
async def test_it_stops_while_a_judge_is_followed_or_a_prompt_that_waits_for_it(
    fake_tgi: StartFake, *, is_prompt: bool
) -> None:
    one, judge = await fake_tgi(text="Paris."), await fake_tgi(text=GRADE, hold_after=1)
    async with AsyncExitStack() as stack:
        gateways = await stack.enter_async_context(AsyncExitStack())
        gateway = await gateways.enter_async_context(
            running(settings_of(m=one.url, judge=judge.url))
        )
        run = await a_run(gateway)
        await gateway.post(f"/runs/{run}/judges", GIVEN)
        await judge.state.reaches(tokens=1)
        path = f"/runs/{run}/events?judges=1"
        if is_prompt:
            path = f"/runs/{await begun(gateway, 'judge')}/prompts/1/events"
        reader = await stack.enter_async_context(reading(gateway, path))
        async with asyncio.timeout(CEILING_SECONDS):
            await gateways.aclose()
            rest = await reader.read()
    assert rest.endswith(LAST)
    assert (b'"type":"end"' in rest) == is_prompt


@pytest.mark.parametrize("path", ["events", "prompts/0/events"])
async def test_it_stops_while_a_run_is_followed_that_waits_for_a_limit(
    fake_tgi: StartFake, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    fake = await fake_tgi(text="Paris.")
    async with AsyncExitStack() as stack:
        gateways = await stack.enter_async_context(AsyncExitStack())
        gateway = await gateways.enter_async_context(running(settings_of(m=fake.url)))
        is_refused = asyncio.Event()

        def refuse(*_: Any, **__: Any) -> Any:
            is_refused.set()
            raise RateLimited("too many", details={"retry_after_seconds": 3600})

        monkeypatch.setattr(gateway.app[GENERATIONS], "start", refuse)
        run = await begun(gateway, "m")
        async with asyncio.timeout(CEILING_SECONDS):
            await is_refused.wait()
            reader = await stack.enter_async_context(reading(gateway, f"/runs/{run}/{path}"))
            await gateways.aclose()
            rest = await reader.read()
    assert rest.endswith(LAST)
