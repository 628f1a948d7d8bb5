"""TGI's HTTP routes.

Rules:

1. `/generate_stream` answers 200 as soon as the body has the right shape; whatever goes
   wrong after that is an event. The other routes answer with TGI's statuses.
2. A stream that is silent for `keep_alive_seconds`, waiting included, gets a comment.
3. With a key set, only the routes that compute ask for it, as in TGI; the refusal is 401
   without a body.
4. A handler is cancelled when its connection ends; that is how an answer is cancelled.
"""

import asyncio
import hmac
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web

from server.core.parameter_rules import GenerationParameters
from server.engine.answers import answer_headers, generate_best_of, stream_headers
from server.engine.bodies import (
    PAYLOAD_LIMIT_BYTES,
    BodyRefused,
    ChatRequest,
    GenerateRequest,
    read_body,
    read_parameters,
)
from server.engine.decoder import StreamEvent
from server.engine.errors import InferError
from server.engine.inference import Inference, Timings
from server.engine.llama import LlamaClient
from server.engine.metrics import Metrics
from server.engine.prompts import Prompts

_KEEP_ALIVE = b":\n\n"
_PROTECTED = frozenset({"/", "/generate", "/generate_stream", "/tokenize"})

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Service:
    """What the handlers need."""

    inference: Inference
    prompts: Prompts
    llama: LlamaClient
    metrics: Metrics
    info: dict[str, Any]
    api_key: str | None
    keep_alive_seconds: float


def make_app(service: Service) -> web.Application:
    """Return the application with TGI's routes."""
    routes = _Routes(service)
    app = web.Application(
        client_max_size=PAYLOAD_LIMIT_BYTES,
        middlewares=[_plain_refusals, routes.require_key],
    )
    app.add_routes(
        [
            web.post("/", routes.compat_generate),
            web.post("/generate", routes.generate),
            web.post("/generate_stream", routes.generate_stream),
            web.post("/tokenize", routes.tokenize),
            web.post("/chat_tokenize", routes.chat_tokenize),
            web.get("/", routes.health),
            web.get("/health", routes.health),
            web.get("/ping", routes.health),
            web.get("/info", routes.info),
            web.get("/metrics", routes.metrics),
            web.get("/v1/models", routes.models),
        ]
    )
    return app


class _Routes:
    def __init__(self, service: Service) -> None:
        self._service = service

    @web.middleware
    async def require_key(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        key = self._service.api_key
        if key is not None and request.method == "POST" and request.path in _PROTECTED:
            given = request.headers.get("Authorization", "").lower().encode()
            if not hmac.compare_digest(given, f"bearer {key}".lower().encode()):
                return web.Response(status=401)
        return await handler(request)

    async def generate(self, request: web.Request) -> web.StreamResponse:
        body = await read_body(request, GenerateRequest)
        return await self._answer(body, read_parameters(body), as_list=False)

    async def generate_stream(self, request: web.Request) -> web.StreamResponse:
        body = await read_body(request, GenerateRequest)
        return await self._stream(request, body, read_parameters(body))

    async def compat_generate(self, request: web.Request) -> web.StreamResponse:
        body = await read_body(request, GenerateRequest)
        parameters = read_parameters(body)
        if parameters.return_full_text is None:
            # TGI's default on this route for a model whose task the hub does not tell.
            parameters = msgspec.structs.replace(parameters, return_full_text=True)
        if body.stream:
            return await self._stream(request, body, parameters)
        return await self._answer(body, parameters, as_list=True)

    async def tokenize(self, request: web.Request) -> web.StreamResponse:
        body = await read_body(request, GenerateRequest)
        truncate = read_parameters(body).truncate
        try:
            tokens = await self._service.prompts.tokenize(body.inputs, truncate)
        except InferError as error:
            return _json(error.to_wire(), status=error.status)
        return _json(tokens)

    async def chat_tokenize(self, request: web.Request) -> web.StreamResponse:
        self._service.metrics.requests += 1
        body = await read_body(request, ChatRequest)
        try:
            return _json(await self._service.prompts.chat_tokenize(body))
        except InferError as error:
            self._service.metrics.failures[error.metric] += 1
            return _json(error.to_wire(), status=error.status)

    async def health(self, request: web.Request) -> web.StreamResponse:
        if await self._service.llama.is_healthy():
            return web.Response()
        return _json({"error": "unhealthy", "error_type": "healthcheck"}, status=503)

    async def info(self, request: web.Request) -> web.StreamResponse:
        return _json(self._service.info)

    async def metrics(self, request: web.Request) -> web.StreamResponse:
        busy_slots = await self._service.llama.count_busy_slots()
        return web.Response(text=self._service.metrics.render(busy_slots=busy_slots))

    async def models(self, request: web.Request) -> web.StreamResponse:
        model_id = self._service.info["model_id"]
        model = {"id": model_id, "object": "model", "created": 0, "owned_by": model_id}
        return _json({"object": "list", "data": [model]})

    async def _answer(
        self, body: GenerateRequest, parameters: GenerationParameters, *, as_list: bool
    ) -> web.StreamResponse:
        self._service.metrics.requests += 1
        timings = Timings()
        try:
            answer, details = await generate_best_of(
                self._service.inference, body.inputs, parameters, timings
            )
        except InferError as error:
            return _json(error.to_wire(), status=error.status)
        headers = answer_headers(body.inputs, timings, details)
        return _json([answer] if as_list else answer, headers=headers)

    async def _stream(
        self, request: web.Request, body: GenerateRequest, parameters: GenerationParameters
    ) -> web.StreamResponse:
        service = self._service
        service.metrics.requests += 1
        response = web.StreamResponse(headers=stream_headers(body.inputs))
        await response.prepare(request)
        prefix = body.inputs if parameters.return_full_text else ""
        source = service.inference.generate(body.inputs, parameters, streaming=True)
        async with aclosing(_with_silences(source, service.keep_alive_seconds)) as batches:
            try:
                async for events in batches:
                    if events is None:
                        await response.write(_KEEP_ALIVE)
                        continue
                    _finish_stream_events(events, prefix, details=parameters.details)
                    await response.write(b"".join(map(_encode_event, events)))
            except InferError as error:
                await response.write(_encode_event(error.to_stream()))
        await response.write_eof()
        return response


def _finish_stream_events(events: list[StreamEvent], prefix: str, *, details: bool) -> None:
    last = events[-1]
    if last.generated_text is not None:
        last.generated_text = prefix + last.generated_text
        if not details:
            last.details = None


async def _with_silences(
    source: AsyncGenerator[list[StreamEvent], None], seconds: float
) -> AsyncGenerator[list[StreamEvent] | None, None]:
    """Yield what `source` yields, and None after each `seconds` without anything."""
    async with aclosing(source):
        while True:
            step = asyncio.ensure_future(anext(source, None))
            try:
                while not (await asyncio.wait({step}, timeout=seconds))[0]:
                    yield None
                events = step.result()
            finally:
                if not step.done():
                    step.cancel()
                    await asyncio.wait({step})
            if events is None:
                return
            yield events


@web.middleware
async def _plain_refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except BodyRefused as refused:
        return web.Response(status=refused.status, text=refused.text)
    except (web.HTTPNotFound, web.HTTPMethodNotAllowed) as error:
        allow = error.headers.get("Allow")
        return web.Response(status=error.status, headers={"Allow": allow} if allow else None)


def _encode_event(event: object) -> bytes:
    return b"data: " + msgspec.json.encode(event) + b"\n\n"


def _json(
    content: object, *, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(content),
        status=status,
        headers=headers,
        content_type="application/json",
    )
