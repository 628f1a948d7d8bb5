"""Answers in the form of Hugging Face's TGI, at addresses that TGI's own clients can be given.

A client of TGI takes `http://HOST:PORT/models/{id}` for a server of that model's own: it
posts to that very address, or to `/generate`, `/generate_stream`, `/info` and `/health`
below it. At `/generate` and `/generate_stream` a field names the model. Unlike TGI's, an
error before the first token has a status, and details come unless they are declined.
"""

import secrets
from typing import Final

from aiohttp import web

from server import __version__
from server.chat.request import Request
from server.core.errors import InvalidParameters, ModelFailed
from server.core.parameter_rules import ParameterLimits
from server.web.entry.gate import CALLER
from server.web.failures import TGIFailure
from server.web.http.answering import asking, read_whole, stream_answer
from server.web.http.beyond import NO_WISHES
from server.web.http.bodies import json_response, read_body, whole_numbers
from server.web.http.operations import EVENTS, JSON, Operation, Reply
from server.web.http.tgi.answers import TGIWriter, whole_answer
from server.web.http.tgi.types import (
    CompatibleRequest,
    GenerateAnswer,
    GenerateRequest,
    Info,
    Prompted,
    StreamEvent,
)
from server.web.keys import DESK, FLEET

_LIMITS: Final = ParameterLimits()


async def generate(request: web.Request) -> web.StreamResponse:
    """Answer `POST /generate`."""
    body = await read_body(request, GenerateRequest)
    return await _answer(request, body.model, body)


async def generate_stream(request: web.Request) -> web.StreamResponse:
    """Answer `POST /generate_stream`."""
    body = await read_body(request, GenerateRequest)
    return await _stream(request, body.model, body)


async def model_generate(request: web.Request) -> web.StreamResponse:
    """Answer `POST /models/{id}/generate`."""
    return await _answer(request, request.match_info["id"], await read_body(request, Prompted))


async def model_generate_stream(request: web.Request) -> web.StreamResponse:
    """Answer `POST /models/{id}/generate_stream`."""
    return await _stream(request, request.match_info["id"], await read_body(request, Prompted))


async def model_compatible(request: web.Request) -> web.StreamResponse:
    """Answer `POST /models/{id}`, which is TGI's `POST /`."""
    body = await read_body(request, CompatibleRequest)
    model = request.match_info["id"]
    if body.stream:
        return await _stream(request, model, body)
    return await _answer(request, model, body, as_list=True)


async def model_info(request: web.Request) -> web.StreamResponse:
    """Answer `GET /models/{id}/info`; wakes no model."""
    model = request.app[FLEET].snapshot(request.match_info["id"])
    info = Info(
        model_id=model.id,
        model_sha=None,
        model_pipeline_tag="text-generation",
        max_concurrent_requests=model.limits.get("max_concurrent"),
        max_best_of=1,
        max_stop_sequences=_LIMITS.max_stop_sequences,
        max_input_tokens=model.limits.get("max_input_tokens"),
        max_total_tokens=model.limits.get("max_total_tokens"),
        max_client_batch_size=1,
        router="sidestream",
        version=__version__,
        sha=None,
        docker_label=None,
    )
    return json_response(info)


async def model_health(request: web.Request) -> web.StreamResponse:
    """Answer `GET /models/{id}/health`; wakes no model."""
    model = request.app[FLEET].snapshot(request.match_info["id"])
    if model.state == "ready":
        return web.Response()
    why = f": {model.error.message}" if model.error else ""
    raise ModelFailed(f"{model.name} is {model.state}{why}")


async def _answer(
    request: web.Request, model: str, body: Prompted, *, as_list: bool = False
) -> web.StreamResponse:
    question = _question(request, model, body)
    with asking(request, question, _new_id(), keeps_tokens=True) as answer:
        whole = whole_answer(question, *await read_whole(answer))
    return json_response([whole] if as_list else whole)


