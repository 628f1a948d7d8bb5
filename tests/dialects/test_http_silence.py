"""What silence leads to, in every place of an answer, by a clock that the test moves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from server.core.errors import EngineError, EngineLost, EngineTimeout
from server.dialects.base import Endpoint
from server.dialects.http.client import HTTPClient, Timeouts
from tests.support.clock import Clock
from tests.support.raw_http import CHUNKS, RawServer, Request, serving

TOKEN = b"1\r\na\r\n"
END = b"1\r\nz\r\n0\r\n\r\n"

# What has been said before it is silent.
PLACES = {"before the head": b"", "after the head": CHUNKS, "after a token": CHUNKS + TOKEN}
everywhere = pytest.mark.parametrize("said", PLACES.values(), ids=PLACES)


class Waiting:
    """A request to a server that is silent, and its looks at the server's health."""

    def __init__(self, said: bytes) -> None:
        self.clock = Clock()
        self.said = said
        self.asked = asyncio.Event()
        self.heard = asyncio.Event()
        self.text = b""
        self.looks = 0
        self.running_looks = 0
        self.is_well = True
        # A look takes until this is set.
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.server: RawServer
        self.task: asyncio.Task[None]
        self._writer: asyncio.StreamWriter

    async def look(self) -> bool:
        self.looks += 1
        self.running_looks += 1
        try:
            await self.may_answer.wait()
        finally:
            self.running_looks -= 1
        return self.is_well

    async def handler(self, request: Request) -> bool:
        self._writer = request.writer
        self._writer.write(self.said)
        self.asked.set()
        await request.reader.read()
        return True

    async def says(self, data: bytes) -> None:
        """Say something, and return when it has arrived."""
        self.heard.clear()
        self._writer.write(data)
        await self.heard.wait()

    async def listen(self) -> None:
        client = HTTPClient(Endpoint(self.server.url()), Timeouts(), clock=self.clock)

        def hear(data: bytes) -> bool:
            self.text += data
            self.heard.set()
            return False

        async with client.request("POST", "/", {}, is_well=self.look) as stream:
            self.heard.set()
            await stream.read(hear)
        await client.close()

    async def passes(self, seconds: float) -> None:
        """Let time pass, second by second, and what is due happen."""
        for _ in range(int(seconds)):
            self.clock.pass_to(self.clock.now + 1)
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    async def fails(self) -> EngineError:
        """Return the error that the request ends with."""
        async with asyncio.timeout(10):
            with pytest.raises(EngineError) as error:
                await self.task
        return error.value


@asynccontextmanager
async def waiting(said: bytes) -> AsyncIterator[Waiting]:
    """Ask a server that says so much and no more."""
    wait = Waiting(said)
    async with serving(wait.handler) as wait.server:
        wait.task = asyncio.create_task(wait.listen())
        await wait.asked.wait()
        if said:
            await wait.heard.wait()
        if said.endswith(TOKEN):
            while not wait.text:  # noqa: ASYNC110
                await asyncio.sleep(0)
        yield wait
        wait.task.cancel()
        await asyncio.wait([wait.task])
        assert wait.running_looks == 0, "a look goes on without its request"


@everywhere
async def test_a_well_server_may_be_silent_for_two_minutes(said: bytes) -> None:
    async with waiting(said) as wait:
        await wait.passes(120)
        assert wait.looks == 2
        await wait.says((b"" if said else CHUNKS) + TOKEN)
        await wait.says(END)
        await wait.task
        assert wait.text.endswith(b"az")


@everywhere
async def test_a_server_is_not_checked_before_it_is_silent(said: bytes) -> None:
    async with waiting(said) as wait:
        await wait.passes(44)
        assert wait.looks == 0
        await wait.passes(6)
        assert wait.looks == 1


@everywhere
async def test_a_server_that_is_not_well_is_gone(said: bytes) -> None:
    async with waiting(said) as wait:
        await wait.passes(60)
        wait.is_well = False
        await wait.passes(36)
        error = await wait.fails()
        assert type(error) is EngineLost
        assert "the model server is gone: it said nothing for 90 s" in str(error)
        await wait.server.has_open(0)


@everywhere
async def test_in_the_end_a_well_server_is_given_up_too(said: bytes) -> None:
    async with waiting(said) as wait:
        await wait.passes(590)
        assert not wait.task.done()
        await wait.passes(20)
        error = await wait.fails()
        assert type(error) is EngineTimeout
        assert "said nothing for 600 s" in str(error)
        assert "`first_token_timeout`" in (error.hint or "")
        await wait.server.has_open(0)


async def test_every_byte_restarts_the_silence_timeout() -> None:
    async with waiting(CHUNKS) as wait:
        for _ in range(30):
            await wait.passes(40)
            await wait.says(TOKEN)
        assert wait.looks == 0
        assert not wait.task.done()


async def test_bytes_during_a_health_check_make_its_result_irrelevant() -> None:
    async with waiting(CHUNKS) as wait:
        wait.may_answer.clear()
        wait.is_well = False
        await wait.passes(50)
        assert wait.running_looks == 1
        await wait.says(TOKEN)
        wait.may_answer.set()
        await wait.passes(3)
        assert not wait.task.done()
        await wait.says(END)
        await wait.task


async def test_a_look_that_hangs_is_the_only_one_and_ends_with_the_request() -> None:
    async with waiting(CHUNKS) as wait:
        wait.may_answer.clear()
        await wait.passes(300)
        assert (wait.looks, wait.running_looks) == (1, 1)
        await wait.passes(310)
        assert type(await wait.fails()) is EngineTimeout
        assert wait.running_looks == 0


async def test_cancelling_ends_the_health_check() -> None:
    async with waiting(b"") as wait:
        wait.may_answer.clear()
        await wait.passes(50)
        assert wait.running_looks == 1
        wait.task.cancel()
        await asyncio.wait([wait.task])
        assert wait.running_looks == 0
        assert wait.clock.waiting == 0


async def test_an_error_of_the_health_check_is_raised_in_the_reader() -> None:
    async with waiting(b"") as wait:

        async def broken() -> bool:
            raise LookupError("no look")

        wait.look = broken  # type: ignore[method-assign]
        wait.task.cancel()
        await asyncio.wait([wait.task])
        wait.asked.clear()
        wait.task = asyncio.create_task(wait.listen())
        await wait.asked.wait()
        await wait.passes(50)
        with pytest.raises(LookupError, match="no look"):
            await wait.task


async def test_time_in_which_we_did_not_run_leads_to_no_look() -> None:
    async with waiting(CHUNKS) as wait:
        await wait.passes(20)
        wait.clock.starve_to(2000)
        await wait.passes(20)
        assert wait.looks == 0
        await wait.passes(20)
        assert wait.looks == 1


async def test_a_whole_answer_has_a_limit_in_time() -> None:
    clock = Clock()
    async with serving(Waiting(b"").handler) as server:
        client = HTTPClient(Endpoint(server.url()), Timeouts(), clock=clock)
        asking = asyncio.create_task(client.get("/health", timeout_seconds=3.0))
        await server.has_open(1)
        clock.starve_to(60)
        for _ in range(20):
            await asyncio.sleep(0)
        assert not asking.done(), "our own standstill was counted"
        clock.pass_to(64)
        with pytest.raises(EngineTimeout, match="did not answer /health within 3 s"):
            await asking
        await server.has_open(0)
