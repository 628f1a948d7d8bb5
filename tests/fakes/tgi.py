"""A fake TGI: healthy and quick by default, and wrong in exactly the way it is told to be.

As a program (`python -m tests.fakes.tgi --port 8080 --cut-after 3`) it behaves as TGI's process
does: it logs its phases, binds its port only when it is ready, exits with TGI's codes. In a test's
own loop, `async with serve(FakeOptions(cut_after=3)) as fake:` runs the same application on a free
port. `tests.fakes.tgi_answers.answer()` tells the whole answer beforehand.

What happened is seen in `FakeState`, or at `GET /_fake/state`; waiting needs no sleep:
`await fake.state.reaches(cancelled=1)`, or `GET /_fake/state?cancelled=1`, returns once that many
were counted. `POST /_fake/release` lets requests go on that `--hold-after` pauses.

Two liberties: a connection that ends cancels its generation at once (TGI: at the next token), and
a request is never merged into a batch with another.
"""

import argparse
import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from tests.fakes import tgi_log
from tests.fakes.tgi_answers import Refusal, chat_prompt, tokenize
from tests.fakes.tgi_generate import OPTIONS, STATE, generate, generate_stream, read_body
from tests.fakes.tgi_options import FakeOptions, add_flags, from_arguments
from tests.fakes.tgi_state import FakeState

_KEYED = frozenset({"/", "/generate", "/generate_stream", "/tokenize"})


@dataclass(frozen=True)
class Fake:
    """A fake that listens in this process."""

    url: str
    options: FakeOptions
    state: FakeState


@asynccontextmanager
async def serve(options: FakeOptions | None = None, *, port: int = 0) -> AsyncIterator[Fake]:
    """Run a fake on loopback until the block ends; requests still running are cut off then."""
    options = options or FakeOptions()
    app = make_app(options)
    # To aiohttp, no seconds at all would be for ever.
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.01, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        host, bound_port = runner.addresses[0][:2]
        yield Fake(f"http://{host}:{bound_port}", options, app[STATE])
    finally:
        await runner.cleanup()


def make_app(options: FakeOptions) -> web.Application:
    """Return the application; run it with `handler_cancellation`, or it will not see cancels."""
    app = web.Application(middlewares=[_check_key], client_max_size=2_000_000)
    app[OPTIONS] = options
    app[STATE] = FakeState()
    app.add_routes(
        [
            web.post("/", _compatible_generate),
            web.post("/generate", generate),
            web.post("/generate_stream", generate_stream),
            web.post("/tokenize", _tokenize),
            web.post("/chat_tokenize", _chat_tokenize),
            web.get("/", _health),
            web.get("/health", _health),
            web.get("/ping", _health),
            web.get("/info", _info),
            web.get("/metrics", _metrics),
            web.get("/_fake/state", _show_state),
            web.post("/_fake/release", _release),
        ]
    )
    return app


