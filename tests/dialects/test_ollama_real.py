"""Ollama's dialect, spoken to a real Ollama with a small real model.

Left out where no Ollama is: see `tests/support/real_servers.py`.
"""

import asyncio
import json
import os
import re
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from server.core.errors import (
    EngineError,
    EngineLost,
    EngineOverloaded,
    InvalidParameters,
    PromptTooLong,
)
from server.core.protocol import Message
from server.dialects.base import Endpoint
from server.dialects.http.client import HTTPClient, Timeouts
from server.dialects.ollama.upstream import OllamaUpstream
from tests.conftest import KeepLog
from tests.dialects.ollama_asking import CHAT, Heard, generate, soon
from tests.support.real_servers import RealServer, has, ollama
from tests.support.recording_proxy import recording_proxy

__test__ = has("ollama")

STREAMS = 40
SLOTS = 4
GREEDY = {"temperature": 0, "max_new_tokens": 8}
SHORT = {"temperature": 0, "max_new_tokens": 5}
LONG = {"temperature": 1, "seed": 3, "max_new_tokens": 1500}
STORY = [Message("user", "Tell a very long story about a dragon, with many chapters.")]

Connect = Callable[..., OllamaUpstream]


@pytest.fixture(scope="module")
def running() -> Iterator[RealServer]:
    with ollama(environment={"OLLAMA_NUM_PARALLEL": str(SLOTS)}) as server:
        yield server


@pytest.fixture
def server(running: RealServer, keep_log: KeepLog) -> RealServer:
    """Return one server for all tests that leave it as they find it."""
    keep_log("ollama", running.log)
    return running


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Return a function that speaks to a server; what it makes is closed at the end."""
    made: list[OllamaUpstream] = []

    def connect(server: RealServer, **more: Any) -> OllamaUpstream:
        endpoint = {"url": server.url, "dialect": "ollama", "model": server.model, **more}
        made.append(OllamaUpstream(Endpoint(**endpoint), Timeouts()))
        return made[-1]

    yield connect
    for upstream in made:
        await upstream.close()


async def ask_itself(server: RealServer, path: str, body: object = None) -> Any:
    """Return what the server says to a plain request of ours, as objects."""
    client = HTTPClient(Endpoint(server.url), Timeouts())
    try:
        reply = await (client.get(path) if body is None else client.post(path, body))
    finally:
        await client.close()
    return [json.loads(line) for line in reply.body.splitlines()]


async def loaded(server: RealServer) -> Any:
    (said,) = await ask_itself(server, "/api/ps")
    return said["models"]


async def until_unloaded(server: RealServer) -> None:
    for _ in range(1000):
        if not await loaded(server):
            return
        await asyncio.sleep(0.02)
    pytest.fail("the model stays in memory")


def text_of(lines: list[dict[str, Any]]) -> str:
    return "".join(
        line.get("response", "") + line.get("message", {}).get("content", "") for line in lines
    )


# --- answers ------------------------------------------------------------------------------------


async def test_many_streams_at_once(server: RealServer, connect: Connect) -> None:
    """Each stream's text is what its own connection carried, byte for byte."""
    async with recording_proxy(server.url) as proxy:
        upstream = connect(server, url=proxy.url)
        marks = [f"no. {number:04}" for number in range(STREAMS)]
        asking = [
            generate(upstream, f"é {mark}" if number % 4 else [Message("user", mark)], SHORT)
            for number, mark in enumerate(marks)
        ]
        answers = await asyncio.gather(*asking)
        exchanges = [
            each for each in proxy.exchanges() if each.request.start_line.startswith("POST ")
        ]
        assert len(exchanges) == STREAMS
        carried = {
            mark: exchange.response.body
            for exchange in exchanges
            for mark in re.findall(r"no\. \d{4}", exchange.request.body.decode())
        }
        for mark, heard in zip(marks, answers, strict=True):
            lines = [json.loads(line) for line in carried[mark].splitlines()]
            assert heard.error is None
            assert heard.finish is not None
            assert heard.text == text_of(lines) != ""
            assert heard.finish.prompt_tokens == lines[-1]["prompt_eval_count"]
            assert heard.finish.completion_tokens == lines[-1]["eval_count"]
    assert upstream.meter.heard >= STREAMS


