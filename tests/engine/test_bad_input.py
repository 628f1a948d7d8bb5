"""Every kind of bad input gets TGI's own words, in TGI's own place."""

import io
import json
from typing import Any

import pytest

from tests.engine.client import PROMPT, Client
from tests.engine.conftest import SMALL_CONTEXT

# Parameters, and the message after "Input validation error: ".
OUT_OF_RANGE: list[tuple[dict[str, Any], str]] = [
    ({"temperature": 0}, "`temperature` must be strictly positive"),
    ({"temperature": -1.5}, "`temperature` must be strictly positive"),
    ({"top_k": 0}, "`top_k` must be strictly positive"),
    ({"top_p": 1.0}, "`top_p` must be > 0.0 and < 1.0"),
    ({"top_p": 0}, "`top_p` must be > 0.0 and < 1.0"),
    ({"typical_p": 1}, "`typical_p` must be > 0.0 and < 1.0"),
    ({"max_new_tokens": 0}, "`max_new_tokens` must be strictly positive"),
    ({"repetition_penalty": 0}, "`repetition_penalty` must be strictly positive"),
    ({"frequency_penalty": 2.5}, "`frequency_penalty` must be >= -2.0 and <= 2.0"),
    ({"stop": list("abcde")}, "`stop` supports up to 4 stop sequences. Given: 5"),
    ({"truncate": 0}, "`truncate` must be strictly positive and less than 4095. Given: 0"),
    ({"truncate": 4096}, "`truncate` must be strictly positive and less than 4095. Given: 4096"),
    ({"top_n_tokens": 6}, "`top_n_tokens` must be >= 0 and <= 5. Given: 6"),
    ({"watermark": True}, "`watermark` is not supported by the embedded engine"),
    ({"adapter_id": "x"}, "`adapter_id` is not supported by the embedded engine"),
    (
        {"grammar": {"type": "json", "value": {"type": "object"}}},
        "grammar is not valid: Grammar must have a 'properties' field",
    ),
    (
        {"grammar": {"type": "regex", "value": "("}},
        "grammar is not valid: llama.cpp does not take it",
    ),
    (
        {"grammar": {"type": "json_schema", "value": {"name": "x"}}},
        "grammar is not valid: missing field `schema`",
    ),
    (
        {"grammar": {"type": "json", "value": {"properties": {"a": {"type": "nonsense"}}}}},
        "grammar is not valid: llama.cpp does not take it",
    ),
    ({"grammar": {"type": "json", "value": "{"}}, "grammar is not valid: "),
]
ON_STREAMS_ONLY = [
    ({"best_of": 2, "do_sample": True}, "`best_of` != 1 is not supported when streaming tokens"),
    (
        {"decoder_input_details": True},
        "`decoder_input_details` == true is not supported when streaming tokens",
    ),
]
ON_WHOLE_ANSWERS_ONLY = [
    ({"best_of": 3, "do_sample": True}, "`best_of` must be > 0 and <= 2. Given: 3"),
    ({"best_of": 2}, "you must use sampling when `best_of` is > 1"),
    (
        {"best_of": 2, "do_sample": True, "seed": 1},
        "`seed` must not be set when `best_of` > 1",
    ),
    (
        {"decoder_input_details": True},
        "`decoder_input_details` is not supported by the embedded engine",
    ),
]
SHAPE = "Failed to deserialize the JSON body into the target type: "
# Bodies of the wrong shape: they never reach a handler.
MALFORMED: list[tuple[bytes, int, str]] = [
    (b"{", 400, "Failed to parse the request body as JSON: "),
    (b"", 400, "Failed to parse the request body as JSON: "),
    (b'{"inputs":"\xff"}', 400, "Failed to parse the request body as JSON: "),
    (
        b"{}",
        422,
        "Failed to deserialize the JSON body into the target type: missing field `inputs`",
    ),
    (b"[]", 422, SHAPE),
    (b'{"inputs":1}', 422, SHAPE),
    (b'{"inputs":"a","parameters":null}', 422, "Failed to deserialize the JSON body"),
]
WRONG_TYPES: list[dict[str, Any]] = [
    {"max_new_tokens": -1},
    {"max_new_tokens": 2**32},
    {"max_new_tokens": 1.5},
    {"seed": -1},
    {"seed": 2**64},
    {"temperature": "hot"},
    {"stop": "word"},
    {"do_sample": "yes"},
    {"grammar": {"type": "poem", "value": ""}},
]


@pytest.mark.parametrize(("parameters", "message"), [*OUT_OF_RANGE, *ON_STREAMS_ONLY])
async def test_stream_answers_200_and_the_error_is_its_only_event(
    engine: Client, parameters: dict[str, Any], message: str
) -> None:
    (event,) = await engine.stream(**parameters)
    assert event["error"].startswith(f"Input validation error: {message}")
    assert event["error_type"] == "validation"


@pytest.mark.parametrize(("parameters", "message"), [*OUT_OF_RANGE, *ON_WHOLE_ANSWERS_ONLY])
async def test_whole_answer_fails_with_a_status(
    engine: Client, parameters: dict[str, Any], message: str
) -> None:
    status, body = await engine.post("/generate", {"inputs": PROMPT, "parameters": parameters})
    assert status == 422
    assert body["error"].startswith(f"Input validation error: {message}")
    assert body["error_type"] == "validation"


@pytest.mark.parametrize("path", ["/generate", "/generate_stream", "/"])
@pytest.mark.parametrize(("content", "status", "message"), MALFORMED)
async def test_malformed_body_is_refused_in_plain_text(
    engine: Client, path: str, content: bytes, status: int, message: str
) -> None:
    headers = {"Content-Type": "application/json"}
    url = engine.url + path
    async with engine.session.post(url, data=content, headers=headers) as response:
        assert response.status == status
        assert response.content_type == "text/plain"
        assert (await response.text()).startswith(message)


