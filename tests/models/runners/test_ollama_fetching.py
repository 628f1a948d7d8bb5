"""An Ollama in a container fetches its model on request: progress and errors."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from server.core.errors import ModelFailed
from server.core.protocol import Progress
from server.models.runners.containers.ollama_fetching import fetch_model
from tests.support.ports import free_ports

MODEL = "me/tiny:1"
PULLED = [
    b'{"status":"pulling manifest"}\n',
    b'{"status":"pulling a","digest":"sha256:a","total":100,"completed":25}\nnonsense\n',
    b'{"status":"pulling a","digest":"sha256:a","total":100,"completed":100}\n{"status":"pulling',
    b' b","digest":"sha256:b","total":300,"completed":100}\n{"status":"verifying sha256 digest"}\n',
    b'{"status":"success"}\n',
]


class FakeOllama:
    """What Ollama answers to `/api/show` and `/api/pull`."""

    def __init__(self, *answers: list[bytes], is_there: bool = False) -> None:
        self.answers = list(answers)
        self.is_there = is_there
        self.pulls: list[str] = []
        self.has_begun, self.has_ended = asyncio.Event(), asyncio.Event()
        self.holds = False

    async def show(self, request: web.Request) -> web.Response:
        assert (await request.json())["model"] == MODEL
        return web.json_response({}, status=200 if self.is_there else 404)

    async def pull(self, request: web.Request) -> web.StreamResponse:
        self.pulls.append((await request.json())["model"])
        response = web.StreamResponse()
        await response.prepare(request)
        for part in self.answers.pop(0):
            await response.write(part)
        self.has_begun.set()
        try:
            if self.holds:
                await asyncio.Event().wait()
        finally:
            self.has_ended.set()
        return response

    @asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_post("/api/show", self.show)
        app.router.add_post("/api/pull", self.pull)
        async with TestServer(app, port=port or None, handler_cancellation=True) as server:
            yield str(server.make_url("/")).rstrip("/")


async def runs() -> bool:
    return True


async def fetched(fake: FakeOllama, report: Callable[[Progress], None]) -> None:
    async with fake.serving() as url, asyncio.timeout(20):
        await fetch_model(url, MODEL, report, runs)


async def test_progress_covers_all_layers() -> None:
    fake, told = FakeOllama(PULLED), list[Progress]()
    await fetched(fake, told.append)
    assert fake.pulls == [MODEL]
    assert {one.phase for one in told} == {"downloading"}
    assert [one.fraction for one in told] == [None, 0.25, 1.0, 0.5]


async def test_present_layers_are_not_fetched_again() -> None:
    fake = FakeOllama(is_there=True)
    await fetched(fake, lambda _: None)
    assert not fake.pulls


@pytest.mark.parametrize(
    ("said", "cause", "words"),
    [
        ("pull model manifest: file does not exist", "model_not_found", "registry has no such"),
        ("dial tcp: lookup registry.ollama.ai: no route to host", "no_network", "no route to host"),
        ("write /models/blobs/x: no space left on device", "disk_full", "the disk is full"),
        ("something of tomorrow", "unknown", "cannot fetch me/tiny:1: something of tomorrow"),
    ],
)
async def test_why_it_cannot_be_fetched_is_said(said: str, cause: str, words: str) -> None:
    fake = FakeOllama([b'{"status":"pulling manifest"}\n', b'{"error":"%s"}\n' % said.encode()])
    with pytest.raises(ModelFailed, match=words) as caught:
        await fetched(fake, lambda _: None)
    assert (caught.value.details or {})["cause"] == cause
    assert caught.value.hint


async def test_an_answer_that_ends_in_the_middle_is_no_success() -> None:
    with pytest.raises(ModelFailed, match="broke off"):
        await fetched(FakeOllama(PULLED[:2]), lambda _: None)


async def test_a_server_that_does_not_listen_yet_is_waited_for() -> None:
    fake, told = FakeOllama(is_there=True), list[Progress]()
    port, _ = free_ports(1)
    waits = asyncio.Event()

    def report(progress: Progress) -> None:
        told.append(progress)
        waits.set()

    async with AsyncExitStack() as stack, asyncio.timeout(20):
        fetching = asyncio.create_task(fetch_model(f"http://127.0.0.1:{port}", MODEL, report, runs))
        await waits.wait()
        await stack.enter_async_context(fake.serving(port))
        await fetching
    assert told[0].text.startswith("waiting for Ollama: ")


async def test_fetching_ends_quietly_once_the_server_has_exited() -> None:
    async def has_ended() -> bool:
        return False

    port, _ = free_ports(1)
    async with asyncio.timeout(20):
        await fetch_model(f"http://127.0.0.1:{port}", MODEL, lambda _: None, has_ended)


async def test_a_fetch_that_is_cancelled_ends_at_the_server_too() -> None:
    fake = FakeOllama(PULLED[:2])
    fake.holds = True
    async with fake.serving() as url, asyncio.timeout(20):
        fetching = asyncio.create_task(fetch_model(url, MODEL, lambda _: None, runs))
        await fake.has_begun.wait()
        fetching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fetching
        await fake.has_ended.wait()
