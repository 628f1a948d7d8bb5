"""TGI's dialect against TGI itself: its launcher and router, over a stand-in for its shard.

What reaches us is held against the bytes that passed, read here by other code; refusals and chats
against what TGI answers to another client.
"""

import asyncio
import math
import signal
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
from tests.conftest import KeepLog
from tests.real.asking import CEILING_SECONDS, Heard, ask, events_of, post, tgi_at
from tests.support.real_servers import RealServer, has, tgi
from tests.support.recording_proxy import RecordingProxy, recording_proxy

__test__ = has("tgi")

STREAMS = 200
CHATS = [
    [Message("user", "What is a lighthouse?")],
    [Message("system", "Be brief."), Message("user", "見て 😀\n\nand then?")],
    [Message("user", "One"), Message("assistant", "Two"), Message("user", "Three <|im_end|> ?")],
]


def sent_for(proxy: RecordingProxy, prompt: str) -> list[dict[str, Any]]:
    """Return the events that TGI sent for a prompt, as they passed the proxy."""
    exchange = proxy.exchange(containing=prompt.encode(), path="/generate_stream")
    assert exchange.response.is_whole
    return events_of(exchange.response.body)


def assert_same(heard: Heard, events: list[dict[str, Any]]) -> None:
    """Hold every token of an answer, and its end, against TGI's events."""
    tokens = [event["token"] for event in events]
    assert [(t.id, t.text, t.special) for t in heard.tokens] == [
        (token["id"], token["text"], token["special"]) for token in tokens
    ]
    for ours, theirs in zip(heard.tokens, tokens, strict=True):
        assert ours.logprob is not None
        assert math.isclose(ours.logprob, theirs["logprob"])
    for ours, event in zip(heard.tokens, events, strict=True):
        others = [(o["id"], o["text"]) for o in event.get("top_tokens") or []]
        assert [(o.id, o.text) for o in ours.top or []] == others
    details = events[-1]["details"]
    assert heard.finish is not None, heard.error
    assert heard.finish.completion_tokens == details["generated_tokens"]
    assert heard.finish.prompt_tokens == details["input_length"]
    assert heard.finish.reason == ("length" if details["finish_reason"] == "length" else "stop")


async def test_two_hundred_streams_at_once_are_tgi_s_own(keep_log: KeepLog) -> None:
    """Prompts, lengths, stops and alternatives differ, so that answers mixed up would show."""
    server = tgi("--max-concurrent-requests", str(STREAMS), rate=20)
    keep_log("TGI", server.log)
    async with (
        server,
        recording_proxy(server.url) as proxy,
        tgi_at(proxy.url) as upstream,
        asyncio.timeout(CEILING_SECONDS),
    ):
        prompts = [f"[Question {number}] why?" for number in range(STREAMS)]
        kinds: list[dict[str, Any]] = [
            {"max_new_tokens": 25},
            {"max_new_tokens": 100},
            {"max_new_tokens": 60, "stop": ["his mind", "😀"]},
            {"max_new_tokens": 12, "top_n_tokens": 3},
            {"max_new_tokens": 30, "temperature": 0.7, "seed": 7},
        ]
        answers = await asyncio.gather(
            *(ask(upstream, prompt, kinds[n % len(kinds)]) for n, prompt in enumerate(prompts))
        )
        for prompt, heard in zip(prompts, answers, strict=True):
            assert_same(heard, sent_for(proxy, prompt))
        assert len({heard.text for heard in answers}) > STREAMS // 4
        reasons = {heard.finish.reason for heard in answers if heard.finish}
        assert reasons == {"stop", "length"}


async def test_answers_of_every_kind_of_letter_are_whole(real_tgi: RealServer) -> None:
    text = "naïve 東京 \U0001f468\u200d\U0001f469\u200d\U0001f467 \u2028\u0085\x07 data: {}\n\n."
    async with recording_proxy(real_tgi.url) as proxy, tgi_at(proxy.url) as upstream:
        heard = await ask(upstream, f"[[say {text}]]", {"max_new_tokens": 100})
        assert heard.text == text
        assert_same(heard, sent_for(proxy, "[[say"))


