"""What OpenAI's form says and what it refuses, before a model server whose answer is known."""

from typing import Any

import pytest

from server.core.errors import InvalidParameters
from server.web.failures import openai_failure
from tests.web.conftest import StartWithFake

CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
TEXT = {"model": "m", "prompt": "Hello"}
ANSWER = {"role": "tool", "content": "a kite"}
TOOL = {"type": "function", "function": {"name": "look"}}
BOTH: list[tuple[str, dict[str, Any]]] = [("/v1/chat/completions", CHAT), ("/v1/completions", TEXT)]
MIXED = [
    {"role": "developer", "content": "Be kind."},
    {"role": "user", "content": [{"type": "text", "text": "He"}, {"type": "text", "text": "llo"}]},
]


def said(events: list[Any]) -> str:
    """Return the text of a stream's chunks."""
    choices = [choice for event in events[:-1] for choice in event["choices"]]
    return "".join(c.get("text") or c.get("delta", {}).get("content") or "" for c in choices)


async def test_chat_answers_whole(before_fake: StartWithFake) -> None:
    gateway, _ = await before_fake(text="Hello there")
    reply = await gateway.post("/v1/chat/completions", CHAT)
    body = reply.json
    assert body["object"] == "chat.completion"
    assert body["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello there", "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    usage = body["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["completion_tokens"] == 3


@pytest.mark.parametrize(("path", "body"), BOTH)
async def test_a_stream_says_the_same_and_ends_as_it_should(
    before_fake: StartWithFake, path: str, body: dict[str, Any]
) -> None:
    gateway, _ = await before_fake(text="One two three four")
    plain = (await gateway.post(path, {**body, "stream": True})).events
    usage = {"stream": True, "stream_options": {"include_usage": True}}
    counted = (await gateway.post(path, {**body, **usage})).events
    for events in (plain, counted):
        assert said(events) == "One two three four"
        assert events[-1] == "[DONE]"
        assert len({event["id"] for event in events[:-1]}) == 1
    assert plain[-2]["choices"][0]["finish_reason"] == "stop"
    assert all("usage" not in event for event in plain[:-1])
    assert counted[-2]["choices"] == []
    assert counted[-2]["usage"]["completion_tokens"] == 5
    assert all(event["usage"] is None for event in counted[:-2])


@pytest.mark.parametrize("stop", [" three", [" nine", "wo th"], "ee four", "One"])
@pytest.mark.parametrize(("path", "body"), BOTH)
async def test_the_stop_sequence_is_not_part_of_the_answer(
    before_fake: StartWithFake, path: str, body: dict[str, Any], stop: Any
) -> None:
    gateway, fake = await before_fake(text="One two three four")
    stops = [stop] if isinstance(stop, str) else stop
    text = min(("One two three four".partition(s)[0] for s in stops), key=len)
    whole = (await gateway.post(path, {**body, "stop": stop})).json["choices"][0]
    assert (whole.get("text", "") or whole.get("message", {}).get("content", "")) == text
    assert whole["finish_reason"] == "stop"
    events = (await gateway.post(path, {**body, "stop": stop, "stream": True})).events
    assert said(events) == text
    assert events[-2]["choices"][0]["finish_reason"] == "stop"
    assert fake.state.requests[-1]["parameters"]["stop"] == stops


async def test_an_answer_that_runs_past_its_stop_sequence_is_cut_short(
    before_fake: StartWithFake,
) -> None:
    # The model server notices a stop sequence only where a token ends with it.
    gateway, fake = await before_fake(text="stopper and much more", hold_after=2)
    events = (await gateway.post("/v1/completions", {**TEXT, "stop": "op", "stream": True})).events
    assert said(events) == "st"
    await fake.state.reaches(cancelled=1)


async def test_openais_parameters_arrive_under_tgis_names(
    before_fake: StartWithFake,
) -> None:
    gateway, fake = await before_fake(text="x", model={"parameters": {"temperature": 0.5}})
    asked = {
        **CHAT,
        "messages": MIXED,
        "max_tokens": 99,
        "max_completion_tokens": 7,
        "temperature": None,
        "top_p": 0.5,
        "seed": -1,
        "stop": None,
        "n": 1,
        "tools": [],
        "presence_penalty": 0,
        "user": "somebody",
        "response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}},
    }
    reply = await gateway.post("/v1/chat/completions", asked)
    assert reply.status == 200
    sent = fake.state.requests[-1]
    assert sent["inputs"] == "<|system|>\nBe kind.</s>\n<|user|>\nHello</s>\n<|assistant|>\n"
    parameters = {name: sent["parameters"].get(name) for name in sent["parameters"]}
    del parameters["details"]
    assert parameters == {
        "temperature": 0.5,
        "do_sample": True,
        "top_p": 0.5,
        "max_new_tokens": 7,
        "seed": 2**64 - 1,
        "grammar": {"type": "json", "value": {"type": "object"}},
    }


async def test_temperature_0_takes_the_likeliest_tokens(before_fake: StartWithFake) -> None:
    gateway, fake = await before_fake(text="x", model={"parameters": {"top_p": 0.5}})
    await gateway.post("/v1/completions", {**TEXT, "temperature": 0})
    assert not {"temperature", "do_sample", "top_p"} & fake.state.requests[-1]["parameters"].keys()


async def test_logprobs_are_told_for_what_is_shown(before_fake: StartWithFake) -> None:
    gateway, _ = await before_fake(text="One two three four")
    asked = {"logprobs": True, "top_logprobs": 2, "stop": " three"}
    chat = (await gateway.post("/v1/chat/completions", {**CHAT, **asked})).json["choices"][0]
    content = chat["logprobs"]["content"]
    assert [entry["token"] for entry in content] == ["One", " two"]
    assert bytes(content[1]["bytes"]).decode() == " two"
    assert [len(entry["top_logprobs"]) for entry in content] == [2, 2]
    stream = await gateway.post("/v1/chat/completions", {**CHAT, **asked, "stream": True})
    chunks = [event["choices"][0]["logprobs"] for event in stream.events[:-1]]
    assert [entry for chunk in chunks if chunk for entry in chunk["content"]] == content
    text = (await gateway.post("/v1/completions", {**TEXT, "logprobs": 1})).json["choices"][0]
    logprobs = text["logprobs"]
    assert logprobs["tokens"] == ["One", " two", " three", " four"]
    assert logprobs["text_offset"] == [0, 3, 7, 13]
    assert logprobs["token_logprobs"][0] == content[0]["logprob"]
    assert list(logprobs["top_logprobs"][3]) == [" four"]


async def test_a_completion_may_begin_with_its_prompt(before_fake: StartWithFake) -> None:
    gateway, _ = await before_fake(text=" there")
    whole = await gateway.post("/v1/completions", {**TEXT, "prompt": ["Hello"], "echo": True})
    assert whole.json["choices"][0]["text"] == "Hello there"
    stream = await gateway.post("/v1/completions", {**TEXT, "echo": True, "stream": True})
    assert said(stream.events) == "Hello there"


@pytest.mark.parametrize("effort", ["none", "low", "max"])
async def test_effort_is_ignored_where_a_model_cannot_think(
    before_fake: StartWithFake, effort: str
) -> None:
    gateway, _ = await before_fake(text="Hello")
    reply = await gateway.post("/v1/chat/completions", {**CHAT, "reasoning_effort": effort})
    assert reply.json["choices"][0]["message"]["content"] == "Hello"
    assert not (reply.json.get("sidestream") or {}).get("notices")


@pytest.mark.parametrize("role", ["system", "developer", "user", "assistant"])
async def test_null_is_no_text_in_any_role(before_fake: StartWithFake, role: str) -> None:
    gateway, _ = await before_fake(text="Hello")
    messages = [{"role": role, "content": None}, {"role": "user", "content": "Hi"}]
    reply = await gateway.post("/v1/chat/completions", {**CHAT, "messages": messages})
    assert reply.json["choices"][0]["message"]["content"] == "Hello"


@pytest.mark.parametrize(
    ("path", "change", "status", "code", "param"),
    [
        ("chat", {"model": "none"}, 404, "model_not_found", "model"),
        ("chat", {"n": 2}, 400, "invalid_parameters", "n"),
        ("chat", {"tools": [TOOL]}, 400, "invalid_parameters", "tools"),
        ("chat", {"tools": [{"type": "function"}]}, 400, "invalid_command", "tools"),
        ("chat", {"tool_choice": {}}, 400, "invalid_command", "tool_choice"),
        (
            "chat",
            {"response_format": {"type": "json_schema", "json_schema": {}}},
            400,
            "invalid_command",
            "response_format",
        ),
        (
            "chat",
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {"enum": 5}}}},
            400,
            "invalid_parameters",
            "response_format",
        ),
        ("chat", {"functions": [{"name": "a"}]}, 400, "invalid_parameters", "functions"),
        ("chat", {"reasoning_format": "loud"}, 400, "invalid_command", "reasoning_format"),
        ("chat", {"reasoning_format": "hidden"}, 400, "invalid_command", "reasoning_format"),
        ("chat", {"top_logprobs": 6}, 400, "invalid_parameters", "top_logprobs"),
        ("chat", {"top_logprobs": 21}, 400, "invalid_command", "top_logprobs"),
        ("", {"logprobs": 6}, 400, "invalid_parameters", "logprobs"),
        ("", {"min_p": 0.1}, 400, "invalid_parameters", "min_p"),
        ("chat", {"presence_penalty": 1}, 400, "invalid_parameters", "presence_penalty"),
        ("chat", {"logit_bias": {"50256": -100}}, 400, "invalid_parameters", "logit_bias"),
        ("chat", {"temperature": 3}, 400, "invalid_command", "temperature"),
        ("chat", {"stop": list("abcde")}, 400, "invalid_parameters", "stop"),
        ("chat", {"stop": ["a"] * 65}, 400, "invalid_command", "stop"),
        ("chat", {"logit_bias": {"a": 1}}, 400, "invalid_command", "logit_bias"),
        ("chat", {"max_tokens": -2}, 400, "invalid_command", "max_tokens"),
        ("chat", {"max_completion_tokens": 0}, 400, "invalid_command", "max_completion_tokens"),
        ("chat", {"top_p": -0.1}, 400, "invalid_command", "top_p"),
        ("chat", {"messages": [{"role": "user"}]}, 400, "invalid_command", "messages"),
        ("chat", {"messages": [ANSWER]}, 400, "invalid_command", "messages"),
        (
            "chat",
            {"messages": [{**ANSWER, "tool_call_id": "1"}]},
            400,
            "invalid_command",
            "messages",
        ),
        ("chat", {"messages": [{"role": "cat"}]}, 400, "invalid_command", "messages"),
        ("chat", {"messages": "Hello"}, 400, "invalid_command", "messages"),
        ("chat", {"messages": []}, 400, "invalid_command", "messages"),
        (
            "chat",
            {"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]},
            400,
            "invalid_command",
            "messages",
        ),
        (
            "chat",
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            400,
            "invalid_command",
            "messages",
        ),
        (
            "chat",
            {"messages": [{"role": "user", "content": "word " * 2000}]},
            400,
            "context_length_exceeded",
            None,
        ),
        ("", {"prompt": ["a", "b"]}, 400, "invalid_command", "prompt"),
        ("", {"prompt": [1, 2]}, 400, "invalid_command", "prompt"),
        ("", {"best_of": 2}, 400, "invalid_parameters", "best_of"),
        ("", {"suffix": "."}, 400, "invalid_parameters", "suffix"),
        ("", {"echo": True, "logprobs": 1}, 400, "invalid_parameters", "echo"),
        ("", {"max_tokens": 0}, 400, "invalid_command", "max_tokens"),
        ("", {"sidestream": {"extra": {"x": 1}}}, 400, "invalid_parameters", None),
        ("", {"sidestream": {"trim": "oldest_turns"}}, 400, "invalid_command", "trim"),
        ("chat", {"sidestream": {"trim": "all"}}, 400, "invalid_command", "sidestream"),
    ],
)
async def test_unsupported_features_are_refused_in_openais_form(
    before_fake: StartWithFake,
    path: str,
    change: dict[str, Any],
    status: int,
    code: str,
    param: str | None,
) -> None:
    gateway, _ = await before_fake()
    address, body = BOTH[0] if path == "chat" else BOTH[1]
    for stream in (False, True):
        reply = await gateway.post(address, {**body, **change, "stream": stream})
        error = reply.json["error"]
        assert (reply.status, error["code"], error["param"]) == (status, code, param)
        assert error["type"] == "invalid_request_error"
        assert error["message"]


def test_the_field_of_a_place_is_named() -> None:
    failure = openai_failure(InvalidParameters("`tools[1]` has the name of `tools[0]`: 'look'"))
    assert failure.error.param == "tools"


async def test_at_a_models_own_address_the_name_in_the_body_says_nothing(
    before_fake: StartWithFake,
) -> None:
    gateway, _ = await before_fake(text="Hello there")
    chat = await gateway.post("/models/m/v1/chat/completions", {**CHAT, "model": "tgi"})
    text = await gateway.post("/models/m/v1/completions", {"prompt": "Hello"})
    assert chat.json["choices"][0]["message"]["content"] == "Hello there"
    assert text.json["choices"][0]["text"] == "Hello there"
    unknown = await gateway.post("/models/none/v1/chat/completions", CHAT)
    assert (unknown.status, unknown.json["error"]["code"]) == (404, "model_not_found")


async def test_no_address_below_v1_answers_in_another_form(before_fake: StartWithFake) -> None:
    gateway, _ = await before_fake()
    for method, path, status in [("POST", "/v1/nothing", 404), ("PUT", "/v1/completions", 405)]:
        reply = await gateway.ask(method, path)
        assert reply.status == status
        assert reply.json["error"]["type"] == "invalid_request_error"
