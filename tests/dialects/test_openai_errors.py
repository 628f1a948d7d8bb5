"""Errors in OpenAI's form and around it: what they mean in ours, and whose words reach the user."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core.errors import (
    CannotSee,
    EngineError,
    EngineLimited,
    EngineLost,
    EngineOverloaded,
    InvalidParameters,
    PromptTooLong,
    SidestreamError,
)
from server.core.protocol import ErrorInfo
from server.dialects.http.client import Reply
from server.dialects.openai.errors import (
    EngineLoading,
    RefusedParameter,
    failure,
    failure_in_stream,
)

RECORDED = [
    json.loads(line)
    for line in (Path(__file__).resolve().parents[1] / "recordings" / "openai" / "errors.jsonl")
    .read_text()
    .splitlines()
]


def told(status: int, body: object, **headers: str) -> SidestreamError:
    """Return what an answer means; headers are named with `_` for `-`."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {name.replace("_", "-"): headers[name] for name in headers}
    return failure(Reply(status, sent, data))


def error(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, **more}}


# --- bodies -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        error("boom", type="BadRequestError", param=None, code=400),
        error("boom", code="400"),
        error("boom", code=None, type=None),
        {"error": "boom"},
        {"detail": "boom"},
        {"detail": ["boom"]},
        {"detail": [{"msg": "boom", "loc": [], "type": "x", "input": "secret"}]},
        {"detail": {"message": "boom"}},
        {"object": "error", "message": "boom", "type": "BadRequest", "param": None, "code": 400},
        {"message": "boom"},
        [error("boom")],
        error(json.dumps(error("boom"))),
        {"error": json.dumps(error("boom"))},
        {"src": "a-proxy", **error("boom")},
        b"boom",
        b"  boom\n",
        b"<html><head><title>boom</title><style>x{}</style></head><body>more</body></html>",
        b"<!DOCTYPE html>\n<h1>boom</h1>",
    ],
    ids=str,
)
def test_every_body_is_reduced_to_its_words(body: object) -> None:
    found = told(400, body)
    assert type(found) is InvalidParameters
    assert found.message == "boom"
    assert told(500, body).message == "the model server reports: boom"
    text = body.decode() if isinstance(body, bytes) else body
    assert failure_in_stream(text).message.endswith("boom")


@pytest.mark.parametrize("body", [b"", b"{}", b"null", b"[]", b"7", b'{"error": {}}', b'"'])
def test_a_body_without_words_is_told_by_its_status(body: bytes) -> None:
    found = told(502, body)
    assert isinstance(found, EngineError)
    assert found.message


def test_words_are_bounded() -> None:
    for body in (b"word " * 5000, b"<html><body>" + b"<p>word</p>" * 50_000):
        assert len(told(500, body).message) < 1000


def test_messages_name_the_server_as_we_call_it() -> None:
    assert failure(Reply(500, {}, b"boom"), engine="vLLM").message == "vLLM reports: boom"


# --- what each means ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "details"),
    [
        (
            400,
            error(
                "request (2279 tokens) exceeds the available context size (2048 tokens)",
                type="exceed_context_size_error",
                n_prompt_tokens=2279,
                n_ctx=2048,
            ),
            {"n_prompt_tokens": 2279, "n_ctx": 2048},
        ),
        (
            400,
            error(
                "This model's maximum context length is 2048 tokens. However, your prompt contains"
                " at least 2049 input tokens",
                param="input_tokens",
            ),
            {"n_ctx": 2048},
        ),
        *(
            (400, error(words), {"n_prompt_tokens": 13, "n_ctx": 4097})
            for words in (
                "This model's maximum context length is 4097 tokens, however you requested 8205"
                " tokens (13 in your prompt; 8192 for the completion).",
                "'max_tokens' or 'max_completion_tokens' is too large: 8192. This model's maximum"
                " context length is 4097 tokens and your request has 13 input tokens.",
                "Requested token count exceeds the model's maximum context length of 4097 tokens."
                " You requested a total of 8205 tokens: 13 tokens from the input messages and 8192"
                " tokens for the completion.",
            )
        ),
        (400, error("Too much.", code="context_length_exceeded"), None),
        (
            400,
            error(
                "litellm.ContextWindowExceededError: request (2331 tokens) exceeds the available"
                " context size (2048 tokens)"
            ),
            {"n_prompt_tokens": 2331, "n_ctx": 2048},
        ),
        (400, error("The input is too long for this model."), None),
        (422, {"detail": "prompt is too long: 9000 tokens"}, None),
        (413, b"Payload Too Large", None),
    ],
)
def test_a_prompt_too_long(status: int, body: object, details: object) -> None:
    found = told(status, body)
    assert type(found) is PromptTooLong
    assert found.details == details


