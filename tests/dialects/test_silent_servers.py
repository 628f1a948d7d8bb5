"""A server that says nothing for long: what is made of it, by a clock that the test moves.

vLLM computes for minutes without a byte behind the head of an answer, llama.cpp and Ollama before
it. Silence alone ends nothing; a look at the server's health tells whether it is still there.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from server.core.errors import EngineLost
from server.core.protocol import Notice
from server.dialects.base import Ask, Endpoint, Prompt, Upstream
from server.dialects.http import client
from server.dialects.http.timeouts import Timeouts
from server.dialects.ollama.upstream import OllamaUpstream
from server.dialects.openai.flavours import FLAVOURS
from server.dialects.openai.upstream import OpenAIUpstream
from tests.dialects.heard import chunk
from tests.support.answers import CHAT, Answer
from tests.support.clock import Clock
from tests.support.raw_http import CHUNKS, Request, serving


def framed(*items: object) -> bytes:
    """Write lines of JSON as Ollama streams them."""
    data = b"".join(json.dumps(item).encode() + b"\n" for item in items)
    return b"%x\r\n%b\r\n" % (len(data), data)


def sent(*items: object) -> bytes:
    """Write events as servers of OpenAI's form stream them."""
    data = b"".join(b"data: " + json.dumps(item).encode() + b"\n\n" for item in items)
    return b"%x\r\n%b\r\n" % (len(data), data)


ROLE = sent(chunk({"role": "assistant", "content": ""}))
WORD = sent(chunk({"content": "Hi"}))
REST = sent(chunk({"content": "Hi"}), chunk({}, "stop")) + b"0\r\n\r\n"
LINE = framed({"model": "m", "message": {"role": "assistant", "content": "Hi"}, "done": False})
LAST = framed({"model": "m", "done": True, "done_reason": "stop"}) + b"0\r\n\r\n"
LISTS = json.dumps({"data": [{"id": "m"}], "models": [{"name": "m"}], "version": "1"}).encode()
WELL = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(LISTS), LISTS)


class Silent:
    """A question to a server that has said so much and says no more."""

    def __init__(self, said: bytes) -> None:
        self.clock = Clock()
        self.said = said
        self.is_asked = asyncio.Event()
        self.answer = Answer()
        self.begun = 0
        self.looks: list[bool] = []
        self.has_looked = asyncio.Condition()
        self.task: asyncio.Task[None]
        self.stop_listening: Callable[[], None]
        self._writer: asyncio.StreamWriter

    async def handler(self, request: Request) -> bool:
        if request.first_line.startswith("GET"):
            request.writer.write(WELL)
            return False
        self._writer = request.writer
        self._writer.write(self.said)
        self.is_asked.set()
        await request.reader.read()
        return True

    async def ask(self, upstream: Upstream) -> None:
        question = Ask(Prompt(CHAT), {}, model="m")
        waits: list[Notice | None] = self.answer.waits
        tokens = self.answer.tokens.extend
        self.answer.finish = await upstream.generate(question, tokens, waits.append)

    async def passes(self, seconds: int, *, looks: int) -> None:
        """Let time pass, second by second; it stands while somebody looks.

        After it, there have been so many looks in all.
        """
        for _ in range(seconds):
            self.clock.pass_to(self.clock.now + 1)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            async with asyncio.timeout(10), self.has_looked:
                await self.has_looked.wait_for(lambda: len(self.looks) == self.begun)
        assert len(self.looks) == looks

    async def says(self, data: bytes) -> None:
        self._writer.write(data)
        async with asyncio.timeout(10):
            await self.task


@asynccontextmanager
async def silent(
    flavour: str, said: bytes, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Silent]:
    """Ask a server, and return once it has said what it says before it is silent."""
    wait = Silent(said)
    kind: Any = OllamaUpstream if flavour == "ollama" else OpenAIUpstream
    is_healthy = kind.is_healthy

    async def look(self: Upstream, *, timeout_seconds: float) -> bool:
        wait.begun += 1
        is_well: bool = await is_healthy(self, timeout_seconds=timeout_seconds)
        async with wait.has_looked:
            wait.looks.append(is_well)
            wait.has_looked.notify_all()
        return is_well

    monkeypatch.setattr(kind, "is_healthy", look)
    monkeypatch.setattr(client, "LoopClock", lambda: wait.clock)
    async with serving(wait.handler) as server:
        endpoint = Endpoint(server.url(), model="m")
        upstream: Upstream = (
            OllamaUpstream(endpoint, Timeouts())
            if flavour == "ollama"
            else OpenAIUpstream(endpoint, FLAVOURS[flavour], Timeouts())
        )
        wait.stop_listening = server.stop_listening
        wait.task = asyncio.create_task(wait.ask(upstream))
        await wait.is_asked.wait()
        yield wait
        wait.task.cancel()
        await asyncio.wait([wait.task])
        await upstream.close()


PLACES = [
    pytest.param("llama.cpp", b"", CHUNKS + REST, id="llama.cpp: before the head"),
    pytest.param("vllm", CHUNKS, REST, id="vLLM: after the head"),
    pytest.param("vllm", CHUNKS + ROLE, REST, id="vLLM: after the role"),
    pytest.param("sglang", b"", CHUNKS + REST, id="SGLang: before the head"),
    pytest.param("plain", CHUNKS + WORD, REST, id="an unknown server: after a word"),
    pytest.param("ollama", b"", CHUNKS + LINE + LAST, id="Ollama: before the head"),
    pytest.param("ollama", CHUNKS, LINE + LAST, id="Ollama: after the head"),
]


@pytest.mark.parametrize(("flavour", "said", "rest"), PLACES)
async def test_two_minutes_of_silence_end_no_answer_of_a_well_server(
    flavour: str, said: bytes, rest: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with silent(flavour, said, monkeypatch) as wait:
        await wait.passes(50, looks=1)
        await wait.passes(50, looks=2)
        await wait.passes(20, looks=2)
        assert wait.looks == [True, True]
        assert not wait.task.done()
        await wait.says(rest)
        assert wait.answer.text.endswith("Hi")
        assert wait.answer.finish is not None
        assert wait.answer.finish.reason == "stop"


@pytest.mark.parametrize(("flavour", "said", "rest"), PLACES)
async def test_a_server_that_closed_its_port_and_says_nothing_is_gone_after_one_look(
    flavour: str, said: bytes, rest: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As vLLM does when it is told to end: no byte and no end on the streams it has open."""
    async with silent(flavour, said, monkeypatch) as wait:
        wait.stop_listening()
        await wait.passes(50, looks=1)
        async with asyncio.timeout(10):
            with pytest.raises(EngineLost, match="does not say that it is well"):
                await wait.task
        assert wait.looks == [False]
        assert wait.answer.text == ("Hi" if WORD in said else "")
