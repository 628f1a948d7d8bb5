"""The operations of TGI's API, at addresses that work as the server address of TGI's own clients.

For a client of TGI `http://HOST:PORT/models/{id}` is the address of a server with that one model:
it posts to that address, or to `/generate`, `/generate_stream`, `/info` and `/health` below it. At
`/generate` and `/generate_stream` a field names the model. Unlike with TGI, an error before the
first token has a status, and details are included unless they are declined.
"""

import secrets
from typing import Final

from aiohttp import web

from server import __version__
from server.chat.prompt_attachments import find_attachments
from server.chat.request import GenerationRequest
from server.core.errors import InvalidParameters, ModelFailed
from server.core.json_bodies import whole_numbers
from server.core.parameters import placed
from server.dialects.tgi.parameters import TGI_LIMITS
from server.web.bodies import json_response, read_body
from server.web.entry.gate import CALLER
from server.web.failures import TGIFailure
from server.web.http.answering import generating, prepare, read_whole, stream_answer
from server.web.http.operations import EVENTS, JSON, Group, Reply
from server.web.http.tgi.types import (
    CompatibleRequest,
    GenerateAnswer,
    GenerateRequest,
    Info,
    Prompted,
    StreamEvent,
)
from server.web.http.tgi.writers import TGIWriter, whole_answer
from server.web.keys import ATTACHMENTS, FLEET, GENERATIONS

GROUP: Final = Group("Text generation (TGI's form)")
_ERRORS: Final = (400, 404, 413, 415, 422, 502, 503, 504)
_WHOLE: Final = Reply("The whole answer.", {JSON: GenerateAnswer})
_EVENTS: Final = Reply(
    "The answer while it is written; comments keep it alive while a model starts.",
    {EVENTS: StreamEvent},
    breaks_off_with=TGIFailure,
)


@GROUP.operation(
    "POST",
    "/generate",
    _WHOLE,
    body=GenerateRequest,
    errors=_ERRORS,
    example={
        "model": "smollm2-135m",
        "inputs": "The sea is",
        "parameters": {"max_new_tokens": 20, "temperature": 0},
    },
    role="user",
)
async def generate(request: web.Request) -> web.StreamResponse:
    """Answer a prompt or a conversation, whole.

    The model is started if need be.
    """
    body = await read_body(request, GenerateRequest)
    return await _answer(request, body.model, body)


@GROUP.operation(
    "POST",
    "/generate_stream",
    _EVENTS,
    body=GenerateRequest,
    errors=_ERRORS,
    example={
        "model": "smollm2-135m",
        "messages": [{"role": "user", "content": "What is a lighthouse for?"}],
        "parameters": {"max_new_tokens": 20},
    },
    role="user",
)
async def generate_stream(request: web.Request) -> web.StreamResponse:
    """Answer a prompt or a conversation as it is written.

    The model is started if need be.
    """
    body = await read_body(request, GenerateRequest)
    return await _stream(request, body.model, body)


@GROUP.operation(
    "POST",
    "/models/{id}/generate",
    _WHOLE,
    body=Prompted,
    errors=_ERRORS,
    example={"inputs": "The sea is", "parameters": {"max_new_tokens": 20}},
    role="user",
)
async def model_generate(request: web.Request) -> web.StreamResponse:
    """Answer whole, as the TGI server of this model would."""
    return await _answer(request, request.match_info["id"], await read_body(request, Prompted))


@GROUP.operation(
    "POST",
    "/models/{id}/generate_stream",
    _EVENTS,
    body=Prompted,
    errors=_ERRORS,
    example={"inputs": "The sea is", "parameters": {"max_new_tokens": 20}},
    role="user",
)
async def model_generate_stream(request: web.Request) -> web.StreamResponse:
    """Answer as it is written, as the TGI server of this model would."""
    return await _stream(request, request.match_info["id"], await read_body(request, Prompted))


@GROUP.operation(
    "POST",
    "/models/{id}",
    Reply(
        "The answer, whole or while it is written.",
        {JSON: list[GenerateAnswer], EVENTS: StreamEvent},
        breaks_off_with=TGIFailure,
    ),
    body=CompatibleRequest,
    errors=_ERRORS,
    example={"inputs": "The sea is", "parameters": {"max_new_tokens": 20}, "stream": True},
    role="user",
)
async def model_compatible(request: web.Request) -> web.StreamResponse:
    """Answer as TGI does at its root: whole, in an array, or as it is written.

    `http://HOST:PORT/models/{id}` is the address to give to a client of TGI.
    """
    body = await read_body(request, CompatibleRequest)
    model = request.match_info["id"]
    if body.stream:
        return await _stream(request, model, body)
    return await _answer(request, model, body, as_list=True)


@GROUP.operation(
    "GET",
    "/models/{id}/info",
    Reply("What is known of the model.", {JSON: Info}),
    errors=(404,),
    example=True,
    role="user",
)
async def model_info(request: web.Request) -> web.StreamResponse:
    """Tell a model's limits as TGI does.

    Wakes no model.
    """
    model = request.app[FLEET].snapshot(request.match_info["id"])
    info = Info(
        model_id=model.id,
        model_sha=None,
        model_pipeline_tag="text-generation",
        max_concurrent_requests=model.limits.get("max_concurrent"),
        max_best_of=1,
        max_stop_sequences=TGI_LIMITS.max_stop_sequences,
        max_input_tokens=model.limits.get("max_input_tokens"),
        max_total_tokens=model.limits.get("max_total_tokens"),
        max_client_batch_size=1,
        router="sidestream",
        version=__version__,
        sha=None,
        docker_label=None,
    )
    return json_response(info)


@GROUP.operation(
    "GET",
    "/models/{id}/health",
    Reply("It is ready."),
    errors=(404, 503),
    role="user",
)
async def model_health(request: web.Request) -> web.StreamResponse:
    """Tell whether a model is ready.

    Wakes no model.
    """
    model = request.app[FLEET].snapshot(request.match_info["id"])
    if model.state == "ready":
        return web.Response()
    why = f": {model.error.message}" if model.error else ""
    raise ModelFailed(f"{model.name} is {model.state}{why}")


async def _answer(
    request: web.Request, model: str, body: Prompted, *, as_list: bool = False
) -> web.StreamResponse:
    prepared = await _prepare(request, model, body)
    with generating(request, prepared, _new_id(), keeps_tokens=True) as answer:
        whole = whole_answer(prepared, *await read_whole(answer))
    return json_response([whole] if as_list else whole)


async def _stream(request: web.Request, model: str, body: Prompted) -> web.StreamResponse:
    prepared = await _prepare(request, model, body)
    with generating(request, prepared, _new_id(), keeps_tokens=True) as answer:
        return await stream_answer(request, answer, TGIWriter(prepared, answer.generation))


def _new_id() -> str:
    return f"gen-{secrets.token_urlsafe(16)}"


async def _prepare(request: web.Request, model: str, body: Prompted) -> GenerationRequest:
    parameters = whole_numbers(body.parameters or {})
    if parameters.get("best_of") not in (None, 1):
        raise InvalidParameters("`best_of` other than 1 is not supported: ask again instead")
    content = body.content
    request.app[GENERATIONS].prompt_limit.check_text(content)
    attachments = await find_attachments(
        request.app[ATTACHMENTS],
        request[CALLER].principal.id,
        () if isinstance(content, str) else content,
    )
    with placed({"parameters": parameters}):
        return prepare(request, model, content, parameters, body.sidestream, attachments)
