"""How the fake of OpenAI's form serves one generation, and all it can do wrong on the way.

Between two events of a stream stands a step: what is due after that many events, then the wait
before the next.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any, cast

from aiohttp import web

from tests.fakes.openai_answers import Answer, Refusal, answer, error_body, to_json
from tests.fakes.openai_options import FakeOptions
from tests.fakes.openai_signs import headers_of
from tests.fakes.openai_state import OpenAIState

OPTIONS = web.AppKey("options", FakeOptions)
STATE = web.AppKey("state", OpenAIState)


class Broken(Exception):
    """End a request because an option says so; what was to be sent has been sent."""


async def generate(request: web.Request, *, is_chat: bool) -> web.StreamResponse:
    """Answer a request for text, as a stream if it asks for one; raises `Refusal`."""
    options, state = request.app[OPTIONS], request.app[STATE]
    try:
        body = await request.json()
        if not isinstance(body, dict):
            raise ValueError("not an object")
    except ValueError as error:
        raise Refusal(400, f"cannot read the body: {error}") from None
    response = web.StreamResponse()
    try:
        async with _counted(request, body):
            if state.counts["started"] <= options.bad_gateway:
                return web.Response(status=502)
            _refuse(options, state)
            whole = answer(options, body, is_chat=is_chat)
            stream = Stream(request, whole)
            response = stream.response
            if body.get("stream"):
                await stream.run()
            else:
                await stream.reach_everything()
                return web.json_response(whole.whole(), headers=headers_of(options))
    except Broken:
        pass  # The step that raised it has left the connection as the option asks.
    return response if response.prepared else web.Response()


def drop_connection(request: web.Request) -> None:
    """Break the connection, as a process that dies does."""
    if request.transport is not None:
        cast(asyncio.WriteTransport, request.transport).abort()


def _refuse(options: FakeOptions, state: OpenAIState) -> None:
    if options.limited < 0 or state.counts["started"] <= options.limited:
        raise Refusal(429, "Rate limit reached", "rate_limit_error")
    if options.overloaded:
        text = "The engine is currently busy and cannot accept new requests."
        raise Refusal(503, text, "Service Unavailable")
    if options.error_status is not None:
        raise Refusal(options.error_status, options.error_text, "InternalServerError")


class Stream:
    """One answer on its way, going wrong where the options say so."""

    def __init__(self, request: web.Request, whole: Answer) -> None:
        self._request = request
        self._whole = whole
        self._options = request.app[OPTIONS]
        self._state = request.app[STATE]
        self._ready = b""
        headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}
        self.response = web.StreamResponse(headers={**headers, **headers_of(self._options)})

    async def run(self) -> None:
        """Send all of it; raises `Broken` where an option says so."""
        options = self._options
        await self._step(-1)
        self.response.enable_chunked_encoding()
        await self.response.prepare(self._request)
        sent = 0
        for odd in options.odd_events:
            await self._write(odd.encode() + self._line_end() * 2)
        await self._step(0)
        for event in self._whole.events():
            await self._send(event.data)
            if event.has_words:
                sent += 1
                self._state.add_token()
                await self._step(sent)
        if not options.no_done:
            await self._write(self._field(b"[DONE]"))
        await self._flush()

    async def reach_everything(self) -> None:
        """Take the steps of a whole answer without sending its events."""
        await self._step(-1)
        for sent in range(len([event for event in self._whole.events() if event.has_words]) + 1):
            await self._step(sent, is_whole=True)

    async def _step(self, sent: int, *, is_whole: bool = False) -> None:
        """Do what is due after so many events."""
        options = self._options
        if sent in (options.silent_after, options.hold_after):
            await self._flush()
            self._state.count(held=1)
            if options.silent_after == sent:
                await asyncio.Event().wait()
            await self._keeping_alive(self._state.released.wait())
        if options.cut_after == sent:
            await self._flush()
            drop_connection(self._request)
            raise Broken
        if options.end_early_after == sent:
            await self._flush()
            raise Broken
        if options.error_after == sent:
            refusal = Refusal(500, options.error_text, "InternalServerError")
            if is_whole or not self.response.prepared:
                raise refusal
            await self._send_error(refusal)
            raise Broken
        if options.malformed_after == sent and not is_whole:
            await self._write(self._field(b'{"choices":[{"index":0,"del'))
        if options.delay_ms:
            await self._keeping_alive(asyncio.sleep(options.delay_ms / 1000))

    async def _send_error(self, refusal: Refusal) -> None:
        options = self._options
        _, body = error_body(options, refusal)
        if options.error_in == "html":
            await self._write(b"<html><h1>502 Bad Gateway</h1></html>")
        elif options.error_in == "bare":
            await self._write(body)
        elif options.error_in == "named":
            await self._write(b"event: error" + self._line_end() + self._field(body))
        else:
            await self._write(self._field(body))
        if options.done_after_error:
            await self._write(self._field(b"[DONE]"))
        await self._flush()

    async def _send(self, data: Any) -> None:
        await self._write(self._field(to_json(data)))

    def _field(self, data: bytes) -> bytes:
        prefix = b"data:" if self._options.no_space else b"data: "
        return prefix + data + self._line_end() * 2

    def _line_end(self) -> bytes:
        return b"\r\n" if self._options.crlf else b"\n"

    async def _keeping_alive(self, waiting: Awaitable[Any]) -> None:
        task = asyncio.ensure_future(waiting)
        pause = self._options.keep_alive_seconds or None
        try:
            while not task.done():
                await asyncio.wait([task], timeout=pause)
                if not task.done() and self.response.prepared:
                    await self._write(b":" + self._line_end() * 2)
        finally:
            task.cancel()

    async def _write(self, data: bytes) -> None:
        if self._options.in_one_write:
            self._ready += data
            return
        size = 2 if self._options.two_bytes else len(data)
        for start in range(0, len(data), size):
            await self.response.write(data[start : start + size])
            if self._options.two_bytes:
                await asyncio.sleep(0)

    async def _flush(self) -> None:
        ready, self._ready = self._ready, b""
        if ready:
            await self.response.write(ready)


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