@pytest.mark.parametrize("stop", ["hre", "wo th", "e f"])
async def test_an_answer_ends_at_a_stop_text_that_ends_inside_a_token(
    real_tgi: RealServer, stop: str
) -> None:
    text = "one two three four five six seven eight nine ten"
    async with tgi_at(real_tgi.url) as upstream:
        parameters = {"max_new_tokens": 100, "stop": [stop]}
        heard = await ask(upstream, f"[[say {text}]]", parameters)
    assert heard.text == text.partition(stop)[0] + stop
    assert heard.finish is not None, heard.error
    assert heard.finish.reason == "stop"


@pytest.mark.parametrize("chat", CHATS, ids=len)
@pytest.mark.parametrize("sampling", [{}, {"temperature": 0.7, "seed": 5}], ids=["greedy", "seed"])
async def test_chats_are_those_of_v1(
    real_tgi: RealServer,
    chat: list[Message],
    sampling: dict[str, Any],
) -> None:
    messages = [{"role": message.role, "content": message.content} for message in chat]
    body = {"model": "tgi", "messages": messages, "max_tokens": 50, "temperature": 0, **sampling}
    status, answered = await post(real_tgi.url + "/v1/chat/completions", body)
    assert status == 200, answered
    async with tgi_at(real_tgi.url) as upstream:
        prompt = await upstream.prompt(chat, needs_count=True)
        heard = await ask(upstream, prompt, {"max_new_tokens": 50, **sampling})
    assert heard.finish is not None, heard.error
    assert heard.text == answered["choices"][0]["message"]["content"]
    usage = answered["usage"]
    assert prompt.tokens == heard.finish.prompt_tokens == usage["prompt_tokens"]
    assert heard.finish.completion_tokens == usage["completion_tokens"]


@pytest.mark.parametrize(
    "parameters",
    [
        {"top_p": 1.5},
        {"temperature": -1.0},
        {"repetition_penalty": 0.0},
        {"stop": ["a", "b", "c", "d", "e"]},
        {"top_n_tokens": 9},
        {"max_new_tokens": 0},
    ],
    ids=lambda parameters: next(iter(parameters)),
)
async def test_refusals_carry_the_message_of_tgi(
    real_tgi: RealServer,
    parameters: dict[str, Any],
) -> None:
    whole = {"max_new_tokens": 5, **parameters}
    status, refusal = await post(
        real_tgi.url + "/generate", {"inputs": "Hi", "parameters": {**whole, "details": True}}
    )
    assert status == 422
    async with tgi_at(real_tgi.url) as upstream:
        heard = await ask(upstream, "Hi", whole)
    assert isinstance(heard.error, InvalidParameters | PromptTooLong)
    assert str(heard.error) == refusal["error"].removeprefix("Input validation error: ")


async def test_a_prompt_that_is_too_long_is_told_as_such(real_tgi: RealServer) -> None:
    async with tgi_at(real_tgi.url) as upstream:
        heard = await ask(upstream, "word " * 2000, {"max_new_tokens": 5})
    assert isinstance(heard.error, PromptTooLong)
    assert "1024" in str(heard.error)


async def test_a_failure_of_the_shard_comes_after_its_words(real_tgi: RealServer) -> None:
    async with recording_proxy(real_tgi.url) as proxy, tgi_at(proxy.url) as upstream:
        heard = await ask(upstream, "[[raise the lamp broke]]")
        assert isinstance(heard.error, EngineError)
        assert "the lamp broke" in str(heard.error)
        *events, error = sent_for(proxy, "the lamp broke")
        assert "error" in error
        assert [token.text for token in heard.tokens] == [e["token"]["text"] for e in events]
        # The shard lives on.
        assert (await ask(upstream, "And now?")).finish is not None


