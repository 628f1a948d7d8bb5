"""Answers in OpenAI's form, for clients that know only that.

At `/v1` a field names the model, by its id or by its own server's name of it. At
`/models/{id}/v1` the address does, and the field may say what it likes: clients that take an
address for a model send a name of their own.
"""

import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from aiohttp import web

from server.chat.request import Request
from server.core.protocol import Message
from server.web.entry.gate import CALLER
from server.web.failures import OpenAIFailure
from server.web.http.answering import asking, read_whole, stream_answer
from server.web.http.beyond import NO_WISHES
from server.web.http.bodies import json_response, read_body
from server.web.http.openai.answers import (
    ChatChunk,
    ChatCompletion,
    Completion,
    OpenAIModel,
    OpenAIModels,
)
from server.web.http.openai.questions import (
    CHAT_NAMES,
    COMPLETION_NAMES,
    chat_parameters,
    completion_parameters,
    conversation,
    in_openais_words,
    tells_logprobs,
)
from server.web.http.openai.types import (
    ChatOptions,
    ChatRequest,
    CompletionOptions,
    CompletionRequest,
    Options,
)
from server.web.http.openai.writers import Chat, OpenAIWriter, Shape, Text, Wanted, whole_answer
from server.web.http.operations import EVENTS, JSON, Operation, Reply
from server.web.keys import DESK, FLEET


async def models(request: web.Request) -> web.StreamResponse:
    """Answer `GET /v1/models`."""
    sees = request[CALLER].principal.sees
    fleet = request.app[FLEET]
    seen = [model.id for model in fleet.snapshots() if sees(model.id)]
    # A server as a whole is there to be seen, and not to be asked.
    ids = [model_id for model_id in seen if not fleet.spec(model_id).is_server]
    return json_response(OpenAIModels([OpenAIModel(model_id) for model_id in ids]))


async def model(request: web.Request) -> web.StreamResponse:
    """Answer `GET /v1/models/{id}`."""
    return json_response(OpenAIModel(_named(request, request.match_info["id"])))


async def chat(request: web.Request) -> web.StreamResponse:
    """Answer `POST /v1/chat/completions`."""
    body = await read_body(request, ChatRequest)
    return await _chat(request, _named(request, body.model), body)


async def completions(request: web.Request) -> web.StreamResponse:
    """Answer `POST /v1/completions`."""
    body = await read_body(request, CompletionRequest)
    return await _complete(request, _named(request, body.model), body)


async def model_chat(request: web.Request) -> web.StreamResponse:
    """Answer `POST /models/{id}/v1/chat/completions`."""
    return await _chat(request, request.match_info["id"], await read_body(request, ChatOptions))


async def model_completions(request: web.Request) -> web.StreamResponse:
    """Answer `POST /models/{id}/v1/completions`."""
    body = await read_body(request, CompletionOptions)
    return await _complete(request, request.match_info["id"], body)


def _named(request: web.Request, name: str) -> str:
    """Return the id of the model that is called so; raises `UnknownModel`."""
    return request.app[FLEET].named(name, sees=request[CALLER].principal.sees).id


async def _chat(request: web.Request, model_id: str, body: ChatOptions) -> web.StreamResponse:
    with in_openais_words(CHAT_NAMES):
        content = conversation(body.messages)
        question = _question(request, model_id, content, body, chat_parameters(body))
        wanted = _wanted("chatcmpl-", question, body, has_logprobs=tells_logprobs(body))
        return await _answer(request, question, body, Chat(), wanted)


async def _complete(
    request: web.Request, model_id: str, body: CompletionOptions
) -> web.StreamResponse:
    prompt = body.prompt if isinstance(body.prompt, str) else body.prompt[0]
    with in_openais_words(COMPLETION_NAMES):
        question = _question(request, model_id, prompt, body, completion_parameters(body))
        has_logprobs = body.logprobs is not None
        echo = prompt if body.echo else ""
        wanted = _wanted("cmpl-", question, body, has_logprobs=has_logprobs, echo=echo)
        return await _answer(request, question, body, Text(), wanted)


def _question(
    request: web.Request,
    model_id: str,
    content: Sequence[Message] | str,
    body: Options,
    parameters: dict[str, Any],
) -> Request:
    wishes = body.sidestream or NO_WISHES
    return request.app[DESK].prepare(
        model_id,
        content,
        parameters=[parameters],
        extra=wishes.extra,
        is_lenient=wishes.lenient,
        principal=request[CALLER].principal,
    )


def _wanted(
    prefix: str, question: Request, body: Options, *, has_logprobs: bool, echo: str = ""
) -> Wanted:
    return Wanted(
        prefix + secrets.token_urlsafe(16),
        question.model.id,
        question.parameters.get("stop", ()),
        has_logprobs,
        has_usage=body.stream_options is not None and body.stream_options.include_usage,
        echo=echo,
    )


async def _answer(
    request: web.Request, question: Request, body: Options, shape: Shape, wanted: Wanted
) -> web.StreamResponse:
    with asking(request, question, wanted.id, keeps_tokens=wanted.has_logprobs) as answer:
        if body.stream:
            return await stream_answer(request, answer, OpenAIWriter(shape, wanted))
        return json_response(whole_answer(shape, wanted, *await read_whole(answer)))


_GROUP: Final = "Chat and completions (OpenAI's form)"
_ERRORS: Final = (400, 404, 413, 415, 502, 503, 504)
_CHAT: Final = Reply(
    "The answer, whole or, if `stream` says so, while it is written: `data: [DONE]` comes last.",
    {JSON: ChatCompletion, EVENTS: ChatChunk},
    breaks_off_with=OpenAIFailure,
    last_event="[DONE]",
)
_COMPLETION: Final = replace(_CHAT, content={JSON: Completion, EVENTS: Completion})

OPERATIONS: Final = (
    Operation(
        "GET",
        "/v1/models",
        models,
        _GROUP,
        "List all models as OpenAI does.",
        Reply("The models.", {JSON: OpenAIModels}),
        example=True,
    ),
    Operation(
        "GET",
        "/v1/models/{id}",
        model,
        _GROUP,
        "Show one model as OpenAI does.",
        Reply("The model.", {JSON: OpenAIModel}),
        errors=(404,),
    ),
    Operation(
        "POST",
        "/v1/chat/completions",
        chat,
        _GROUP,
        "Answer a conversation. The model is started if need be.",
        _CHAT,
        body=ChatRequest,
        errors=_ERRORS,
        example={
            "model": "smollm2-135m",
            "messages": [{"role": "user", "content": "What is a lighthouse for?"}],
            "max_tokens": 20,
        },
    ),
    Operation(
        "POST",
        "/v1/completions",
        completions,
        _GROUP,
        "Go on with a text. The model is started if need be.",
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
    ),
    Operation(
        "POST",
        "/models/{id}/v1/chat/completions",
        model_chat,
        _GROUP,
        "Answer a conversation, as a server of this one model would.",
        _CHAT,
        body=ChatOptions,
        errors=_ERRORS,
    ),
    Operation(
        "POST",
        "/models/{id}/v1/completions",
        model_completions,
        _GROUP,
        "Go on with a text, as a server of this one model would.",
        _COMPLETION,
        body=CompletionOptions,
        errors=_ERRORS,
    ),
)