@pytest.mark.parametrize(
    ("content", "path", "body"),
    [
        (CHAT, "/api/chat", {"messages": [{"role": m.role, "content": m.content} for m in CHAT]}),
        ("Once upon a time", "/api/generate", {"prompt": "Once upon a time", "raw": True}),
    ],
    ids=["chat", "text"],
)
async def test_same_answer_as_asking_it_directly(
    server: RealServer, connect: Connect, content: Any, path: str, body: dict[str, Any]
) -> None:
    options = {"temperature": 0.9, "seed": 11, "num_predict": 24, "top_k": 0, "top_p": 1}
    named = {"model": server.model, "shift": False, "options": options}
    # What the cache has of a prompt changes how the rest is computed: all ask for the third time.
    for _ in range(2):
        await ask_itself(server, path, body | named)
    lines = await ask_itself(server, path, body | named)
    parameters = {"temperature": 0.9, "seed": 11, "max_new_tokens": 24, "top_k": 0, "top_p": 1}
    heard = await generate(connect(server), content, parameters)
    assert heard.text == text_of(lines) != ""


async def test_grammar_binds(server: RealServer, connect: Connect) -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 8}, "age": {"type": "integer"}},
        "required": ["name", "age"],
    }
    grammar = {"type": "json", "value": schema}
    parameters = {"grammar": grammar, "temperature": 0, "max_new_tokens": 120}
    heard = await generate(connect(server), [Message("user", "Give a person.")], parameters)
    assert heard.finish is not None
    assert set(json.loads(heard.text)) == {"name", "age"}
    assert heard.finish.reason == "stop"


async def test_probabilities(server: RealServer, connect: Connect) -> None:
    heard = await generate(connect(server), CHAT, {**GREEDY, "top_n_tokens": 3})
    assert heard.finish is not None
    assert len(heard.tokens) == heard.finish.completion_tokens
    for token in heard.tokens:
        assert token.top is not None
        assert token.logprob == token.top[0].logprob
        assert (token.text, len(token.top)) == (token.top[0].text, 3)


async def test_all_parameters_are_taken(server: RealServer, connect: Connect) -> None:
    parameters = {
        "max_new_tokens": 4,
        "temperature": 0.7,
        "top_p": 0.9,
        "top_k": 30,
        "min_p": 0.01,
        "typical_p": 0.9,
        "repetition_penalty": 1.2,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.1,
        "seed": 2**64 - 1,
        "stop": ["\n\n"],
        "do_sample": True,
        "top_n_tokens": 2,
    }
    heard = await generate(connect(server), CHAT, parameters)
    assert heard.error is None


async def test_refusals(server: RealServer, connect: Connect) -> None:
    upstream = connect(server)
    heard = await generate(upstream, model="no-such-model")
    assert type(heard.error) is EngineError
    assert heard.error.hint == "fetch it there with `ollama pull no-such-model`"
    for extra in ({"think": True}, {"options": {"num_keep": "x"}}, {"top_logprobs": 99}):
        heard = await generate(upstream, extra=extra)
        assert isinstance(heard.error, InvalidParameters), extra
    grammar = {"type": "json", "value": {"type": "objekt"}}
    heard = await generate(upstream, CHAT, {"grammar": grammar})
    assert isinstance(heard.error, InvalidParameters)
    assert "objekt" in heard.error.message


@pytest.mark.parametrize("content", ["word " * 3000, [Message("user", "word " * 3000)]])
async def test_prompt_that_is_too_long(server: RealServer, connect: Connect, content: Any) -> None:
    heard = await generate(connect(server), content, GREEDY)
    assert isinstance(heard.error, PromptTooLong)
    assert heard.error.details is not None
    assert heard.error.details["n_ctx"] == 2048
    assert heard.error.details["n_prompt_tokens"] >= 3000


