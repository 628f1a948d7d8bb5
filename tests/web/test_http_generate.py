"""A tool that speaks TGI's form gets from the gateway what it would get from TGI."""

from typing import Any

import pytest

from tests.fakes.tgi import Fake
from tests.fakes.tgi_answers import Answer, answer
from tests.web.conftest import StartWithFake
from tests.web.gateway import JSON

PROMPT = "Once upon a time"
MESSAGES = [{"role": "user", "content": "Hello"}]


def expected(fake: Fake, inputs: str = PROMPT, **parameters: Any) -> Answer:
    return answer(fake.options, inputs, {"max_new_tokens": 1024, **parameters})


def asked(**parameters: Any) -> dict[str, Any]:
    return {"inputs": PROMPT, "parameters": parameters}


async def test_a_whole_answer_is_the_model_servers(before_fake: StartWithFake) -> None:
    gateway, fake = await before_fake(answer_tokens=9)
    reply = await gateway.post("/generate", {"model": "m", **asked()})
    whole = expected(fake)
    assert reply.status == 200
    assert reply.json["generated_text"] == whole.generated_text
    details = reply.json["details"]
    assert details["finish_reason"] == "eos_token"
    assert details["generated_tokens"] == 10
    assert details["input_length"] == whole.input_length
    assert details["tokens"] == [token.to_wire() for token in whole.tokens]


@pytest.mark.parametrize("path", ["/generate_stream", "/models/m/generate_stream", "/models/m"])
async def test_a_stream_is_token_by_token_as_tgi_sends_it(
    before_fake: StartWithFake, path: str
) -> None:
    gateway, fake = await before_fake(answer_tokens=9)
    body = {"model": "m", "stream": True, **asked(seed=3, top_n_tokens=2)}
    reply = await gateway.post(path, body)
    whole = expected(fake)
    assert reply.headers["Content-Type"] == "text/event-stream"
    assert [event["index"] for event in reply.events] == list(range(1, 11))
    assert [event["token"] for event in reply.events] == [t.to_wire() for t in whole.tokens]
    assert all(len(event["top_tokens"]) == 2 for event in reply.events)
    *others, last = reply.events
    assert all(e["generated_text"] is None and e["details"] is None for e in others)
    assert last["generated_text"] == whole.generated_text
    assert last["details"] == {
        "finish_reason": "eos_token",
        "generated_tokens": 10,
        "seed": 3,
        "input_length": whole.input_length,
    }


async def test_a_conversation_goes_through_the_models_template(before_fake: StartWithFake) -> None:
    gateway, fake = await before_fake(answer_tokens=2)
    reply = await gateway.post("/generate", {"model": "m", "messages": MESSAGES})
    assert reply.status == 200
    assert fake.state.requests[-1]["inputs"] == "<|user|>\nHello</s>\n<|assistant|>\n"


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [({"max_new_tokens": 3}, "length"), ({}, "eos_token"), ({"stop": [" b"]}, "stop_sequence")],
)
async def test_why_it_ended_is_told_in_tgis_words(
    before_fake: StartWithFake, parameters: dict[str, Any], reason: str
) -> None:
    gateway, _ = await before_fake(text=" a b c d e")
    whole = await gateway.post("/models/m/generate", asked(**parameters))
    stream = await gateway.post("/models/m/generate_stream", asked(**parameters))
    assert whole.json["details"]["finish_reason"] == reason
    assert stream.events[-1]["details"]["finish_reason"] == reason


async def test_details_are_left_out_when_declined(before_fake: StartWithFake) -> None:
    gateway, _ = await before_fake(answer_tokens=2)
    whole = await gateway.post("/models/m", asked(details=False))
    stream = await gateway.post("/models/m/generate_stream", asked(details=False))
    assert [set(answer) for answer in whole.json] == [{"generated_text"}]
    assert stream.events[-1]["details"] is None


async def test_the_prompt_comes_back_when_the_full_text_is_wanted(
    before_fake: StartWithFake,
) -> None:
    gateway, _ = await before_fake(text=" there was")
    whole = await gateway.post("/models/m/generate", asked(return_full_text=True))
    stream = await gateway.post("/models/m/generate_stream", asked(return_full_text=True))
    assert whole.json["generated_text"] == f"{PROMPT} there was"
    assert stream.events[-1]["generated_text"] == f"{PROMPT} there was"


async def test_fields_that_are_not_known_are_ignored(before_fake: StartWithFake) -> None:
    gateway, _ = await before_fake(answer_tokens=1)
    reply = await gateway.post("/generate", {"model": "m", "shoe_size": 44, **asked()})
    assert reply.status == 200


