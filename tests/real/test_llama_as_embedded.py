"""llama.cpp's own server, spoken to as the embedded engine is: what users of it have."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from server.core.errors import InvalidCommand, InvalidParameters, PromptTooLong
from server.core.protocol import Message
from server.dialects.base import Ask, Endpoint, Prompt
from server.dialects.connector import Connector
from server.dialects.http.client import Timeouts
from server.dialects.openai.upstream import OpenAIUpstream
from tests.support.answers import CHAT, Answer, answered
from tests.support.real_servers import RealServer, available, llama_cpp

LLAMAS = available("llama.cpp", "llama-server")
on_llamas = pytest.mark.parametrize("any_process", LLAMAS, indirect=True)
TEXT = "The capital of France is"
CEILING_SECONDS = 60


@asynccontextmanager
async def embedded(url: str) -> AsyncIterator[OpenAIUpstream]:
    """Speak to a server as the gateway does to its embedded engine."""
    endpoint = Endpoint(
        url, dialect="openai", flavour="llama.cpp", flags=frozenset({"unset_is_greedy"})
    )
    upstream = await Connector(Timeouts()).connect(endpoint)
    assert isinstance(upstream, OpenAIUpstream)
    try:
        yield upstream
    finally:
        await upstream.close()


async def say(
    url: str, content: Any = TEXT, *, wants_tokens: bool = True, **parameters: Any
) -> Answer:
    """Return an answer with its tokens."""
    question = Ask(
        Prompt(content), parameters, chosen=frozenset(parameters), wants_tokens=wants_tokens
    )
    async with embedded(url) as upstream:
        return await answered(upstream, question)


def shown(answer: Answer) -> str:
    """Return the text that readers see."""
    return "".join(token.text for token in answer.tokens if not token.special)


def counted(answer: Answer) -> int | None:
    """Return how many tokens the server says it wrote."""
    assert answer.finish is not None
    return answer.finish.completion_tokens


@on_llamas
@pytest.mark.parametrize("content", [TEXT, CHAT])
async def test_unset_is_the_most_likely_token(real_server: RealServer, content: Any) -> None:
    first = await say(real_server.url, content, max_new_tokens=16)
    assert shown(first) == shown(await say(real_server.url, content, max_new_tokens=16))
    assert shown(first) == shown(
        await say(real_server.url, content, max_new_tokens=16, temperature=0, top_p=0.3)
    )
    for token in first.tokens:
        assert token.top is not None
        assert token.id == token.top[0].id


@on_llamas
async def test_a_seed_repeats_an_answer_and_counts_with_all_its_bits(
    real_server: RealServer,
) -> None:
    async def drawn(seed: int) -> str:
        return shown(await say(real_server.url, max_new_tokens=16, temperature=1.5, seed=seed))

    assert await drawn(7) == await drawn(7)
    assert await drawn(7) != await drawn(8)
    assert await drawn(7 + 2**40) != await drawn(7)
    assert await drawn(2**64 - 1)


@on_llamas
async def test_temperature_alone_draws_from_all_tokens(real_server: RealServer) -> None:
    """Its own defaults of top_k 40, top_p 0.95 and min_p 0.05 are never used."""
    hot = await say(real_server.url, max_new_tokens=24, temperature=100, seed=1)
    assert any(token.logprob is not None and token.logprob < -8 for token in hot.tokens)
    one = await say(real_server.url, max_new_tokens=16, temperature=100, top_k=1, seed=1)
    assert shown(one) == shown(await say(real_server.url, max_new_tokens=16))


async def test_llama_cpp_describes_its_limits_and_parameters(real_llama: RealServer) -> None:
    async with embedded(real_llama.url) as upstream:
        info = await upstream.describe()
    assert info.unset_is_greedy
    assert info.defaults == {}
    assert (info.max_total_tokens, info.max_concurrent_requests) == (2048, 2)
    assert info.takes is not None
    assert {"grammar", "truncate", "typical_p", "top_n_tokens", "seed", "stop"} <= info.takes
    assert not {"watermark", "decoder_input_details", "adapter_id", "best_of"} & info.takes


REGEXES = [
    (r"\d{4}-\d\d-\d\d", {}),
    (r"(yes|no)", {}),
    (r"[^\n\"\\]{3,8}", {"temperature": 1.2, "seed": 3}),
    (r"日本語|[ぁ-ん]{2,4}", {"temperature": 1.2, "seed": 3}),
    (r"a{0,5000}b", {}),
    (r'"[^"]{,9}"\t/\\', {"temperature": 1.2, "seed": 3}),
    (r"(?i)hello \w+ 🙂", {}),
]


@on_llamas
@pytest.mark.parametrize("content", [TEXT, CHAT])
@pytest.mark.parametrize(("pattern", "parameters"), REGEXES)
async def test_answers_match_a_regular_expression(
    real_server: RealServer, content: Any, pattern: str, parameters: Mapping[str, Any]
) -> None:
    grammar = {"type": "regex", "value": pattern}
    asked = {"max_new_tokens": 200, **parameters, "grammar": grammar}
    answer = await say(real_server.url, content, **asked)
    assert re.fullmatch(pattern.replace("{,", "{0,"), shown(answer)), shown(answer)
    assert answer.finish is not None
    assert answer.finish.reason == "stop"
    assert answer.tokens[-1].special


SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "age": {"type": "integer", "minimum": 1, "maximum": 120},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 2},
    },
    "required": ["name", "age", "tags"],
}


@on_llamas
@pytest.mark.parametrize("content", [TEXT, CHAT])
@pytest.mark.parametrize("kind", ["json", "json_schema", "text"])
async def test_answers_keep_to_a_schema(real_server: RealServer, content: Any, kind: str) -> None:
    grammar = {
        "json": {"type": "json", "value": SCHEMA},
        "text": {"type": "json", "value": json.dumps(SCHEMA)},
        "json_schema": {"type": "json_schema", "value": {"name": "x", "schema": SCHEMA}},
    }[kind]
    answer = await say(real_server.url, content, max_new_tokens=200, grammar=grammar)
    value = json.loads(shown(answer))
    assert value.keys() == {"name", "age", "tags"}
    assert 1 <= value["age"] <= 120
    assert len(value["name"]) <= 12


@on_llamas
@pytest.mark.parametrize("content", [TEXT, CHAT])
async def test_bounds_that_llama_cpp_passes_over_hold(
    real_server: RealServer, content: Any
) -> None:
    schema = {
        "type": "object",
        "properties": {
            "share": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
            "code": {"type": "string", "pattern": r"^[A-Z]{2}-\d+$"},
        },
        "required": ["share", "code"],
    }
    grammar = {"type": "json", "value": schema}
    value = json.loads(
        shown(await say(real_server.url, content, max_new_tokens=200, grammar=grammar))
    )
    assert 0 < value["share"] < 1
    assert re.fullmatch(r"[A-Z]{2}-\d+", value["code"])


@on_llamas
@pytest.mark.parametrize("content", [TEXT, CHAT])
@pytest.mark.parametrize(
    "grammar",
    [
        {"type": "regex", "value": "("},
        {"type": "regex", "value": r"(a)\1"},
        {"type": "regex", "value": "(?=a)b"},
        {"type": "json", "value": {"type": "objekt"}},
        {"type": "json", "value": "{"},
        {"type": "json", "value": {"properties": {"a": {"not": {}}}}},
        {"type": "json", "value": {"$ref": "#"}},
    ],
)
async def test_bad_grammar_is_refused_by_name_before_anything_is_computed(
    real_server: RealServer, content: Any, grammar: Any
) -> None:
    before = await _figure(real_server, "prompt_tokens_total")
    with pytest.raises(InvalidParameters, match=r"^`grammar[`.]"):
        await say(real_server.url, content, max_new_tokens=4, grammar=grammar)
    assert await _figure(real_server, "prompt_tokens_total") == before


@on_llamas
@pytest.mark.parametrize("content", [TEXT, CHAT])
@pytest.mark.parametrize("pattern", ["🙂日a語é🚀", "日本語で"])
async def test_tokens_that_complete_no_character_are_tokens(
    real_server: RealServer, content: Any, pattern: str
) -> None:
    grammar = {"type": "regex", "value": pattern}
    answer = await say(real_server.url, content, max_new_tokens=60, grammar=grammar)
    assert shown(answer) == pattern
    assert len(answer.tokens) == counted(answer)
    for token in answer.tokens:
        assert (token.id >= 0 and token.logprob is not None) or token.text == ""
    # Cut inside a character, those of its tokens that were written count too.
    for most in range(1, len(answer.tokens)):
        cut = await say(real_server.url, content, max_new_tokens=most, grammar=grammar)
        assert counted(cut) == most
        assert cut.finish is not None
        assert cut.finish.reason == "length"
        assert pattern.startswith(shown(cut))
        assert len(cut.tokens) in (most, 0)


@on_llamas
@pytest.mark.parametrize("content", [TEXT, CHAT])
async def test_alternatives_come_as_many_as_were_asked_for(
    real_server: RealServer, content: Any
) -> None:
    answer = await say(real_server.url, content, max_new_tokens=5, top_n_tokens=4)
    assert len(answer.tokens) == 5
    for token in answer.tokens:
        assert token.top is not None
        assert len(token.top) == 4
        assert (token.top[0].id, token.top[0].logprob) == (token.id, token.logprob)


@on_llamas
async def test_special_tokens_are_told_and_not_shown(real_server: RealServer) -> None:
    answer = await say(real_server.url, max_new_tokens=3, logit_bias={"1": 100}, wants_tokens=True)
    assert [(token.id, token.text, token.special) for token in answer.tokens] == [(1, "", True)] * 3


@on_llamas
@pytest.mark.parametrize("content", [TEXT, CHAT])
async def test_stop_text_is_cut_and_the_tokens_before_it_are_whole(
    real_server: RealServer, content: Any
) -> None:
    whole = await say(real_server.url, content, max_new_tokens=30)
    words = shown(whole)
    stop = words[11:14]
    cut = await say(real_server.url, content, max_new_tokens=30, stop=[stop, "never so"])
    assert shown(cut) == words[: words.index(stop)]
    assert cut.finish is not None
    assert (cut.finish.reason, cut.finish.details["stop"]) == ("stop", stop)
    assert cut.finish.prompt_tokens == (whole.finish and whole.finish.prompt_tokens)
    assert len(cut.tokens) <= (counted(cut) or 0) < len(whole.tokens)
    *before, last = cut.tokens
    assert before == whole.tokens[: len(before)]
    assert whole.tokens[len(before)].text.startswith(last.text)
    bare = await say(real_server.url, content, max_new_tokens=30, stop=[stop], wants_tokens=False)
    assert shown(bare) == shown(cut)


async def test_context_s_end_is_a_length() -> None:
    async with llama_cpp(slots=1, context=256) as server:
        answer = await say(server.url, "word " * 200, max_new_tokens=200)
    assert answer.finish is not None
    assert answer.finish.reason == "length"
    assert answer.finish.prompt_tokens is not None
    assert answer.finish.prompt_tokens + (counted(answer) or 0) == 256


@on_llamas
@pytest.mark.parametrize("content", ["word " * 3000, (Message("user", "word " * 3000),)])
async def test_prompt_too_long_is_told_with_its_numbers(
    real_server: RealServer, content: Any
) -> None:
    with pytest.raises(PromptTooLong) as refusal:
        await say(real_server.url, content, max_new_tokens=1)
    details = refusal.value.details
    assert details is not None
    assert details["n_ctx"] == 2048
    assert details["n_prompt_tokens"] > 3000


@on_llamas
async def test_truncate_keeps_the_last_tokens_of_a_prompt(real_server: RealServer) -> None:
    short = await say(real_server.url, " of France is", max_new_tokens=6)
    cut = await say(real_server.url, TEXT, max_new_tokens=6, truncate=3)
    assert cut.finish is not None
    assert cut.finish.prompt_tokens == 3
    assert shown(cut) == shown(short)
    assert cut.codes == []
    whole = await say(real_server.url, TEXT, max_new_tokens=6, truncate=500)
    assert shown(whole) == shown(await say(real_server.url, TEXT, max_new_tokens=6))
    long = await say(real_server.url, "word " * 3000, max_new_tokens=2, truncate=100)
    assert long.finish is not None
    assert long.finish.prompt_tokens == 100
    chat = (Message("user", "word " * 3000),)
    async with embedded(real_server.url) as upstream:
        prompt = await upstream.prompt(chat, needs_count=True)
        question = Ask(prompt, {"max_new_tokens": 2, "truncate": 100}, wants_tokens=True)
        finish = (await answered(upstream, question)).finish
    assert finish is not None
    assert (finish.prompt_tokens, finish.notices) == (100, ())
    same = await say(real_server.url, CHAT, max_new_tokens=6, truncate=500)
    assert shown(same) == shown(await say(real_server.url, CHAT, max_new_tokens=6))


@pytest.mark.parametrize(
    "parameters",
    [{"watermark": True}, {"decoder_input_details": True}, {"adapter_id": "a"}, {"best_of": 2}],
)
async def test_unsupported_parameters_are_refused_by_name(
    real_llama: RealServer, parameters: dict[str, Any]
) -> None:
    (name,) = parameters
    with pytest.raises(InvalidParameters, match=f"`{name}` is not taken by llama.cpp"):
        await say(real_llama.url, **parameters)


@on_llamas
async def test_penalties_look_at_all_that_was_written(real_server: RealServer) -> None:
    # The word stands far before the last 64 tokens, which llama.cpp looks at by default.
    text = "Paris " * 3 + "filler words go on and on here " * 20 + TEXT
    plain = await say(real_server.url, text, max_new_tokens=3)
    penalised = await say(real_server.url, text, max_new_tokens=3, repetition_penalty=50)
    assert shown(plain) != shown(penalised)
    usual = await say(real_server.url, text, max_new_tokens=8)
    frequency = await say(real_server.url, text, max_new_tokens=8, frequency_penalty=2)
    presence = await say(real_server.url, text, max_new_tokens=8, presence_penalty=2)
    assert shown(usual) not in (shown(frequency), shown(presence))


async def test_template_that_refuses_a_conversation_is_told_in_its_words() -> None:
    template = (
        "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('Conversation roles must alternate') }}{% endif %}"
        "<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
        "<|im_start|>assistant\n"
    )
    twice = (Message("user", "Hi"), Message("user", "Hi again"))
    async with llama_cpp(template=template) as server:
        assert shown(await say(server.url, CHAT, max_new_tokens=3))
        words = "chat template does not take this conversation: Conversation roles must alternate"
        with pytest.raises(InvalidCommand, match=words):
            await say(server.url, twice, max_new_tokens=3)
        async with embedded(server.url) as upstream:
            with pytest.raises(InvalidCommand, match=words):
                await upstream.prompt(twice, needs_count=True)


async def test_cancelled_in_a_long_prompt_it_is_free_within_a_second() -> None:
    async with (
        llama_cpp(slots=1, context=8192, batch=64) as server,
        embedded(server.url) as upstream,
    ):
        read = asyncio.Event()
        question = Ask(Prompt("one two three " * 2000), {"max_new_tokens": 5}, wants_tokens=True)
        asking = asyncio.create_task(
            upstream.generate(question, lambda _: None, lambda _: read.set())
        )
        async with asyncio.timeout(CEILING_SECONDS):
            await read.wait()
            asking.cancel()
            began = asyncio.get_running_loop().time()
            with pytest.raises(asyncio.CancelledError):
                await asking
            await answered(upstream, Ask(Prompt("Hi"), {"max_new_tokens": 1}))
        # Several hundred pieces would have been left; the next answer waits for one of them.
        assert asyncio.get_running_loop().time() - began < 5


@on_llamas
async def test_its_figures_are_prometheus_s(real_server: RealServer) -> None:
    await say(real_server.url, max_new_tokens=1)
    assert await _figure(real_server, "tokens_predicted_total") > 0
    for name in ("requests_processing", "requests_deferred", "n_busy_slots_per_decode"):
        assert await _figure(real_server, name) >= 0


async def _figure(server: RealServer, name: str) -> float:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{server.url}/metrics") as response,
    ):
        text = await response.text()
    found = re.search(rf"^llamacpp:{name} (\S+)$", text, re.MULTILINE)
    assert found is not None, text
    return float(found[1])