@pytest.mark.parametrize("parameters", WRONG_TYPES)
async def test_wrong_type_is_refused_before_the_stream(
    engine: Client, parameters: dict[str, Any]
) -> None:
    status, text = await engine.post(
        "/generate_stream", {"inputs": PROMPT, "parameters": parameters}
    )
    assert status == 422
    assert text.startswith(SHAPE)


async def test_unknown_fields_are_ignored_as_tgi_does(engine: Client) -> None:
    body = {"inputs": "a", "parameters": {"max_new_tokens": 1, "stop_sequences": ["x"]}, "x": 1}
    status, _ = await engine.post("/generate", body)
    assert status == 200


@pytest.mark.parametrize("content_type", ["text/plain", "", "application/jsonp"])
async def test_other_content_types_are_refused(engine: Client, content_type: str) -> None:
    headers = {"Content-Type": content_type}
    url = engine.url + "/generate"
    async with engine.session.post(url, data=b'{"inputs":"a"}', headers=headers) as response:
        assert response.status == 415
        assert await response.text() == "Expected request with `Content-Type: application/json`"


async def test_body_over_the_limit_is_refused(engine: Client) -> None:
    body = io.BytesIO(json.dumps({"inputs": "a" * 2_000_001}).encode())
    headers = {"Content-Type": "application/json"}
    url = engine.url + "/generate_stream"
    async with engine.session.post(url, data=body, headers=headers) as response:
        assert response.status == 413
        assert (await response.text()).startswith("Failed to buffer the request body: ")


async def test_empty_prompt_is_refused(engine: Client) -> None:
    (event,) = await engine.stream("")
    assert event["error"] == "Input validation error: `inputs` cannot be empty"
    status, body = await engine.post("/tokenize", {"inputs": ""})
    assert (status, body["error"]) == (422, "Input validation error: `inputs` cannot be empty")


async def test_prompt_and_answer_must_fit_the_context(small: Client) -> None:
    prompt = "word " * (SMALL_CONTEXT // 2)
    _, tokens = await small.post("/tokenize", {"inputs": prompt})
    (event,) = await small.stream(prompt, max_new_tokens=SMALL_CONTEXT)
    assert event["error"] == (
        f"Input validation error: `inputs` tokens + `max_new_tokens` must be <= {SMALL_CONTEXT}. "
        f"Given: {len(tokens)} `inputs` tokens and {SMALL_CONTEXT} `max_new_tokens`"
    )


async def test_prompt_must_leave_room(small: Client) -> None:
    most = SMALL_CONTEXT - 1
    _, tokens = await small.post("/tokenize", {"inputs": " word" * SMALL_CONTEXT})
    assert len(tokens) == SMALL_CONTEXT
    (event,) = await small.stream(" word" * SMALL_CONTEXT)
    assert event["error"] == (
        f"Input validation error: `inputs` must have less than {most} tokens. "
        f"Given: {SMALL_CONTEXT}"
    )
    prompt = " word" * 2 * SMALL_CONTEXT
    events = await small.stream(prompt, truncate=most, max_new_tokens=1, details=True)
    assert events[-1]["details"]["input_length"] == most


async def test_unknown_paths_and_methods_have_no_body(engine: Client) -> None:
    async with engine.session.get(engine.url + "/nope") as response:
        assert (response.status, await response.read()) == (404, b"")
    async with engine.session.get(engine.url + "/generate") as response:
        assert (response.status, await response.read()) == (405, b"")
        assert "POST" in response.headers["Allow"]


@pytest.mark.parametrize(
    ("body", "error_type"),
    [
        ({"messages": [{"role": "user"}]}, "template_error"),
        ({"messages": [{"role": "user", "content": "Hi"}], "tools": [{"x": 1}]}, "tool_error"),
    ],
)
async def test_chat_that_the_template_cannot_take_is_refused(
    engine: Client, body: dict[str, Any], error_type: str
) -> None:
    status, answer = await engine.post("/chat_tokenize", body)
    assert status == 422
    assert answer["error_type"] == error_type


async def test_chat_of_the_wrong_shape_is_refused(engine: Client) -> None:
    status, text = await engine.post("/chat_tokenize", {"messages": "Hi"})
    assert status == 422
    assert text.startswith(SHAPE)


async def test_failures_are_counted_by_cause(engine: Client) -> None:
    name = 'tgi_request_failure{err="validation"}'
    before = await engine.metric(name)
    await engine.stream("")
    assert await engine.metric(name) == before + 1


@pytest.mark.parametrize("path", ["/generate", "/generate_stream", "/", "/tokenize"])
@pytest.mark.parametrize("given", ["Bearer wrong", "", "Bearer", "Basic Small-Key"])
async def test_without_the_key_what_computes_is_closed(
    small: Client, path: str, given: str
) -> None:
    headers = {"Authorization": given}
    status, text = await small.post(path, {"inputs": "a"}, headers=headers)
    assert (status, text) == (401, "")


@pytest.mark.parametrize("path", ["/health", "/info", "/metrics", "/v1/models"])
async def test_what_only_tells_is_open(small: Client, path: str) -> None:
    async with small.session.get(small.url + path, headers={"Authorization": "no"}) as response:
        assert response.status == 200


async def test_key_is_compared_as_tgi_does(small: Client) -> None:
    headers = {"Authorization": "BEARER small-key"}
    status, _ = await small.post("/tokenize", {"inputs": "a"}, headers=headers)
    assert status == 200
