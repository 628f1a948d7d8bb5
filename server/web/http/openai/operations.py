"""The operations of OpenAI's API.

At `/v1` a field names the model, by its id or by its server's name of it. At `/models/{id}/v1` the
address does, and the field is ignored: clients that have one address per model send any name.
"""

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from aiohttp import web

from server.chat.request import GenerationRequest
from server.dialects.base import EngineInfo
from server.dialects.openai.listing import GATEWAY, RELAYED
from server.models.catalogue.catalog import ModelSpec
from server.web.bodies import json_response, read_body
from server.web.entry.gate import CALLER
from server.web.failures import OpenAIFailure
from server.web.http.answering import generating, prepare, read_whole, stream_answer
from server.web.http.openai.pictures import extract_pictures, has_pictures
from server.web.http.openai.requests import (
    ChatOptions,
    ChatRequest,
    CompletionOptions,
    CompletionRequest,
    Options,
)
from server.web.http.openai.responses import (
    Architecture,
    ChatChunk,
    ChatCompletion,
    Completion,
    OpenAIModel,
    OpenAIModels,
)
from server.web.http.openai.translation import (
    CHAT_NAMES,
    COMPLETION_NAMES,
    OPTIONAL,
    chat_parameters,
    completion_parameters,
    conversation,
    in_openais_words,
    joins_thinking,
    tells_logprobs,
)
from server.web.http.openai.writers import Chat, OpenAIWriter, Shape, Text, Wanted, whole_answer
from server.web.http.operations import EVENTS, JSON, Group, Reply
from server.web.keys import ATTACHMENTS, FLEET, GENERATIONS

GROUP: Final = Group("Chat and completions (OpenAI's form)")
_ERRORS: Final = (400, 404, 413, 415, 502, 503, 504)
_CHAT: Final = Reply(
    "The answer, whole or, if `stream` says so, while it is written: `data: [DONE]` comes last.",
    {JSON: ChatCompletion, EVENTS: ChatChunk},
    breaks_off_with=OpenAIFailure,
    last_event="[DONE]",
)
_COMPLETION: Final = replace(_CHAT, content={JSON: Completion, EVENTS: Completion})


@dataclass(frozen=True)
class _Question:
    """What is needed of a request to answer it.

    The body itself is let go before: its pictures have megabytes, and an answer may take minutes.
    """

    prepared: GenerationRequest
    shape: Shape
    wanted: Wanted
    streams: bool


@GROUP.operation(
    "GET",
    "/v1/models",
    Reply("The models.", {JSON: OpenAIModels}),
    example=True,
    role="user",
)
async def models(request: web.Request) -> web.StreamResponse:
    """List all models as OpenAI does."""
    sees = request[CALLER].principal.sees
    fleet = request.app[FLEET]
    specs = [fleet.spec(model.id) for model in fleet.snapshots() if sees(model.id)]
    # A server with many models is shown in the page but is no model itself.
    shown = [_listed(spec, fleet.info(spec.id)) for spec in specs if not spec.is_server]
    return json_response(OpenAIModels(shown))


@GROUP.operation(
    "GET",
    "/v1/models/{id}",
    Reply("The model.", {JSON: OpenAIModel}),
    errors=(404,),
    role="user",
)
async def model(request: web.Request) -> web.StreamResponse:
    """Show one model as OpenAI does."""
    model_id, fleet = _named(request, request.match_info["id"]), request.app[FLEET]
    return json_response(_listed(fleet.spec(model_id), fleet.info(model_id)))


def _listed(spec: ModelSpec, info: EngineInfo) -> OpenAIModel:
    is_relayed = spec.served is not None and spec.served.is_relayed
    owner, sees = RELAYED if is_relayed else GATEWAY, spec.can_see(info)
    if sees is None:
        return OpenAIModel(spec.id, owned_by=owner)
    takes = Architecture(["text", "image"] if sees else ["text"])
    return OpenAIModel(spec.id, owned_by=owner, architecture=takes)


@GROUP.operation(
    "POST",
    "/v1/chat/completions",
    _CHAT,
    body=ChatRequest,
    errors=_ERRORS,
    example={
        "model": "smollm2-135m",
        "messages": [{"role": "user", "content": "What is a lighthouse for?"}],
        "max_tokens": 20,
    },
    role="user",
)
async def chat(request: web.Request) -> web.StreamResponse:
    """Answer a conversation.

    The model is started if need be.
    """
    return await _answer(request, await _read_chat(request, ChatRequest))