async def test_tgi_describes_its_limits_and_capabilities(real_tgi: RealServer) -> None:
    async with tgi_at(real_tgi.url) as upstream:
        info = await upstream.describe()
        assert (info.max_input_tokens, info.max_total_tokens) == (1024, 2048)
        assert info.max_concurrent_requests == 128
        assert info.has_chat_template
        assert await upstream.is_healthy(timeout_seconds=5)
        assert "tgi_" in await upstream.metrics(max_bytes=1 << 20)


@pytest.mark.parametrize("victim", ["text-generation-router", "text-generation-server serve"])
async def test_a_server_killed_in_mid_answer_is_told_after_its_words(
    victim: str, keep_log: KeepLog
) -> None:
    server = tgi(rate=20)
    keep_log("TGI", server.log)
    async with server, tgi_at(server.url) as upstream, asyncio.timeout(CEILING_SECONDS):
        heard = Heard()
        asking = asyncio.create_task(
            ask(upstream, "[[forever]]", {"max_new_tokens": 1000}, heard=heard)
        )
        await heard.began.wait()
        server.kill_process(victim)
        await asking
        assert isinstance(heard.error, EngineLost)
        assert heard.tokens
        assert heard.finish is None
        assert await server.ended() == 1
        assert not await upstream.is_healthy(timeout_seconds=5)
        assert isinstance((await ask(upstream, "Hi")).error, EngineLost)


async def test_keep_alives_keep_a_queued_request_beyond_the_limit_of_silence(
    keep_log: KeepLog,
) -> None:
    """TGI comments each 15 seconds, which no option changes; leaving the place frees it."""
    server = tgi("--max-batch-size", "1", rate=20)
    keep_log("TGI", server.log)
    async with (
        server,
        recording_proxy(server.url) as proxy,
        tgi_at(proxy.url, read_timeout=20) as upstream,
        asyncio.timeout(CEILING_SECONDS),
    ):
        first = Heard()
        blocking = asyncio.create_task(
            ask(upstream, "[[forever]]", {"max_new_tokens": 1000}, heard=first)
        )
        await first.began.wait()
        second = Heard()
        waiting = asyncio.create_task(ask(upstream, "[[say at last]]", heard=second))
        await proxy.until(
            lambda p: p.connections[-1].received.count(b":\n\n") >= 2, ceiling_seconds=50
        )
        assert not second.tokens
        blocking.cancel()
        await waiting
        assert second.text == "at last"
        assert_same(second, sent_for(proxy, "at last"))


async def test_sigterm_lets_a_stream_end_and_takes_no_other(keep_log: KeepLog) -> None:
    server = tgi(rate=20)
    keep_log("TGI", server.log)
    async with (
        server,
        recording_proxy(server.url) as proxy,
        tgi_at(proxy.url) as upstream,
        asyncio.timeout(CEILING_SECONDS),
    ):
        heard = Heard()
        asking = asyncio.create_task(
            ask(upstream, "[[forever]]", {"max_new_tokens": 60}, heard=heard)
        )
        await heard.began.wait()
        server.send(signal.SIGTERM)
        await server.wait_until_refused()
        assert isinstance((await ask(upstream, "Hi")).error, EngineLost)
        await asking
        assert_same(heard, sent_for(proxy, "forever"))
        assert len(heard.tokens) == 60
        assert await server.ended() == 0


async def test_no_place_and_no_key_are_told_apart(keep_log: KeepLog) -> None:
    server = tgi("--max-concurrent-requests", "1", "--api-key", "Right", rate=20)
    keep_log("TGI", server.log)
    async with server, tgi_at(server.url, key="Right") as upstream, tgi_at(server.url) as stranger:
        heard = Heard()
        asking = asyncio.create_task(
            ask(upstream, "[[forever]]", {"max_new_tokens": 1000}, heard=heard)
        )
        await heard.began.wait()
        assert isinstance((await ask(upstream, "Hi")).error, EngineOverloaded)
        refused = (await ask(stranger, "Hi")).error
        assert isinstance(refused, EngineError)
        assert "key" in str(refused)
        asking.cancel()