@pytest.mark.parametrize(
    ("body", "status", "code", "says"),
    [
        ({"model": "none", "inputs": "x"}, 404, "unknown_model", "none"),
        ({"inputs": "x"}, 400, "invalid_command", "model"),
        ({"model": "m"}, 400, "invalid_command", "exactly one"),
        ({"model": "m", "inputs": "x", "messages": MESSAGES}, 400, "invalid_command", "exactly"),
        ({"model": "m", "inputs": ""}, 400, "invalid_command", "length"),
        ({"model": "m", "inputs": 7}, 400, "invalid_command", "inputs"),
        ({"model": "m", "messages": []}, 400, "invalid_command", "messages"),
        (
            {"model": "m", "messages": [{"role": "cat", "content": ""}]},
            400,
            "invalid_command",
            "cat",
        ),
        ({"model": "m", "inputs": "x", "parameters": []}, 400, "invalid_command", "parameters"),
        (
            {"model": "m", "inputs": "x", "parameters": {"temprature": 1}},
            422,
            "invalid_parameters",
            "did you mean 'temperature'",
        ),
        (
            {"model": "m", "inputs": "x", "parameters": {"top_p": 2}},
            422,
            "invalid_parameters",
            "top_p",
        ),
        (
            {"model": "m", "inputs": "x", "parameters": {"best_of": 2}},
            422,
            "invalid_parameters",
            "best_of",
        ),
        ({"model": "m", "inputs": "word " * 2000}, 422, "prompt_too_long", "tokens"),
        ([], 400, "invalid_command", "array"),
    ],
)
@pytest.mark.parametrize("path", ["/generate", "/generate_stream"])
async def test_invalid_generate_requests_are_refused_with_a_reason(
    before_fake: StartWithFake, path: str, body: Any, status: int, code: str, says: str
) -> None:
    gateway, fake = await before_fake()
    reply = await gateway.post(path, body)
    assert (reply.status, reply.json["error"]["code"]) == (status, code)
    assert says in reply.json["error"]["message"]
    assert fake.state.counts["running"] == 0


async def test_a_wrong_parameter_is_told_with_its_place(before_fake: StartWithFake) -> None:
    gateway, _ = await before_fake()
    reply = await gateway.post("/generate", {"model": "m", **asked(top_k="five")})
    assert "at `$.parameters.top_k`" in reply.json["error"]["message"]
    reply = await gateway.post(
        "/models/m/generate", asked(grammar={"type": "json", "value": {"properties": 5}})
    )
    assert reply.json["error"].startswith("`parameters.grammar.value.properties` has to be")


async def test_invalid_values_are_refused_even_at_temperature_0(
    before_fake: StartWithFake,
) -> None:
    gateway, _ = await before_fake()
    for wrong in ({"top_k": [1]}, {"top_p": 7}, {"do_sample": "no"}):
        reply = await gateway.post("/models/m/generate", asked(temperature=0, **wrong))
        assert reply.status == 422


@pytest.mark.parametrize(
    ("data", "headers", "status", "code"),
    [
        (b"{", JSON, 400, "invalid_command"),
        (b"", JSON, 400, "invalid_command"),
        (b"\xff", JSON, 400, "invalid_command"),
        (b"[" * 100_000, JSON, 400, "invalid_command"),
        (b'{"model": "m", "inputs": "\\ud800"}', JSON, 400, "invalid_command"),
        (b"not gzip", {**JSON, "Content-Encoding": "gzip"}, 400, "invalid_command"),
        (b"{}", {"Content-Type": "text/plain"}, 415, "invalid_command"),
        (b"a=b", {"Content-Type": "application/x-www-form-urlencoded"}, 415, "invalid_command"),
        (b" " * 5000, JSON, 413, "too_large"),
    ],
)
async def test_a_body_that_is_none_is_refused(
    before_fake: StartWithFake, data: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    limit = {"max_frame_bytes": 1 << 20 if data.startswith(b"[") else 4096}
    gateway, _ = await before_fake(server=limit)
    reply = await gateway.post("/generate", data=data, headers=headers)
    assert (reply.status, reply.json["error"]["code"]) == (status, code)


async def test_half_of_a_character_is_told_as_such(before_fake: StartWithFake) -> None:
    gateway, _ = await before_fake()
    reply = await gateway.post("/generate", data=rb'{"inputs": "a\ud800b"}', headers=JSON)
    assert reply.json["error"]["message"].startswith("a text has half of a surrogate pair")
    reply = await gateway.post("/generate", data=b'{"inputs": "a', headers=JSON)
    assert reply.json["error"]["message"].startswith("the body is not JSON")


@pytest.mark.parametrize("path", ["generate", "generate_stream"])
async def test_errors_on_a_models_own_address_are_in_tgis_form(
    before_fake: StartWithFake, path: str
) -> None:
    gateway, _ = await before_fake()
    refused = await gateway.post(f"/models/m/{path}", asked(top_k=-1))
    assert refused.status == 422
    assert refused.json == {
        "error": "`top_k` must be strictly positive",
        "error_type": "validation",
        "code": "invalid_parameters",
    }
    unknown = await gateway.post(f"/models/none/{path}", asked())
    assert (unknown.status, unknown.json["error_type"]) == (404, "unknown_model")


async def test_limits_are_told_as_tgi_tells_them(before_fake: StartWithFake) -> None:
    gateway, _ = await before_fake(max_total_tokens=777, max_input_tokens=555)
    await gateway.post("/models/m/start?wait=20")
    info = (await gateway.get("/models/m/info")).json
    assert (info["max_total_tokens"], info["max_input_tokens"]) == (777, 555)
    assert (await gateway.get("/models/m/health")).status == 200
