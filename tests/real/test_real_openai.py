"""OpenAI's form at real servers: llama.cpp's out of the wheel everywhere, others where they are."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

from server.core.errors import EngineError, EngineOverloaded, InvalidParameters, PromptTooLong
from server.core.protocol import Message
from server.dialects.base import Ask, Endpoint, Prompt
from server.dialects.connector import Connector
from server.dialects.http.client import Timeouts
from server.dialects.openai.upstream import OpenAIUpstream
from tests.support.answers import CHAT, answered, ask
from tests.support.real_servers import RealServer, available, has, llama_cpp, llama_server

LLAMAS = available("llama.cpp", "llama-server")


@asynccontextmanager
async def connected(
    url: str, dialect: str = "auto", api_key: str = "", model: str = ""
) -> AsyncIterator[OpenAIUpstream]:
    endpoint = Endpoint(url, dialect=dialect, api_key=api_key, model=model)
    upstream = await Connector(Timeouts()).connect(endpoint)
    assert isinstance(upstream, OpenAIUpstream)
    try:
        yield upstream
    finally:
        await upstream.close()


@pytest.mark.parametrize("any_process", LLAMAS, indirect=True)
async def test_llama_tells_who_it_is(real_server: RealServer) -> None:
    async with connected(real_server.url) as upstream:
        info = await upstream.describe()
        assert (info.flavour, info.model_id) == ("llama.cpp", "smollm2")
        assert (info.max_total_tokens, info.model_context_tokens) == (2048, 8192)
        assert info.max_concurrent_requests == 2
        assert info.has_chat_template
        assert info.defaults["temperature"] == 0.8
        assert await upstream.is_healthy(timeout_seconds=10)
        assert "llamacpp:" in await upstream.metrics(max_bytes=100_000)
        (model,) = await upstream.models()
        assert model.details["parameters"] == "135M"


@pytest.mark.parametrize("any_process", LLAMAS, indirect=True)
async def test_llama_counts_what_it_then_reads(real_server: RealServer) -> None:
    async with connected(real_server.url) as upstream:
        for content in (CHAT, (Message("system", "Be 東京."), *CHAT), "The capital of France is"):
            prompt = await upstream.prompt(content, needs_count=True)
            finish = (await answered(upstream, Ask(prompt, {"max_new_tokens": 1}))).finish
            assert finish is not None
            assert finish.prompt_tokens == prompt.tokens
            assert finish.notices == ()


@pytest.mark.parametrize("any_process", LLAMAS, indirect=True)
async def test_llama_takes_all_that_it_is_said_to_take(
    real_server: RealServer,
) -> None:
    parameters: dict[str, Any] = {
        "max_new_tokens": 4,
        "temperature": 0.7,
        "top_p": 0.9,
        "top_k": 20,
        "typical_p": 0.9,
        "min_p": 0.05,
        "repetition_penalty": 1.1,
        "frequency_penalty": 0.1,
        "presence_penalty": 0.1,
        "logit_bias": {"30": -1},
        "seed": 2**64 - 1,
        "stop": ["\n\n", "###"],
        "top_n_tokens": 3,
        "grammar": {"type": "json", "value": {"type": "object"}},
    }
    async with connected(real_server.url) as upstream:
        takes = (await upstream.describe()).takes
        assert takes is not None
        assert parameters.keys() <= takes
        for content in (CHAT, "Once"):
            answer = await answered(upstream, ask(content, **parameters))
            assert answer.codes == []
            assert answer.finish is not None
            assert answer.finish.completion_tokens == 4


@pytest.mark.parametrize("any_process", LLAMAS, indirect=True)
async def test_llama_is_greedy_when_told_so_and_only_then(
    real_server: RealServer,
) -> None:
    async with connected(real_server.url) as upstream:
        greedy = ask(max_new_tokens=12, temperature=0)
        assert (await answered(upstream, greedy)).text == (await answered(upstream, greedy)).text
        seeded = ask("Once", max_new_tokens=12, temperature=1.5, seed=7)
        assert (await answered(upstream, seeded)).text == (await answered(upstream, seeded)).text
        # The penalty is there: "off" and 1.8 do not read the same.
        question = partial(ask, "yes yes yes yes yes yes yes yes", max_new_tokens=16, temperature=0)
        off = await answered(upstream, question(repetition_penalty=1))
        on = await answered(upstream, question(repetition_penalty=1.8))
        assert off.text != on.text


@pytest.mark.parametrize("any_process", LLAMAS, indirect=True)
async def test_llama_tells_ids_and_alternatives(real_server: RealServer) -> None:
    async with connected(real_server.url) as upstream:
        for content in (CHAT, "The capital of France is"):
            question = ask(content, max_new_tokens=5, temperature=0, top_n_tokens=3)
            tokens = (await answered(upstream, question)).tokens
            assert len(tokens) == 5
            assert all(token.id >= 0 and token.logprob is not None for token in tokens)
            assert all(token.top is not None and len(token.top) == 3 for token in tokens)
        plain = (await answered(upstream, ask(max_new_tokens=5))).tokens
        assert all(token.logprob is None for token in plain)


async def test_stop_text_is_left_out(real_llama: RealServer) -> None:
    async with connected(real_llama.url) as upstream:
        whole = await answered(upstream, ask(max_new_tokens=20, temperature=0))
        stop = whole.text.split()[3]
        cut = await answered(upstream, ask(max_new_tokens=20, temperature=0, stop=[stop]))
        assert cut.text == whole.text[: whole.text.index(stop)]
        assert cut.finish is not None
        assert cut.finish.reason == "stop"


async def test_prompt_too_long_is_told(real_llama: RealServer) -> None:
    async with connected(real_llama.url) as upstream:
        with pytest.raises(PromptTooLong):
            await answered(upstream, ask("word " * 3000, max_new_tokens=1))


async def test_words_of_the_server_reach_the_user(real_llama: RealServer) -> None:
    async with connected(real_llama.url) as upstream:
        question = Ask(Prompt(CHAT), {"max_new_tokens": 1}, extra={"grammar": "root ::= ("})
        with pytest.raises((InvalidParameters, EngineError), match="grammar"):
            await answered(upstream, question)


@pytest.mark.parametrize("any_process", LLAMAS, indirect=True)
async def test_answer_goes_on_with_a_message_and_does_not_repeat_it(
    real_server: RealServer,
) -> None:
    """One of the two versions sends the message again, before the first word."""
    messages = (Message("user", "Count to ten."), Message("assistant", "1, 2, 3,"))
    async with connected(real_server.url) as upstream:
        for wants in (False, True):
            question = Ask(
                Prompt(messages), {"temperature": 0, "max_new_tokens": 4}, wants_tokens=wants
            )
            answer = await answered(upstream, question)
            assert answer.text == " 4, "
            assert len(answer.tokens) == 4


async def test_progress_of_the_prompt_comes_before_the_answer(
    real_llama: RealServer,
) -> None:
    async with connected(real_llama.url) as upstream:
        answer = await answered(upstream, ask("one two " * 200, max_new_tokens=1))
        assert answer.waits
        assert answer.waits[-1] is None


async def test_key_of_a_real_server() -> None:
    async with llama_cpp(key="right") as server:
        with pytest.raises(EngineError, match="`api_key`"):
            async with connected(server.url):
                pass
        async with connected(server.url, api_key="right") as upstream:
            assert (await answered(upstream, ask(max_new_tokens=2))).text


if has("llama-server"):

    async def test_server_that_loads_is_waited_for() -> None:
        async with llama_server(wait=False) as server:
            seen = set()
            while True:
                try:
                    async with connected(server.url) as upstream:
                        assert (await upstream.describe()).model_id == "smollm2"
                        break
                except EngineError as error:
                    seen.add(type(error))
            # Nobody there, perhaps; then somebody who is not ready. Never a wrong flavour.
            assert all(issubclass(kind, EngineError) for kind in seen)
            assert EngineOverloaded in {base for kind in seen for base in kind.__mro__} or not seen


if has("llama-swap"):

    async def states(upstream: OpenAIUpstream) -> dict[str, bool | None]:
        return {model.name: model.is_loaded for model in await upstream.models()}

    async def test_llama_swap_loads_and_unloads_on_request_only(
        real_llama_swap: RealServer,
    ) -> None:
        async with connected(real_llama_swap.url) as upstream:
            for name in await states(upstream):
                await upstream.unload(name)
            assert set((await states(upstream)).values()) == {False}
            # Looking, however often, loads nothing.
            for _ in range(3):
                info = await upstream.describe("one")
                assert info.flavour == "llama-swap"
                assert (info.can_load, info.holds_one_model, info.is_loaded) == (True, True, False)
                assert await upstream.is_healthy(timeout_seconds=10)
                prompt = await upstream.prompt(CHAT, model="one", needs_count=True)
                assert prompt.content == CHAT
                async with connected(real_llama_swap.url):
                    pass
            assert set((await states(upstream)).values()) == {False}
            await upstream.load("one")
            assert (await states(upstream))["one"] is True
            question = Ask(Prompt(CHAT), {"max_new_tokens": 3}, model="two", wants_tokens=True)
            answer = await answered(upstream, question)
            assert [token.id >= 0 for token in answer.tokens] == [True] * 3
            assert await states(upstream) == {"one": False, "two": True}
            await upstream.unload("two")
            assert set((await states(upstream)).values()) == {False}

    async def test_llama_swap_has_no_such_model(real_llama_swap: RealServer) -> None:
        async with connected(real_llama_swap.url) as upstream:
            with pytest.raises(EngineError, match="has no model three; it has one, two"):
                await upstream.describe("three")
            with pytest.raises(EngineError):
                await upstream.load("three")
            with pytest.raises(EngineError, match="several models: one, two"):
                await upstream.describe()


if has("tgi"):

    async def test_tgi_in_openai_s_form(real_tgi: RealServer) -> None:
        async with connected(real_tgi.url, dialect="openai") as upstream:
            info = await upstream.describe()
            assert info.flavour == "tgi-openai"
            assert info.max_total_tokens is not None
            assert info.version.startswith("3.")
            assert await upstream.is_healthy(timeout_seconds=10)
            question = ask(
                (Message("user", "[[say one two three four]]"),), max_new_tokens=50, temperature=0
            )
            answer = await answered(upstream, question)
            assert "one two three four" in answer.text
            stopped = ask(
                (Message("user", "[[say one two three four]]"),), max_new_tokens=50, stop=["three"]
            )
            answer = await answered(upstream, stopped)
            assert answer.text.endswith("one two ")
            assert answer.finish is not None
            assert answer.finish.reason == "stop"
            text = await answered(upstream, ask("[[say naïve 東京]]", max_new_tokens=50, seed=5))
            assert "naïve 東京" in text.text
            with pytest.raises(InvalidParameters):
                await answered(upstream, ask(typical_p=0.5))
