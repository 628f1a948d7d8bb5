"""A fake server of OpenAI's form: healthy and quick, and wrong in exactly the way it is told to be.

In a test's own loop: `async with serve(like("vllm", cut_after=3)) as fake:` runs it on a free port;
`fake.url` is its root and `fake.api` where its API is. As a program:
`python -m tests.fakes.openai --port 8080 --flavour vllm --cut-after 3`.

What happened is seen in `fake.state`, or at `GET /_fake/state`; waiting needs no sleep:
`await fake.state.reaches(cancelled=1)`, or `GET /_fake/state?cancelled=1`, returns once that many
were counted. `fake.state.release()`, or `POST /_fake/release`, lets go on what `hold_after` pauses.
`fake.state.routes` counts every request, so that a test can say that looking costs nothing.

`serve(recorded(line))` answers with an exchange that was recorded, byte for byte.
"""

import argparse
import asyncio
import base64
import json
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.fakes.openai_answers import Refusal, error_body, to_json
from tests.fakes.openai_options import Canned, FakeOptions, add_flags, from_arguments
from tests.fakes.openai_signs import OPEN_ROUTES, headers_of, models_of, routes_of
from tests.fakes.openai_state import OpenAIState
from tests.fakes.openai_stream import OPTIONS, STATE, drop_connection, generate

_PAGE = "<!doctype html><html><title>Welcome</title><body>It works!</body></html>"


@dataclass(frozen=True)
class Fake:
    """A fake that listens in this process."""

    url: str
    options: FakeOptions
    state: OpenAIState

    @property
    def api(self) -> str:
        """Return where the API in OpenAI's form is."""
        return self.url + self.options.prefix


@asynccontextmanager
async def serve(
    options: FakeOptions | None = None, *, port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Fake]:
    """Run a fake on loopback until the block ends; requests still running are cut off then."""
    options = options or FakeOptions()
    app = make_app(options)
    state = app[STATE]
    # To aiohttp, no seconds at all would be for ever.
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.01, access_log=None)
    await runner.setup()
    server = runner.server
    assert server is not None
    _count_handshakes(server, state)

    def accept() -> asyncio.Protocol:
        state.count(connections=1)
        return server()

    loop = asyncio.get_running_loop()
    listener = await loop.create_server(accept, "127.0.0.1", port, ssl=tls, backlog=1024)
    try:
        host, bound_port = listener.sockets[0].getsockname()
        scheme = "http" if tls is None else "https"
        yield Fake(f"{scheme}://{host}:{bound_port}", options, state)
    finally:
        for sock in listener.sockets:
            loop.remove_reader(sock)
        # asyncio makes a connection over two rounds of the loop. One that was taken before the
        # listener closed and is made after it would never be closed.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        listener.close()
        await runner.cleanup()


def _count_handshakes(server: Any, state: OpenAIState) -> None:
    made, lost = server.connection_made, server.connection_lost

    def connection_made(handler: Any, transport: asyncio.Transport) -> None:
        state.count(handshakes=1, open=1)
        made(handler, transport)

    def connection_lost(handler: Any, error: BaseException | None = None) -> None:
        state.count(open=-1)
        lost(handler, error)

    server.connection_made, server.connection_lost = connection_made, connection_lost


def make_app(options: FakeOptions) -> web.Application:
    """Return the application; run it with `handler_cancellation`, or it will not see cancels."""
    app = web.Application(middlewares=[_guard], client_max_size=64_000_000)
    app[OPTIONS] = options
    app[STATE] = OpenAIState()
    app.router.add_get("/_fake/state", _show_state)
    app.router.add_post("/_fake/release", _release)
    app.router.add_route("*", "/{path:.*}", _answer)
    return app