async def _stream(request: web.Request, model: str, body: Prompted) -> web.StreamResponse:
    question = _question(request, model, body)
    with asking(request, question, _new_id(), keeps_tokens=True) as answer:
        return await stream_answer(request, answer, TGIWriter(question, answer.generation))


def _new_id() -> str:
    return f"gen-{secrets.token_urlsafe(16)}"


def _question(request: web.Request, model: str, body: Prompted) -> Request:
    parameters = whole_numbers(body.parameters or {})
    if parameters.get("best_of") not in (None, 1):
        raise InvalidParameters("`best_of` other than 1 is not supported: ask again instead")
    wishes = body.sidestream or NO_WISHES
    return request.app[DESK].prepare(
        model,
        body.content,
        parameters=[parameters],
        extra=wishes.extra,
        is_lenient=wishes.lenient,
        principal=request[CALLER].principal,
    )


_GROUP: Final = "Text generation (TGI's form)"
_ERRORS: Final = (400, 404, 413, 415, 422, 502, 503, 504)
_WHOLE: Final = Reply("The whole answer.", {JSON: GenerateAnswer})
_EVENTS: Final = Reply(
    "The answer while it is written; comments keep it alive while a model starts.",
    {EVENTS: StreamEvent},
    breaks_off_with=TGIFailure,
)

OPERATIONS: Final = (
    Operation(
        "POST",
        "/generate",
        generate,
        _GROUP,
        "Answer a prompt or a conversation, whole. The model is started if need be.",
        _WHOLE,
        body=GenerateRequest,
        errors=_ERRORS,
        example={
            "model": "smollm2-135m",
            "inputs": "The sea is",
            "parameters": {"max_new_tokens": 20, "temperature": 0},
        },
    ),
    Operation(
        "POST",
        "/generate_stream",
        generate_stream,
        _GROUP,
        "Answer a prompt or a conversation as it is written. The model is started if need be.",
        _EVENTS,
        body=GenerateRequest,
        errors=_ERRORS,
        example={
            "model": "smollm2-135m",
            "messages": [{"role": "user", "content": "What is a lighthouse for?"}],
            "parameters": {"max_new_tokens": 20},
        },
    ),
    Operation(
        "POST",
        "/models/{id}/generate",
        model_generate,
        _GROUP,
        "Answer whole, as the TGI server of this model would.",
        _WHOLE,
        body=Prompted,
        errors=_ERRORS,
        example={"inputs": "The sea is", "parameters": {"max_new_tokens": 20}},
    ),
    Operation(
        "POST",
        "/models/{id}/generate_stream",
        model_generate_stream,
        _GROUP,
        "Answer as it is written, as the TGI server of this model would.",
        _EVENTS,
        body=Prompted,
        errors=_ERRORS,
        example={"inputs": "The sea is", "parameters": {"max_new_tokens": 20}},
    ),
    Operation(
        "POST",
        "/models/{id}",
        model_compatible,
        _GROUP,
        "Answer as TGI does at its root: whole, in an array, or as it is written. "
        "`http://HOST:PORT/models/{id}` is the address to give to a client of TGI.",
        Reply(
            "The answer, whole or while it is written.",
            {JSON: list[GenerateAnswer], EVENTS: StreamEvent},
            breaks_off_with=TGIFailure,
        ),
        body=CompatibleRequest,
        errors=_ERRORS,
        example={"inputs": "The sea is", "parameters": {"max_new_tokens": 20}, "stream": True},
    ),
    Operation(
        "GET",
        "/models/{id}/info",
        model_info,
        _GROUP,
        "Tell a model's limits as TGI does. Wakes no model.",
        Reply("What is known of the model.", {JSON: Info}),
        errors=(404,),
        example=True,
    ),
    Operation(
        "GET",
        "/models/{id}/health",
        model_health,
        _GROUP,
        "Tell whether a model is ready. Wakes no model.",
        Reply("It is ready."),
        errors=(404, 503),
    ),
)