@pytest.mark.parametrize(
    ("body", "parameters"),
    [
        (error("no", param="temperature"), ("temperature",)),
        (error("no", param="body.stop.0"), ("stop",)),
        (error("top_k must be at least 1. (parameter=top_k, value=-2)"), ("top_k",)),
        (error("Unrecognized request argument supplied: min_p"), ("min_p",)),
        (error("Unrecognized request arguments supplied: top_k, min_p"), ("min_p", "top_k")),
        (error("Unsupported parameter: 'seed' is not supported with this model."), ("seed",)),
        (error("Unsupported value: 'temperature' does not support 0.2"), ("temperature",)),
        (error("Unknown parameter: 'typical_p'."), ("typical_p",)),
        (error("Unknown field `min_p`"), ("min_p",)),
        (error("property 'logit_bias' is unsupported"), ("logit_bias",)),
        (error("Field 'max_tokens': type must be number"), ("max_tokens",)),
        (
            error(
                "json: cannot unmarshal string into Go struct field"
                " ChatCompletionRequest.temperature of type float64"
            ),
            ("temperature",),
        ),
        ({"detail": "Unexpected fields in the request: {'top_k', 'min_p'}"}, ("min_p", "top_k")),
        (
            {"detail": [{"loc": ["body", "top_k"], "msg": "Extra inputs are not permitted"}]},
            ("top_k",),
        ),
        (
            {
                "detail": [
                    {"loc": ["body", "a"], "msg": "extra fields not permitted"},
                    {"loc": ["body", "b"], "msg": "extra fields not permitted"},
                ]
            },
            ("a", "b"),
        ),
        (
            error("1 validation error:\n  {'loc': 'body.seed', 'msg': 'Input should be less'}"),
            ("seed",),
        ),
        (error("openai does not support parameters: ['top_k'], for model=x"), ("top_k",)),
        (error("`top_p` must be > 0.0 and < 1.0"), ("top_p",)),
    ],
    ids=str,
)
def test_a_refused_parameter_is_named(body: object, parameters: tuple[str, ...]) -> None:
    found = told(400, body)
    assert isinstance(found, RefusedParameter)
    assert found.parameters == parameters
    assert found.use_instead == ""
    assert found.code == "invalid_parameters"


def test_the_parameter_that_is_wanted_instead_is_named() -> None:
    found = told(
        400,
        error(
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use"
            " 'max_completion_tokens' instead.",
            param="max_tokens",
            code="unsupported_parameter",
        ),
    )
    assert isinstance(found, RefusedParameter)
    assert (found.parameters, found.use_instead) == (("max_tokens",), "max_completion_tokens")
    found = told(400, error("`max_tokens` must be absent: use `max_completion_tokens` instead"))
    assert isinstance(found, RefusedParameter)
    assert (found.parameters, found.use_instead) == (("max_tokens",), "max_completion_tokens")


@pytest.mark.parametrize("name", ["messages", "model", "prompt"])
def test_a_refused_required_field_is_an_invalid_request(name: str) -> None:
    assert type(told(400, error("no", param=name))) is InvalidParameters


@pytest.mark.parametrize(
    "message",
    [
        "The engine is currently busy and cannot accept new requests.",
        "server busy, please try again.  maximum pending requests exceeded",
        "The request queue is full.",
        "The model is overloaded. Please try again later.",
    ],
)
def test_a_server_without_a_place_is_overloaded(message: str) -> None:
    assert type(told(503, error(message))) is EngineOverloaded
    assert type(failure_in_stream(error(message, code=503))) is EngineOverloaded
    assert type(failure_in_stream(error(message, type="SERVICE_UNAVAILABLE"))) is EngineOverloaded