@GROUP.operation(
    "POST",
    "/v1/completions",
    _COMPLETION,
    body=CompletionRequest,
    errors=_ERRORS,
    example={
        "model": "smollm2-135m",
        "prompt": "The sea is",
        "max_tokens": 20,
        "stream": True,
        "stream_options": {"include_usage": True},
    },
    role="user",
)
async def completions(request: web.Request) -> web.StreamResponse:
    """Go on with a text.

    The model is started if need be.
    """
    return await _answer(request, await _read_completion(request, CompletionRequest))


@GROUP.operation(
    "POST",
    "/models/{id}/v1/chat/completions",
    _CHAT,
    body=ChatOptions,
    errors=_ERRORS,
    role="user",
)
async def model_chat(request: web.Request) -> web.StreamResponse:
    """Answer a conversation, as a server of this one model would."""
    return await _answer(request, await _read_chat(request, ChatOptions))


@GROUP.operation(
    "POST",
    "/models/{id}/v1/completions",
    _COMPLETION,
    body=CompletionOptions,
    errors=_ERRORS,
    role="user",
)
async def model_completions(request: web.Request) -> web.StreamResponse:
    """Go on with a text, as a server of this one model would."""
    return await _answer(request, await _read_completion(request, CompletionOptions))


def _named(request: web.Request, name: str) -> str:
    """Return the id of the model that is called so; raises `UnknownModel`."""
    return request.app[FLEET].named(name, sees=request[CALLER].principal.sees).id


def _model_id(request: web.Request, body: Options) -> str:
    """Return the id of the model that the body names, or else the address."""
    if isinstance(body, ChatRequest | CompletionRequest):
        return _named(request, body.model)
    return request.match_info["id"]


async def _read_chat(request: web.Request, shape: type[ChatOptions]) -> _Question:
    body = await read_body(request, shape, more_bytes=_picture_bytes(request))
    model_id = _model_id(request, body)
    with in_openais_words(CHAT_NAMES):
        content, attachments = conversation(body.messages), None
        if has_pictures(body.messages):
            request.app[GENERATIONS].prompt_limit.check_text(content)
            # In a thread: large pictures would hold up the event loop.
            content, attachments = await asyncio.to_thread(
                extract_pictures, body.messages, content, request.app[ATTACHMENTS].limits
            )
        prepared = prepare(
            request,
            model_id,
            content,
            chat_parameters(body),
            body.sidestream,
            attachments,
            optional=OPTIONAL,
        )
        has_logprobs = tells_logprobs(body)
    wanted = _wanted(
        "chatcmpl-",
        prepared,
        body,
        names=CHAT_NAMES,
        has_logprobs=has_logprobs,
        kinds=("tool_call",) if joins_thinking(body) else ("reasoning", "tool_call"),
    )
    return _Question(prepared, Chat(), wanted, streams=bool(body.stream))


def _picture_bytes(request: web.Request) -> int:
    """Return how much larger a body may be that has pictures, written as base64."""
    return request.app[ATTACHMENTS].limits.prompt_bytes * 4 // 3


async def _read_completion(request: web.Request, shape: type[CompletionOptions]) -> _Question:
    body = await read_body(request, shape)
    model_id = _model_id(request, body)
    prompt = body.prompt if isinstance(body.prompt, str) else body.prompt[0]
    with in_openais_words(COMPLETION_NAMES):
        prepared = prepare(request, model_id, prompt, completion_parameters(body), body.sidestream)
    wanted = _wanted(
        "cmpl-",
        prepared,
        body,
        names=COMPLETION_NAMES,
        has_logprobs=body.logprobs is not None,
        echo=prompt if body.echo else "",
    )
    return _Question(prepared, Text(), wanted, streams=bool(body.stream))


def _wanted(
    prefix: str,
    prepared: GenerationRequest,
    body: Options,
    *,
    names: Mapping[str, str],
    has_logprobs: bool,
    echo: str = "",
    kinds: tuple[str, ...] = (),
) -> Wanted:
    return Wanted(
        prefix + secrets.token_urlsafe(16),
        prepared.model.id,
        names,
        prepared.parameters.get("stop", ()),
        has_logprobs,
        has_usage=body.stream_options is not None and body.stream_options.include_usage,
        echo=echo,
        kinds=kinds,
    )


async def _answer(request: web.Request, question: _Question) -> web.StreamResponse:
    prepared, shape, wanted = question.prepared, question.shape, question.wanted
    with (
        in_openais_words(wanted.names),
        generating(request, prepared, wanted.id, keeps_tokens=wanted.has_logprobs) as answer,
    ):
        if question.streams:
            return await stream_answer(request, answer, OpenAIWriter(shape, wanted))
        await read_whole(answer)
        return json_response(whole_answer(shape, wanted, answer.generation))
