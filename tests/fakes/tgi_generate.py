"""How the fake TGI serves one generation, and all it can do wrong on the way.

Between two events of a stream stands a step: the flags that fire after that many tokens, then the
wait before the next. Silence longer than `keep_alive_seconds` is filled with comments as axum does,
except where silence is what was asked for.
"""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from tests.fakes.tgi_answers import Answer, FakeToken, Refusal, answer, check
from tests.fakes.tgi_options import FakeOptions
from tests.fakes.tgi_state import FakeState

OPTIONS = web.AppKey("options", FakeOptions)
STATE = web.AppKey("state", FakeState)


class Broken(Exception):
    """End a request because a flag says so; what was to be sent has been sent."""


async def generate(request: web.Request) -> web.StreamResponse:
    """Answer `POST /generate`: the whole answer at once, errors by status."""
    body, parameters = await read_body(request)
    try:
        async with _counted(request, body):
            whole = await _admit(request, body["inputs"], parameters, streams=False)
            await _work(request, whole)
    except Refusal as refusal:
        return web.json_response(refusal.body, status=refusal.status)
    except Broken:
        _drop_connection(request)
        return web.Response()
    details = whole.details | {"tokens": [token.to_wire() for token in whole.tokens]}
    answered: dict[str, Any] = {"generated_text": whole.generated_text}
    if parameters.get("details"):
        answered["details"] = details | {"prefill": []}
    return web.json_response(answered)


async def generate_stream(request: web.Request) -> web.StreamResponse:
    """Answer `POST /generate_stream`: status 200 and events, errors among them."""
    body, parameters = await read_body(request)
    response = web.StreamResponse(
        headers={
            "Content-Type": "text/event-stream",
            "Cache-Control": "no-cache",
            "X-Accel-Buffering": "no",
            "X-Compute-Type": "fake",
            "X-Compute-Characters": str(len(body["inputs"])),
        }
    )
    response.enable_chunked_encoding()
    sender = Sender(request, response)
    try:
        async with _counted(request, body):
            if request.app[OPTIONS].silent:
                await asyncio.Event().wait()
            await response.prepare(request)
            whole = await _admit(request, body["inputs"], parameters, streams=True)
            for sent, token in enumerate(whole.tokens):
                await sender.step(sent)
                is_last = sent + 1 == len(whole.tokens)
                await sender.event(token_event(sent, token, whole if is_last else None, parameters))
                request.app[STATE].add_token()
    except Refusal as refusal:
        await sender.event(refusal.body)
    except Broken:
        pass  # The step that raised it has left the connection as the flag asks.
    return response


def token_event(
    sent: int, token: FakeToken, whole: Answer | None, parameters: dict[str, Any]
) -> dict[str, Any]:
    """Return one event's data, fields in TGI's order; `whole` marks the last one."""
    event: dict[str, Any] = {"index": sent + 1, "token": token.to_wire()}
    if parameters.get("top_n_tokens"):
        event["top_tokens"] = [token.to_wire()] * parameters["top_n_tokens"]
    event["generated_text"] = whole.generated_text if whole else None
    event["details"] = whole.details if whole and parameters.get("details") else None
    return event


class Sender:
    """Write one stream's bytes, going wrong where the options say so."""

    def __init__(self, request: web.Request, response: web.StreamResponse) -> None:
        self._request = request
        self._response = response
        self._options = request.app[OPTIONS]
        self._state = request.app[STATE]

    async def step(self, sent: int) -> None:
        """Do what is due after `sent` tokens and wait for the next; may raise Broken or Refusal."""
        options = self._options
        if options.silent_after == sent:
            await asyncio.Event().wait()
        if options.die_after == sent:
            os.kill(os.getpid(), signal.SIGKILL)
        if options.cut_after == sent:
            _drop_connection(self._request)
            raise Broken
        if options.end_early_after == sent:
            raise Broken
        if options.error_after == sent:
            raise Refusal(
                "Request failed during generation: Server error: CUDA out of memory",
                "generation",
                424,
            )
        if options.malformed_after == sent:
            await self._write(self._prefix() + b'{"index":' + str(sent + 1).encode() + b',"tok\n\n')
        if options.hold_after == sent:
            await self._keeping_alive(self._state.released.wait())
        await self._keeping_alive(asyncio.sleep(options.delay_ms / 1000))

    async def event(self, data: dict[str, Any]) -> None:
        """Write one event as axum does."""
        encoded = json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
        await self._write(self._prefix() + encoded + b"\n\n")

    def _prefix(self) -> bytes:
        return b"data:" if self._options.no_space else b"data: "

    async def _keeping_alive(self, waiting: Awaitable[Any]) -> None:
        task = asyncio.ensure_future(waiting)
        try:
            while not task.done():
                await asyncio.wait([task], timeout=self._options.keep_alive_seconds)
                if not task.done():
                    await self._write(b":\n\n")
        finally:
            task.cancel()

    async def _write(self, data: bytes) -> None:
        size = 2 if self._options.two_bytes else len(data)
        for start in range(0, len(data), size):
            await self._response.write(data[start : start + size])
            if self._options.two_bytes:
                await asyncio.sleep(0)


async def read_body(request: web.Request) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a request's body and its parameters, or answer as axum does before any handler."""
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(
            text="Expected request with `Content-Type: application/json`"
        )
    try:
        body = await request.json()
    except ValueError as error:
        raise web.HTTPBadRequest(
            text=f"Failed to parse the request body as JSON: {error}"
        ) from None
    parameters = body.get("parameters") or {} if isinstance(body, dict) else None
    if not isinstance(parameters, dict) or not isinstance(body.get("inputs"), str):
        raise web.HTTPUnprocessableEntity(
            text="Failed to deserialize the JSON body into the target type: missing field `inputs`"
        )
    return body, parameters


@asynccontextmanager
async def _counted(request: web.Request, body: dict[str, Any]) -> AsyncIterator[None]:
    state = request.app[STATE]
    state.begin(body, request.headers.get("traceparent"))
    outcome = "cancelled"
    try:
        yield
        outcome = "served"
    except Refusal:
        outcome = "refused"
        raise
    except Broken:
        outcome = "broken"
        raise
    finally:
        state.end(outcome)


async def _admit(
    request: web.Request, inputs: str, parameters: dict[str, Any], *, streams: bool
) -> Answer:
    options = request.app[OPTIONS]
    limit = 0 if options.overloaded else options.max_concurrent_requests
    if request.app[STATE].counts["running"] > limit:
        raise Refusal("Model is overloaded", "overloaded", 429)
    check(options, inputs, parameters, streams=streams)
    return answer(options, inputs, parameters)


async def _work(request: web.Request, whole: Answer) -> None:
    """Take as long over a whole answer as over its tokens, and fail where the stream would."""
    options = request.app[OPTIONS]
    if options.silent or options.silent_after is not None:
        await asyncio.Event().wait()
    if options.error_after is not None:
        raise Refusal("Request failed during generation: Server error: ", "generation", 424)
    if options.cut_after is not None:
        raise Broken
    if options.hold_after is not None:
        await request.app[STATE].released.wait()
    await asyncio.sleep(options.delay_ms / 1000 * len(whole.tokens))


def _drop_connection(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.close()