def test_a_server_that_loads_says_so() -> None:
    body = error("Loading model", type="unavailable_error", code=503)
    found = told(503, body, retry_after="7")
    assert isinstance(found, EngineLoading)
    assert found.retry_after_seconds == 7
    found = told(503, body)
    assert isinstance(found, EngineLoading)
    assert found.retry_after_seconds is None


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_names_the_setting(status: int) -> None:
    found = failure(Reply(status, {}, b'{"error":"Unauthorized"}'))
    assert type(found) is EngineError
    assert "`api_key`" in found.message
    assert "Unauthorized" in found.message
    assert found.hint is not None


def test_a_proxy_without_a_database_refuses_the_key() -> None:
    found = told(400, error("No connected db.", type="no_db_connection", code="400"))
    assert type(found) is EngineError
    assert "`api_key`" in found.message


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, error("The model `nobody` does not exist.", type="NotFoundError", param="model")),
        (404, error('model "x" not found, try pulling it first', code=None)),
        (400, error("Invalid model name passed in model=nobody.", code="400")),
        (404, b"404 page not found"),
        (402, error("Insufficient credits")),
        (405, {"detail": "Method Not Allowed"}),
        (500, b"Internal Server Error"),
        (502, b"<html><title>502 Bad Gateway</title></html>"),
        (503, b"no healthy upstream"),
        (503, error("Error loading model: out of memory")),
    ],
    ids=str,
)
def test_the_rest_is_an_error_in_the_servers_words(status: int, body: object) -> None:
    assert type(told(status, body)) is EngineError


@pytest.mark.parametrize(
    "message",
    [
        "EngineCore encountered an issue. See stack trace (above) for the root cause.",
        "litellm.APIConnectionError: Response payload is not completed",
        "litellm.InternalServerError: OpenAIException - Connection error.",
    ],
)
def test_a_server_that_lost_what_is_behind_it_is_lost(message: str) -> None:
    assert type(failure_in_stream(error(message, code=500))) is EngineLost
    assert type(told(500, error(message, code="500"))) is EngineLost


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("Server error: transport error", EngineLost),
        ("Server error: error trying to connect: Connection refused", EngineLost),
        ("Server error: ", EngineError),
    ],
)
def test_tgi_calls_every_failure_in_a_stream_a_refused_request(
    words: str, kind: type[EngineError]
) -> None:
    """Status 422 stands in each, also where nothing is wrong with the question."""
    message = f"Request failed during generation: {words}"
    item = {"error": {"message": message, "http_status_code": 422}}
    assert type(failure_in_stream(item)) is kind


# --- limits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "message", "seconds"),
    [
        ({"retry_after": "20"}, "no", 20.0),
        ({"retry_after": "1.5"}, "no", 1.5),
        ({"retry_after_ms": "250", "retry_after": "1"}, "no", 0.25),
        (
            {
                "retry_after": "Sun, 29 Nov 2026 12:00:30 GMT",
                "date": "Sun, 29 Nov 2026 12:00:00 GMT",
            },
            "no",
            30.0,
        ),
        (
            {
                "retry_after": "Sun, 29 Nov 2026 11:00:00 GMT",
                "date": "Sun, 29 Nov 2026 12:00:00 GMT",
            },
            "no",
            0.0,
        ),
        ({"x_ratelimit_reset_requests": "1s", "x_ratelimit_reset_tokens": "6m0s"}, "no", 360.0),
        (
            {
                "x_ratelimit_reset_requests": "1s",
                "x_ratelimit_remaining_requests": "0",
                "x_ratelimit_reset_tokens": "6m0s",
                "x_ratelimit_remaining_tokens": "17",
            },
            "no",
            1.0,
        ),
        ({"x_ratelimit_reset_tokens": "20ms"}, "no", 0.02),
        (
            {"x_ratelimit_reset": "1795953630000", "date": "Sun, 29 Nov 2026 12:00:00 GMT"},
            "no",
            30.0,
        ),
        ({}, "Rate limit reached. Please try again in 20s. Visit us.", 20.0),
        ({}, "Please try again in 6m0s.", 360.0),
        ({}, "Please retry in 12.5s.", 12.5),
        ({}, "Retry after 30 seconds", 30.0),
        ({}, "try again in 1 hour and 2 minutes", 3720.0),
        ({"retry_after": "soon"}, "no", None),
        ({}, "no", None),
    ],
    ids=str,
)
def test_how_long_to_wait(headers: dict[str, str], message: str, seconds: float | None) -> None:
    found = told(429, error(message), **headers)
    assert type(found) is EngineLimited
    assert found.retry_after_seconds == pytest.approx(seconds)
    assert not found.is_final
    assert message in found.message


