"""Our forms in front of a server of OpenAI's form: what it can, its clients get here too."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

import pytest

from server.settings.tables import Settings
from server.settings.upstreams import UpstreamSettings
from server.web.keys import FLEET
from tests.fakes.openai import Fake, serve
from tests.fakes.openai_options import Canned, FakeOptions, like
from tests.web.gateway import Gateway, before_fake, running, server_settings

MESSAGES = [{"role": "user", "content": "Hello"}]
CHAT = {"model": "m", "messages": MESSAGES}
TEXT = {"model": "m", "prompt": "Hello"}
BOTH: list[tuple[str, dict[str, Any]]] = [("/v1/chat/completions", CHAT), ("/v1/completions", TEXT)]
STREAM = {"stream": True}
COUNTED = {**STREAM, "stream_options": {"include_usage": True}}

Start = Callable[..., Awaitable[tuple[Gateway, Fake]]]


def canned(*chunks: dict[str, Any]) -> dict[str, Canned]:
    """Return a route that answers chats with these chunks."""
    events = [*map(json.dumps, chunks), "[DONE]"]
    body = "".join(f"data: {event}\n\n" for event in events)
    return {
        "POST /v1/chat/completions": Canned(body, headers={"Content-Type": "text/event-stream"})
    }


def says(text: str, reason: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": reason, **more}
    return {"id": "c", "object": "chat.completion.chunk", "choices": [choice]}


@pytest.fixture
async def before() -> AsyncIterator[Start]:
    """Return `gateway, fake = await before(like("vllm"), flavour="vllm")`: its model is `m`."""
    async with AsyncExitStack() as stack:

        async def start(options: FakeOptions, **words: Any) -> tuple[Gateway, Fake]:
            return await stack.enter_async_context(before_fake(options, **words))

        yield start


# --- what is passed on ----------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "body"), BOTH)
async def test_parameters_that_the_server_takes_are_passed_on(
    before: Start, path: str, body: dict[str, Any]
) -> None:
    gateway, fake = await before(like("vllm"), flavour="vllm")
    asked = {
        "min_p": 0.1,
        "presence_penalty": 0.5,
        "logit_bias": {"50256": -100, "1": 2.5},
        "top_k": 7,
    }
    reply = await gateway.post(path, {**body, **asked})
    assert reply.status == 200, reply.text
    sent = fake.state.requests[-1]
    assert {name: sent[name] for name in asked} == asked


async def test_an_answer_ends_at_more_stop_texts_than_its_server_takes(before: Start) -> None:
    gateway, fake = await before(
        like("vllm", text="One two three four", hold_after=3), flavour="vllm"
    )
    reply = await gateway.post("/v1/completions", {**TEXT, "stop": [*"zyxvq", " thr"]})
    assert reply.json["choices"][0]["text"] == "One two"
    assert fake.state.requests[-1]["stop"] == list("zyxv")
    await fake.state.reaches(cancelled=1)


async def test_up_to_20_alternatives_are_asked_for(before: Start) -> None:
    gateway, fake = await before(like("vllm"), flavour="vllm")
    await gateway.post("/v1/chat/completions", {**CHAT, "logprobs": True, "top_logprobs": 20})
    assert fake.state.requests[-1]["top_logprobs"] == 20


@pytest.mark.parametrize(("path", "body"), BOTH)
async def test_values_that_mean_off_are_taken_as_that(
    before: Start, path: str, body: dict[str, Any]
) -> None:
    gateway, fake = await before(like("vllm"), flavour="vllm")
    off = {"max_tokens": -1, "top_p": 0, "stop": "", "presence_penalty": 0, "logit_bias": {}}
    reply = await gateway.post(path, {**body, **off, "min_p": 0})
    assert reply.status == 200, reply.text
    sent = fake.state.requests[-1]
    assert sent["top_p"] == 1
    assert "stop" not in sent
    plain = await gateway.post(path, body)
    assert plain.status == 200
    assert sent["max_tokens"] == fake.state.requests[-1]["max_tokens"]
    await gateway.post(path, {**body, "stop": ["", "x"]})
    assert fake.state.requests[-1]["stop"] == ["x"]


async def test_the_newer_name_of_a_length_may_be_off_too(before: Start) -> None:
    gateway, fake = await before(like("vllm"), flavour="vllm")
    lengths = {"max_completion_tokens": -1, "max_tokens": 7}
    await gateway.post("/v1/chat/completions", {**CHAT, **lengths})
    assert fake.state.requests[-1]["max_tokens"] == 7


async def test_a_turn_of_the_assistants_without_content_is_empty(before: Start) -> None:
    gateway, fake = await before(like("vllm"), flavour="vllm")
    nothings: list[dict[str, Any]] = [{}, {"content": None}, {"content": []}]
    for nothing in nothings:
        messages = [*MESSAGES, {"role": "assistant", **nothing}, *MESSAGES]
        reply = await gateway.post("/v1/chat/completions", {"model": "m", "messages": messages})
        assert reply.status == 200, reply.text
        assert fake.state.requests[-1]["messages"][1] == {"role": "assistant", "content": ""}


# --- what is refused, or left out -----------------------------------------------------------------


async def test_parameters_the_server_does_not_take_are_refused_by_name_unless_lenient(
    before: Start,
) -> None:
    gateway, fake = await before(FakeOptions(), flavour="openai")
    asked = {**CHAT, "min_p": 0.1}
    refused = await gateway.post("/v1/chat/completions", asked)
    error = refused.json["error"]
    assert (refused.status, error["param"]) == (400, "min_p")
    assert (await gateway.post("/v1/chat/completions", {**asked, "min_p": 0})).status == 200
    lenient = await gateway.post("/v1/chat/completions", {**asked, "sidestream": {"lenient": True}})
    assert "min_p" not in fake.state.requests[-1]
    (notice,) = lenient.json["sidestream"]["notices"]
    assert notice["code"] == "parameter_left_out"
    assert notice["details"]["parameter"] == "min_p"


async def test_tgis_form_takes_the_same_wishes(before: Start) -> None:
    gateway, fake = await before(like("vllm"), flavour="vllm", extra_allowed=("guided_choice",))
    body = {"model": "m", "inputs": "x", "parameters": {"typical_p": 0.5}}
    refused = await gateway.post("/generate", body)
    assert (refused.status, refused.json["error"]["details"]["parameter"]) == (422, "typical_p")
    wishes = {"lenient": True, "extra": {"guided_choice": ["a", "b"]}}
    for path in ("/generate", "/generate_stream", "/models/m"):
        reply = await gateway.post(path, {**body, "sidestream": wishes})
        assert fake.state.requests[-1]["guided_choice"] == ["a", "b"]
        if path == "/generate_stream":
            *others, last = reply.events
            assert not any("sidestream" in event for event in others)
        else:
            last = reply.json[0] if path == "/models/m" else reply.json
        assert [notice["code"] for notice in last["sidestream"]["notices"]] == [
            "parameter_left_out"
        ]
    refused = await gateway.post("/generate", {**body, "sidestream": {"extra": {"n": 2}}})
    assert (refused.status, refused.json["error"]["code"]) == (422, "invalid_parameters")


async def test_refusals_have_openais_names(before: Start) -> None:
    gateway, _ = await before(like("transformers"), flavour="transformers")
    reply = await gateway.post(
        "/v1/chat/completions", {**CHAT, "logprobs": True, "top_logprobs": 2}
    )
    assert (reply.status, reply.json["error"]["param"]) == (400, "top_logprobs")
    reply = await gateway.post("/v1/completions", {**TEXT, "logprobs": 2})
    assert (reply.status, reply.json["error"]["param"]) == (400, "logprobs")
    schema = {"type": "json_schema", "json_schema": {"schema": {}}}
    reply = await gateway.post("/v1/chat/completions", {**CHAT, "response_format": schema})
    error = reply.json["error"]
    assert (reply.status, error["param"]) == (400, "response_format")
    assert error["details"]["parameter"] == "response_format"


async def test_left_out_parameters_have_openais_names(before: Start) -> None:
    gateway, _ = await before(like("transformers"), flavour="transformers")
    for path, body, name in (
        ("/v1/chat/completions", {**CHAT, "logprobs": True, "top_logprobs": 2}, "top_logprobs"),
        ("/v1/completions", {**TEXT, "logprobs": 2}, "logprobs"),
    ):
        asked = {**body, "sidestream": {"lenient": True}}
        whole = (await gateway.post(path, asked)).json
        last = (await gateway.post(path, {**asked, **STREAM})).events[-2]
        for said in (whole, last):
            (notice,) = said["sidestream"]["notices"]
            assert (notice["code"], notice["details"]) == (
                "parameter_left_out",
                {"parameter": name},
            )
            assert f"`{name}`" in notice["message"]


# --- what comes back ------------------------------------------------------------------------------


async def test_logprobs_are_null_where_none_are_wanted_or_none_are_told(before: Start) -> None:
    gateway, fake = await before(like("vllm"), flavour="vllm")
    off = {"logprobs": False, "top_logprobs": 0}
    several: list[dict[str, Any]] = [off, {**off, "top_logprobs": 3}, {"top_logprobs": 0}, {}]
    for wish in several:
        reply = await gateway.post("/v1/chat/completions", {**CHAT, **wish})
        assert reply.json["choices"][0]["logprobs"] is None
        assert "top_logprobs" not in fake.state.requests[-1]
    silent, _ = await before(like("transformers"), flavour="transformers")
    for path, body in BOTH:
        asked = {**body, "logprobs": True if path == BOTH[0][0] else 0}
        reply = await silent.post(path, asked)
        assert reply.json["choices"][0]["logprobs"] is None
        chunks = (await silent.post(path, {**asked, **STREAM})).events[:-1]
        assert all(chunk["choices"][0]["logprobs"] is None for chunk in chunks)


async def test_probabilities_that_are_no_numbers_break_nothing(before: Start) -> None:
    entries = [
        {"token": "a", "logprob": None, "top_logprobs": [{"token": "b", "logprob": None}]},
        {"token": "c", "logprob": -0.5, "top_logprobs": []},
    ]
    chunk = says("ac", "stop", logprobs={"content": entries})
    body = canned(chunk)["POST /v1/chat/completions"].body.replace('null, "top', 'NaN, "top')
    routes = {"POST /v1/chat/completions": Canned(body)}
    gateway, _ = await before(like("vllm", routes=routes), flavour="vllm")
    asked = {**CHAT, "logprobs": True, "top_logprobs": 1}
    whole = (await gateway.post("/v1/chat/completions", asked)).json["choices"][0]
    told = whole["logprobs"]["content"]
    assert [entry["logprob"] for entry in told] == [-9999.0, -0.5]
    assert told[0]["top_logprobs"][0]["logprob"] == -9999.0
    reply = await gateway.post(
        "/generate", {"model": "m", "messages": MESSAGES, "parameters": {"top_n_tokens": 1}}
    )
    tokens = reply.json["details"]["tokens"]
    assert [(token["id"], token["logprob"]) for token in tokens] == [(-1, None), (-1, -0.5)]


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("content_filter", "content_filter"),
        ("max_tokens", "length"),
        ("eos", "stop"),
        ("tool_calls", "stop"),
    ],
)
async def test_why_an_answer_ended_is_told_in_openais_words(
    before: Start, theirs: str, ours: str
) -> None:
    gateway, _ = await before(like("vllm", routes=canned(says("a"), says("", theirs))))
    whole = await gateway.post("/v1/chat/completions", CHAT)
    assert whole.json["choices"][0]["finish_reason"] == ours
    stream = await gateway.post("/v1/chat/completions", {**CHAT, **STREAM})
    assert stream.events[-2]["choices"][0]["finish_reason"] == ours
    assert "sidestream" not in whole.json
    assert not any("sidestream" in event for event in stream.events[:-1])


async def test_costs_and_who_answered_are_told_in_the_last_chunk(before: Start) -> None:
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 2,
        "total_tokens": 11,
        "cost": 0.00125,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 1},
    }
    last = {"id": "c", "choices": [], "usage": usage, "provider": "Somebody"}
    gateway, _ = await before(like("vllm", routes=canned(says("a"), says("b", "stop"), last)))
    told = {"cost": {"amount": 0.00125}, "answered_by": "Somebody"}
    whole = (await gateway.post("/v1/chat/completions", CHAT)).json
    assert whole["sidestream"] == told
    assert whole["usage"] == {
        "prompt_tokens": 9,
        "completion_tokens": 2,
        "total_tokens": 11,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 1},
    }
    for wish in (STREAM, COUNTED):
        *others, last, done = (await gateway.post("/v1/chat/completions", {**CHAT, **wish})).events
        assert done == "[DONE]"
        assert last["sidestream"] == told
        assert not any("sidestream" in event for event in others)
    body = {"model": "m", "messages": MESSAGES}
    assert (await gateway.post("/generate", body)).json["sidestream"] == told
    stream = (await gateway.post("/generate_stream", body)).events
    assert stream[-1]["sidestream"] == told
    assert not any("sidestream" in event for event in stream[:-1])


# --- a server that takes no more requests ---------------------------------------------------------


def refusing(words: str, headers: Mapping[str, str] = {}) -> FakeOptions:
    """Return a server whose provider refuses every question."""
    refusal = Canned({"error": {"message": words, "type": "rate_limit_error"}}, 429, headers)
    return like("vllm", routes=dict.fromkeys((f"POST {path}" for path, _ in BOTH), refusal))


@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize(
    ("path", "body"), [*BOTH, ("/generate", {"model": "m", "messages": MESSAGES})]
)
async def test_a_providers_429_is_one_here_with_its_words(
    before: Start, path: str, body: dict[str, Any], is_streamed: bool
) -> None:
    words = "Rate limit reached for requests per minute"
    gateway, _ = await before(refusing(words, {"Retry-After": "6.5"}), flavour="vllm")
    if path == "/generate":
        path += "_stream" * is_streamed
        reply = await gateway.post(path, body)
    else:
        reply = await gateway.post(path, {**body, "stream": is_streamed})
    assert (reply.status, reply.headers["Retry-After"]) == (429, "7")
    error = reply.json["error"]
    assert error["code"] == "engine_limited"
    assert words in error["message"]
    assert path.startswith("/generate") or error["type"] == "rate_limit_error"


async def test_a_day_that_is_used_up_is_not_asked_about_again(before: Start) -> None:
    words = "You exceeded your current quota, please check your plan and billing details"
    gateway, _ = await before(refusing(words), flavour="vllm")
    reply = await gateway.post("/v1/chat/completions", CHAT)
    assert (reply.status, reply.headers["x-should-retry"]) == (429, "false")
    assert "Retry-After" not in reply.headers
    assert words in reply.json["error"]["message"]


# --- an error inside an answer that began well ----------------------------------------------------


@pytest.mark.parametrize("has_text", [False, True])
@pytest.mark.parametrize(
    "broken", ['{"error":"boom"}', "<html><body><h1>boom</h1></body></html>", "boom"]
)
async def test_a_body_in_place_of_an_answer_is_in_the_error(
    before: Start, broken: str, has_text: bool
) -> None:
    body = f"data: {json.dumps(says('Hello'))}\n\n" * has_text + broken
    routes = {f"POST {path}": Canned(body) for path, _ in BOTH}
    gateway, _ = await before(like("vllm", routes=routes), flavour="vllm")
    whole = await gateway.post("/v1/chat/completions", CHAT)
    assert (whole.status, whole.json["error"]["code"]) == (502, "engine_error")
    assert "boom" in whole.json["error"]["message"]
    stream = await gateway.post("/v1/chat/completions", {**CHAT, **STREAM})
    assert stream.status == (200 if has_text else 502)
    error = stream.events[-1]["error"] if has_text else stream.json["error"]
    assert "boom" in error["message"]
    if has_text:
        assert stream.events[-2]["choices"][0]["delta"]["content"] == "Hello"
    told = await gateway.post("/generate", {"model": "m", "messages": MESSAGES})
    assert "boom" in told.json["error"]["message"]


# --- names ----------------------------------------------------------------------------------------


async def test_a_model_is_asked_by_its_servers_name() -> None:
    options = FakeOptions(models=("qwen3:8b", "a b/c"))
    async with serve(options) as one, serve(FakeOptions(models=("qwen3:8b",))) as two:
        upstreams = {
            name: UpstreamSettings(url=fake.api, dialect="openai", flavour="vllm", models=("*",))
            for name, fake in (("one", one), ("two", two))
        }
        settings = Settings(server=server_settings(), upstreams=upstreams)
        async with running(settings) as gateway:
            names = ["one/qwen3:8b", "one/a%20b/c", "two/qwen3:8b"]
            await _listed(gateway, names)
            reply = await gateway.post("/v1/chat/completions", {**CHAT, "model": "a b/c"})
            assert (reply.status, reply.json["model"]) == (200, "one/a%20b/c")
            assert one.state.requests[-1]["model"] == "a b/c"
            assert (await gateway.get("/v1/models/a%20b/c")).json["id"] == "one/a%20b/c"
            reply = await gateway.post("/v1/completions", {**TEXT, "model": "qwen3:8b"})
            error = reply.json["error"]
            assert (reply.status, error["code"]) == (404, "model_not_found")
            assert error["details"]["models"] == ["one/qwen3:8b", "two/qwen3:8b"]
            reply = await gateway.post("/v1/completions", {**TEXT, "model": "two/qwen3:8b"})
            assert reply.status == 200
            assert two.state.requests[-1]["model"] == "qwen3:8b"


async def test_a_server_of_which_no_model_is_known_is_no_model() -> None:
    upstreams = {"gone": UpstreamSettings(url="http://127.0.0.1:9", models=("*",))}
    async with running(Settings(server=server_settings(), upstreams=upstreams)) as gateway:
        assert len((await gateway.get("/models")).json) == 1
        assert (await gateway.get("/v1/models")).json["data"] == []


async def _listed(gateway: Gateway, names: list[str]) -> None:
    """Return once `/v1/models` lists these models."""
    changed = asyncio.Event()
    unsubscribe = gateway.app[FLEET].subscribe(lambda _: changed.set(), lambda _: changed.set())
    try:
        async with asyncio.timeout(20):
            while True:
                changed.clear()
                listed = [model["id"] for model in (await gateway.get("/v1/models")).json["data"]]
                if sorted(listed) == sorted(names):
                    return
                await changed.wait()
    finally:
        unsubscribe()