# --- looking ------------------------------------------------------------------------------------


async def test_looking_keeps_nothing_alive(server: RealServer, connect: Connect) -> None:
    upstream = connect(server)
    await upstream.load("")
    before = await loaded(server)
    assert await upstream.is_healthy(timeout_seconds=5)
    info = await upstream.describe()
    (model, *_) = await upstream.models()
    assert await loaded(server) == before
    assert (info.is_loaded, info.max_total_tokens) == (True, 2048)
    assert info.model_context_tokens == model.model_context_tokens == 8192
    assert info.has_chat_template
    assert (model.kind, model.is_loaded, model.context_tokens) == ("text", True, 2048)


async def test_looking_loads_nothing(connect: Connect) -> None:
    async with ollama() as server:
        upstream = connect(server)
        assert await upstream.is_healthy(timeout_seconds=5)
        info = await upstream.describe()
        (model, *_) = await upstream.models()
        assert (info.is_loaded, info.max_total_tokens, model.is_loaded) == (False, None, False)
        assert await loaded(server) == []


# --- loading ------------------------------------------------------------------------------------


async def test_load_answer_unload(connect: Connect) -> None:
    async with ollama() as server:
        upstream = connect(server, flags=frozenset({"num_ctx=1024"}))
        await upstream.load("")
        engine = server.process("llama-server")
        assert (await upstream.describe()).max_total_tokens == 1024
        heard = await generate(upstream, CHAT, GREEDY)
        assert heard.error is None
        assert heard.waits == []
        # The model was loaded as an answer needs it, and not once more.
        assert server.process("llama-server") == engine

        await upstream.unload("")
        await until_unloaded(server)
        heard = await generate(upstream, CHAT, GREEDY)
        assert heard.finish is not None
        assert [notice and notice.code for notice in heard.waits] == ["server_loads", None]
        assert heard.finish.details["load_ms"] > 100


# --- ends that nobody asked for -----------------------------------------------------------------


async def begin(upstream: OllamaUpstream) -> tuple[Heard, asyncio.Task[Heard]]:
    """Return once the first words of a long answer are there."""
    heard = Heard()
    task = asyncio.create_task(generate(upstream, STORY, LONG, heard=heard))
    await soon(heard.began.wait())
    return heard, task


async def test_cancelling_frees_the_slot(connect: Connect) -> None:
    async with ollama(environment={"OLLAMA_NUM_PARALLEL": "1"}) as server:
        upstream = connect(server)
        heard, task = await begin(upstream)
        assert "cancel task" not in server.log()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.wait_for_log("cancel task")
        assert len(heard.tokens) < LONG["max_new_tokens"]
        after = await soon(generate(upstream, CHAT, GREEDY))
        assert after.error is None


async def test_engine_that_is_killed_in_the_middle(connect: Connect) -> None:
    async with ollama() as server:
        upstream = connect(server)
        heard, task = await begin(upstream)
        os.kill(server.process("llama-server"), signal.SIGKILL)
        await soon(task)
        assert isinstance(heard.error, EngineLost)
        assert heard.text
        after = await soon(generate(upstream, CHAT, GREEDY))
        assert after.error is None


async def test_server_that_is_killed_in_the_middle(connect: Connect) -> None:
    async with ollama() as server:
        upstream = connect(server)
        heard, task = await begin(upstream)
        server.kill()
        await soon(task)
        assert isinstance(heard.error, EngineLost)
        assert heard.text
        assert not await upstream.is_healthy(timeout_seconds=5)


async def test_no_place_in_the_queue(connect: Connect) -> None:
    async with ollama(environment={"OLLAMA_NUM_PARALLEL": "1", "OLLAMA_MAX_QUEUE": "1"}) as server:
        upstream = connect(server)
        answers = await soon(asyncio.gather(*(generate(upstream, CHAT, GREEDY) for _ in range(12))))
        refused = [heard.error for heard in answers if heard.error is not None]
        assert refused
        assert all(isinstance(error, EngineOverloaded) for error in refused)
        assert len(refused) < len(answers)