@pytest.mark.parametrize(
    "body",
    [
        error("You exceeded your current quota", type="insufficient_quota"),
        error("Rate limit reached: requests per day (RPD): Limit 100"),
        error("Limit reached: tokens per day (TPD)", code="rate_limit_exceeded"),
        error("Your monthly allowance is used up"),
    ],
    ids=str,
)
def test_a_limit_that_lasts_is_final(body: object) -> None:
    found = told(429, body)
    assert isinstance(found, EngineLimited)
    assert found.is_final


def test_a_limit_is_known_by_its_code_too() -> None:
    found = told(413, error("Request too large: tokens per minute", code="rate_limit_exceeded"))
    assert isinstance(found, EngineLimited)
    assert found.is_final
    found = failure_in_stream(error("slow down", type="rate_limit_error"))
    assert isinstance(found, EngineLimited)


def test_the_server_behind_a_router_has_words_and_headers_of_its_own() -> None:
    found = told(
        429,
        error(
            "Provider returned error",
            metadata={
                "raw": json.dumps(error("nova is full")),
                "headers": {"X-RateLimit-Reset": "9"},
            },
        ),
    )
    assert isinstance(found, EngineLimited)
    assert found.retry_after_seconds == 9
    assert "nova is full" in found.message


# --- what does not reach anybody ------------------------------------------------------------------


def test_errors_do_not_repeat_the_request() -> None:
    fault = {"loc": ["body", "messages"], "msg": "wrong", "input": "my secret"}
    for body in (
        {"detail": [fault]},
        error("1 validation error:\n  {'loc': 'body.x', 'msg': 'wrong', 'input': 'my secret'}"),
    ):
        found = told(422, body)
        assert "secret" not in repr(ErrorInfo.of(found))
        assert "wrong" in found.message


@pytest.mark.parametrize(
    "key", ["sk-abcdef0123456789", "sk-proj-ab_cd-0123456789", "gsk_abcdef0123", "hf_abcdefghij"]
)
def test_keys_are_taken_out(key: str) -> None:
    for body in (error(f"Incorrect API key provided: {key}."), error(f"got 'Bearer {key}'")):
        found = told(401, body)
        assert key not in repr(ErrorInfo.of(found))
        assert key[3:] not in repr(ErrorInfo.of(found))


# --- anything -------------------------------------------------------------------------------------

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 600) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["error", "message", "detail", "code", "type", "param", "loc", "msg", "metadata"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.integers(400, 599), _JSON)
def test_any_body_becomes_an_error_with_words(status: int, body: object) -> None:
    for found in (told(status, body), failure_in_stream(body)):
        assert isinstance(found, SidestreamError)
        assert found.message
        msgspec.json.encode(ErrorInfo.of(found))


@given(st.integers(400, 599), st.binary(max_size=40))
def test_any_bytes_become_an_error_with_words(status: int, body: bytes) -> None:
    assert told(status, body).message


_KINDS = {
    "context too long": PromptTooLong,
    "prompt too long": PromptTooLong,
    "image": CannotSee,
    "key": EngineError,
    "overload": EngineOverloaded,
    "unknown model": EngineError,
}


@pytest.mark.parametrize("each", RECORDED, ids=lambda each: f"{each['server']}: {each['case']}")
def test_recorded_errors(each: dict[str, Any]) -> None:
    """Whatever was recorded keeps its words, and is of the kind that its case says."""
    found = failure(Reply(each["status"], each["headers"], each["body"].encode()))
    kind = next((kind for words, kind in _KINDS.items() if words in each["case"]), None)
    if kind is not None:
        assert type(found) is kind
    elif each["status"] in (400, 422):
        assert isinstance(found, InvalidParameters | PromptTooLong)
    else:
        assert isinstance(found, EngineError)
    assert "without a word" not in found.message
