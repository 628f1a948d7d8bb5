"""The forms in which the fake model server writes a token: TGI's, OpenAI's as llama.cpp, Ollama's.

All carry the same texts at the same pace; they differ in the bytes around them. Those of OpenAI's
form change each second, as llama.cpp's do; Ollama's change with each token.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.relay.tokens import PLACES, clock_us

MODEL: Final = "bench"

_TGI_TOKEN: Final = (
    b'data: {"index":1%05d,"token":{"id":4217,"text":"%05d%011d","logprob":-0.31640625,'
    b'"special":false},"generated_text":null,"details":null}\n\n'
)
_TGI_END: Final = (
    b'data: {"index":1%05d,"token":{"id":4217,"text":"%05d%011d","logprob":-0.31640625,'
    b'"special":false},"generated_text":"(the whole text)","details":{"finish_reason":"length",'
    b'"generated_tokens":%d,"seed":null}}\n\n'
)
_OPENAI_REST: Final = (
    b'"created":%010d,"id":"chatcmpl-ws0lafrPnFK6uMiEaaxYeNiNoNIzHNqe","model":"bench",'
    b'"system_fingerprint":"b0-unknown","object":"chat.completion.chunk"}\n\n'
)
_OPENAI_TOKEN: Final = (
    b'data: {"choices":[{"finish_reason":null,"index":0,"delta":{"content":"%05d%011d"}}],'
    + _OPENAI_REST
)
_OPENAI_END: Final = (
    b'data: {"choices":[{"finish_reason":"length","index":0,"delta":{}}],'
    + _OPENAI_REST
    + b'data: {"choices":[],"usage":{"completion_tokens":%d,"prompt_tokens":4,"total_tokens":%d},'
    + _OPENAI_REST
    + b"data: [DONE]\n\n"
)
_OLLAMA_TOKEN: Final = (
    b'{"model":"bench","created_at":"2026-01-01T00:00:00.%09dZ",'
    b'"message":{"role":"assistant","content":"%05d%011d"},"done":false}\n'
)
_OLLAMA_END: Final = (
    b'{"model":"bench","created_at":"2026-01-01T00:00:00.%09dZ",'
    b'"message":{"role":"assistant","content":""},"done":true,"done_reason":"length",'
    b'"total_duration":9,"load_duration":1,"prompt_eval_count":4,"prompt_eval_duration":1,'
    b'"eval_count":%d,"eval_duration":7}\n'
)


@dataclass(frozen=True)
class Form:
    """Write the streams of one kind of server."""

    content_type: bytes
    limit: Callable[[dict[str, Any]], int]
    """Find in a request how many tokens are wanted."""
    token_chunk: Callable[[int], bytes]
    """Write token number so-and-so, stamped with this moment, as a chunk of a body."""
    last_chunks: Callable[[int], bytes]
    """Write the last token, how many there were, and the end of the body."""


def _chunked(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _chunk_of(token: bytes, *fields: int) -> bytes:
    """Return a token's whole chunk, for `%` with such fields: each has a fixed width."""
    return b"%x\r\n%s\r\n" % (len(token % fields), token)


_TGI_CHUNK: Final = _chunk_of(_TGI_TOKEN, 0, 0, 0)
_OPENAI_CHUNK: Final = _chunk_of(_OPENAI_TOKEN, 0, 0, 0)
_OLLAMA_CHUNK: Final = _chunk_of(_OLLAMA_TOKEN, 0, 0, 0)
_END_OF_BODY: Final = b"0\r\n\r\n"


def _tgi_token(place: int) -> bytes:
    place %= PLACES
    return _TGI_CHUNK % (place, place, clock_us())


def _tgi_end(place: int) -> bytes:
    count, place = place + 1, place % PLACES
    return _chunked(_TGI_END % (place, place, clock_us(), count)) + _END_OF_BODY


def _openai_token(place: int) -> bytes:
    return _OPENAI_CHUNK % (place % PLACES, clock_us(), int(time.time()))


def _openai_end(place: int) -> bytes:
    count, now = place + 1, int(time.time())
    end = _OPENAI_END % (now, count, count + 4, now)
    return _openai_token(place) + _chunked(end) + _END_OF_BODY


def _ollama_token(place: int) -> bytes:
    now_us = clock_us()
    return _OLLAMA_CHUNK % (now_us % 10**9, place % PLACES, now_us)


def _ollama_end(place: int) -> bytes:
    end = _OLLAMA_END % (clock_us() % 10**9, place + 1)
    return _ollama_token(place) + _chunked(end) + _END_OF_BODY


TGI: Final = Form(
    b"text/event-stream",
    lambda body: int(body["parameters"]["max_new_tokens"]),
    _tgi_token,
    _tgi_end,
)
OPENAI: Final = Form(
    b"text/event-stream", lambda body: int(body["max_tokens"]), _openai_token, _openai_end
)
OLLAMA: Final = Form(
    b"application/x-ndjson",
    lambda body: int(body["options"]["num_predict"]),
    _ollama_token,
    _ollama_end,
)

STREAMS: Final = {
    "/generate_stream": TGI,
    "/v1/chat/completions": OPENAI,
    "/api/chat": OLLAMA,
}
"""The form in which each route answers."""

_INFO: Final = {
    "model_id": MODEL,
    "version": "3.3.7",
    "max_input_tokens": 100_000,
    "max_total_tokens": 1_000_000,
    "max_concurrent_requests": 100_000,
}
_CHAT: Final = {
    "templated_text": "user: Hi\nassistant:",
    "tokenize_response": [{"id": 7, "text": "user", "start": 0, "stop": 4}],
}
OTHERS: Final = {
    path: json.dumps(content).encode()
    for path, content in {
        "/info": _INFO,
        "/chat_tokenize": _CHAT,
        "/tokenize": [],
        "/v1/models": {"object": "list", "data": [{"id": MODEL, "object": "model"}]},
        "/api/version": {"version": "0.12.0"},
        "/api/ps": {"models": []},
        "/api/tags": {"models": [{"name": MODEL}]},
        "/api/show": {"capabilities": ["completion"]},
    }.items()
}
"""What the other routes answer."""