@web.middleware
async def _guard(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Do what comes before any route: count, replay, redirect, refuse."""
    if request.path.startswith("/_fake/"):
        return await handler(request)
    options, state = request.app[OPTIONS], request.app[STATE]
    route = f"{request.method} {request.path}"
    state.ask(route, {name.lower(): value for name, value in request.headers.items()})
    if options.drop_reused and request.transport in state.transports:
        drop_connection(request)
        return web.Response()
    state.transports.add(request.transport)
    replay = options.replay.get(route, options.replay.get("*"))
    if replay is not None:
        return await _replay(request, replay)
    if options.redirect:
        return web.Response(status=307, headers={"Location": options.redirect})
    try:
        if options.unavailable < 0 or state.counts["asked"] <= options.unavailable:
            raise Refusal(503, "Service Unavailable", "unavailable_error")
        _check_key(request, options)
        return await handler(request)
    except Refusal as refusal:
        return _refused(options, refusal)


def _refused(options: FakeOptions, refusal: Refusal) -> web.Response:
    content_type, body = error_body(options, refusal)
    headers = {"Content-Type": content_type, **headers_of(options)}
    if refusal.status in (429, 503) and options.retry_after:
        headers["Retry-After"] = options.retry_after
    return web.Response(status=refusal.status, body=body, headers=headers)


def _check_key(request: web.Request, options: FakeOptions) -> None:
    if options.api_key is None or request.path in OPEN_ROUTES:
        return
    if request.headers.get("Authorization") != f"Bearer {options.api_key}":
        raise Refusal(401, "Unauthorized", "authentication_error")


async def _answer(request: web.Request) -> web.StreamResponse:
    options = request.app[OPTIONS]
    route = f"{request.method} {request.path}"
    # A look by HEAD is answered as the whole would be.
    canned = routes_of(options).get(route.replace("HEAD ", "GET ", 1))
    if canned is not None:
        if request.method == "POST":
            request.app[STATE].bodies.append(await request.read())
        return _send(options, canned)
    inner = request.path.removeprefix(options.prefix)
    if request.path.startswith(options.prefix):
        if inner == "/models" and request.method in ("GET", "HEAD"):
            return _models(options)
        if inner in ("/chat/completions", "/completions") and request.method == "POST":
            return await generate(request, is_chat=inner == "/chat/completions")
    raise Refusal(404, "Not Found", "not_found_error")


def _models(options: FakeOptions) -> web.Response:
    if options.models_status is not None:
        raise Refusal(options.models_status, options.error_text)
    whole = models_of(options)
    forms: dict[str, Canned] = {
        "list": Canned(whole),
        "empty": Canned({"object": "list", "data": []}),
        "null": Canned({"object": "list", "data": None}),
        "bare": Canned(whole["data"]),
        "no-list": Canned({"status": "ok"}),
        "not-json": Canned('{"object":"list","data":[{"id"'),
        "html": Canned(_PAGE, headers={"Content-Type": "text/html"}),
        "404": Canned(_PAGE, 404, {"Content-Type": "text/html"}),
    }
    return _send(options, forms[options.models_form])


def _send(options: FakeOptions, canned: Canned) -> web.Response:
    body, kind = canned.body, "text/plain; charset=utf-8"
    if isinstance(body, str):
        body = body.encode()
    elif not isinstance(body, bytes):
        body, kind = to_json(body), "application/json"
    headers = {"Content-Type": kind, **headers_of(options), **canned.headers}
    return web.Response(status=canned.status, body=body, headers=headers)


async def _replay(request: web.Request, items: Sequence[bytes | float | str]) -> web.Response:
    state = request.app[STATE]
    await request.read()
    transport = request.transport
    assert transport is not None
    for item in items:
        if isinstance(item, bytes):
            transport.write(item)
        elif item == "hold":
            state.count(held=1)
            await state.released.wait()
        elif item == "cut":
            drop_connection(request)
        else:
            await asyncio.sleep(float(item))
    # What was written still goes out; what aiohttp adds does not.
    transport.close()
    return web.Response()


def recorded(exchange: dict[str, Any], options: FakeOptions | None = None) -> FakeOptions:
    """Return options that answer the request of a recorded exchange with its very bytes.

    An exchange is `{request: {method, path}, status_line, headers, reads: [{text | b64}]}`, its
    text with the framing of chunks where there was one. A read is one write here.
    """
    lines = [exchange["status_line"], *(f"{k}: {v}" for k, v in exchange["headers"])]
    head = ("\r\n".join(lines) + "\r\n\r\n").encode()
    reads = [
        base64.b64decode(read["b64"]) if "b64" in read else read["text"].encode()
        for read in exchange["reads"]
    ]
    request = exchange["request"]
    route = f"{request['method']} {request['path'].partition('?')[0]}"
    options = options or FakeOptions()
    return replace(options, replay={**options.replay, route: [head, *reads]})


async def _show_state(request: web.Request) -> web.Response:
    state = request.app[STATE]
    await state.reaches(**{name: int(number) for name, number in request.query.items()})
    return web.json_response(state.to_wire())


async def _release(request: web.Request) -> web.Response:
    request.app[STATE].release()
    return web.json_response({})


async def _main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fakes.openai", description="A fake server of OpenAI's form."
    )
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--replay", type=Path, help="a file of recorded exchanges (JSON lines)")
    parser.add_argument("--case", help="which of them, by `case`")
    add_flags(parser)
    arguments = parser.parse_args()
    options = from_arguments(argparse.Namespace(**{**vars(arguments), "replay": {}}))
    if arguments.replay is not None:
        for line in arguments.replay.read_text().splitlines():
            exchange = json.loads(line)
            if "request" in exchange and arguments.case in (None, exchange["case"]):
                options = recorded(exchange, options)
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with serve(options, port=arguments.port) as fake:
        print(f"listening on {fake.url}", flush=True)
        await stopping.wait()


if __name__ == "__main__":
    sys.exit(asyncio.run(_main()))