@web.middleware
async def _check_key(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    key = request.app[OPTIONS].api_key
    given = request.headers.get("Authorization", "")
    is_keyed = request.method == "POST" and request.path in _KEYED
    if key is not None and is_keyed and given.lower() != f"bearer {key}".lower():
        return web.Response(status=401)
    return await handler(request)


async def _compatible_generate(request: web.Request) -> web.StreamResponse:
    body, _ = await read_body(request)
    return await (generate_stream if body.get("stream") else generate)(request)


async def _tokenize(request: web.Request) -> web.Response:
    body, _ = await read_body(request)
    return web.json_response(tokenize(request.app[OPTIONS], body["inputs"]))


async def _chat_tokenize(request: web.Request) -> web.Response:
    options = request.app[OPTIONS]
    body = await request.json()
    try:
        prompt = chat_prompt(options, body["messages"])
    except Refusal as refusal:
        return web.json_response(refusal.body, status=refusal.status)
    # TGI adds no special tokens here, whatever the tokenizer does elsewhere.
    tokens = tokenize(FakeOptions(), prompt)
    return web.json_response({"tokenize_response": tokens, "templated_text": prompt})


async def _health(request: web.Request) -> web.Response:
    if request.app[OPTIONS].unhealthy:
        return web.json_response({"error": "unhealthy", "error_type": "healthcheck"}, status=503)
    return web.Response()


async def _info(request: web.Request) -> web.Response:
    options = request.app[OPTIONS]
    return web.json_response(
        {
            "model_id": options.model_id,
            "model_sha": "0123456789abcdef",
            "model_pipeline_tag": options.pipeline_tag,
            "max_concurrent_requests": options.max_concurrent_requests,
            "max_best_of": 2,
            "max_stop_sequences": 4,
            "max_input_tokens": options.max_input_tokens,
            "max_total_tokens": options.max_total_tokens,
            "validation_workers": 2,
            "max_client_batch_size": 4,
            "router": "text-generation-router",
            "version": "3.3.6-dev0",
            "sha": "0123456789abcdef",
            "docker_label": "sha-0123456",
        }
    )


async def _metrics(request: web.Request) -> web.Response:
    options = request.app[OPTIONS]
    request.app[STATE].metrics_requests += 1
    if options.silent_metrics:
        await asyncio.Event().wait()
    if options.metrics is not None:
        return web.Response(text=options.metrics)
    counts = request.app[STATE].counts
    return web.Response(
        text=(
            f"tgi_request_count {counts['started']}\n"
            f"tgi_request_success {counts['served']}\n"
            f'tgi_request_failure{{err="dropped"}} {counts["cancelled"]}\n'
            f"tgi_batch_current_size {counts['running']}\n"
            "tgi_queue_size 0\n"
        )
    )


async def _show_state(request: web.Request) -> web.Response:
    state = request.app[STATE]
    await state.reaches(**{name: int(number) for name, number in request.query.items()})
    return web.json_response(state.to_wire())


async def _release(request: web.Request) -> web.Response:
    request.app[STATE].release()
    return web.json_response({})


async def run(options: FakeOptions, listener: Callable[[], socket.socket]) -> int:
    """Load, listen on what `listener` returns, serve until SIGTERM or SIGINT; the exit code."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    if options.ignore_sigterm:
        loop.add_signal_handler(signal.SIGTERM, lambda: None)
    lines = list(tgi_log.start_lines(options))
    for line in lines[: lines.index(tgi_log.WAITING)]:
        tgi_log.write(options, line)
    if await _is_stopped(stopping, options.load_seconds / 2):
        return 0
    tgi_log.write(options, tgi_log.WAITING)
    while options.never_healthy:
        if await _is_stopped(stopping, 10):
            return 0
        tgi_log.write(options, tgi_log.WAITING)
    if options.die_while_loading is not None:
        tgi_log.write(options, *tgi_log.death_lines(options.die_cause))
        return options.die_while_loading
    if await _is_stopped(stopping, options.load_seconds / 2):
        return 0
    tgi_log.write(options, *lines[lines.index(tgi_log.WAITING) + 1 :])
    runner = web.AppRunner(
        make_app(options),
        handler_cancellation=True,
        shutdown_timeout=options.graceful_termination_timeout,
        access_log=None,
    )
    await runner.setup()
    try:
        await web.SockSite(runner, listener()).start()
        await stopping.wait()
    except OSError:
        tgi_log.write(options, *tgi_log.death_lines("port"))
        return 1
    finally:
        await runner.cleanup()
    return 0


async def _is_stopped(stopping: asyncio.Event, within_seconds: float) -> bool:
    try:
        await asyncio.wait_for(stopping.wait(), within_seconds)
    except TimeoutError:
        return False
    return True


def _bound_socket(host: str, port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((host, port))
    return bound


async def _main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fakes.tgi", description="A fake TGI.")
    parser.add_argument("--port", type=int, required=True, help="bind this port when ready")
    parser.add_argument("--hostname", default="127.0.0.1", help="bind this address")
    add_flags(parser)
    arguments = parser.parse_args()
    options = from_arguments(arguments)
    return await run(options, lambda: _bound_socket(arguments.hostname, arguments.port))


if __name__ == "__main__":
    sys.exit(asyncio.run(_main()))
