"""The engine's life, from its arguments to its exit code.

    arguments ─▶ socket bound ─▶ weights ─▶ model loaded ─▶ warm ─▶ listening ─▶ drained ─▶ 0
        2            1             1            1            1

Rules:

1. The port is taken first and listened on last: a taken port is told at once, and until
   the model is ready connections are refused, as with TGI.
2. SIGTERM and SIGINT stop whatever goes on. While fetching: at once, exit code 0. While
   loading, which cannot be interrupted: the signal itself ends the process. While serving:
   no new connections, running answers may end, exit code 0; a second signal ends it at once.
3. A failed start ends with the cause and `Error: VARIANT`, exit code 1.
"""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from types import FrameType
from typing import Any, NoReturn

from aiohttp import web

import server
from server.engine import lifeline
from server.engine.arguments import Arguments, parse_arguments
from server.engine.decoder import UNSEEN_TOKENS_MOST
from server.engine.errors import ArgumentsRefused, InferError, StartFailed, WebserverFailed
from server.engine.gguf import ModelFile
from server.engine.inference import Inference, Limits
from server.engine.llama import LlamaClient, LlamaRefused, load_model
from server.engine.log import EngineLog
from server.engine.metrics import Metrics
from server.engine.prompts import Prompts
from server.engine.routes import Service, make_app
from server.engine.scratch import ScratchDirectory
from server.engine.weights import WeightsRequest, obtain_weights

_DEFAULT_CONTEXT_TOKENS = 4096
_LEAST_CONTEXT_TOKENS = 2  # one in, one out
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class _Stopped(BaseException):
    """A signal asked to stop while there was nothing to drain yet."""


def main(argv: Sequence[str]) -> int:
    """Run the engine; return its exit code."""
    arguments = parse_arguments(argv)
    log = EngineLog(json_output=arguments.json_output)
    log.capture_standard_logging()
    scratch = ScratchDirectory()
    try:
        if arguments.lifeline_fd is not None:
            _watch_lifeline(arguments.lifeline_fd, scratch)
        return _run(arguments, scratch, log)
    except _Stopped:
        return 0
    except StartFailed as error:
        log.cause(str(error))
        log.failed(error.variant)
        return 1
    finally:
        scratch.remove()


def _watch_lifeline(lifeline_fd: int, scratch: ScratchDirectory) -> None:
    try:
        lifeline.watch(lifeline_fd, before_exit=scratch.remove)
    except OSError as error:
        raise ArgumentsRefused(f"--lifeline-fd {lifeline_fd}: {error.strerror}") from error


def _run(arguments: Arguments, scratch: ScratchDirectory, log: EngineLog) -> int:
    for number in _STOP_SIGNALS:
        signal.signal(number, _raise_stopped)
    listener = _bind(arguments)
    request = WeightsRequest(
        arguments.weights, arguments.model_id, arguments.weights_dir, arguments.weights_sha256
    )
    model = obtain_weights(request, log)
    max_total_tokens = _choose_context(arguments.context_tokens, model, log)
    log.fact("Starting shard")
    started = time.monotonic()
    for number in _STOP_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    loaded = load_model(
        model.path,
        scratch.socket_path,
        slots=arguments.slots,
        context_tokens=max_total_tokens + UNSEEN_TOKENS_MOST,
        threads=arguments.threads,
    )
    log.fact(f"Shard ready in {time.monotonic() - started:.1f}s")
    limits = Limits(max_total_tokens, arguments.max_concurrent_requests, arguments.slots)
    asyncio.run(_serve(arguments, scratch, model, limits, listener, log))
    del loaded
    return 0


async def _serve(
    arguments: Arguments,
    scratch: ScratchDirectory,
    model: ModelFile,
    limits: Limits,
    listener: socket.socket,
    log: EngineLog,
) -> None:
    stop = asyncio.Event()
    _stop_on_signals(stop, scratch)
    log.fact("Starting Webserver")
    metrics = Metrics()
    async with LlamaClient(scratch.socket_path) as llama:
        inference = Inference(llama, model, limits, metrics)
        log.fact("Warming up model")
        try:
            await inference.warm_up()
        except (InferError, LlamaRefused) as error:
            raise WebserverFailed(f"the model does not answer: {error}") from error
        service = Service(
            inference=inference,
            prompts=Prompts(llama, model),
            llama=llama,
            metrics=metrics,
            info=_info(arguments, limits),
            api_key=arguments.api_key,
            keep_alive_seconds=arguments.keep_alive_seconds,
        )
        runner = web.AppRunner(
            make_app(service),
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=arguments.graceful_termination_timeout_seconds,
        )
        await runner.setup()
        try:
            try:
                await web.SockSite(runner, listener).start()
            except OSError as error:
                raise WebserverFailed(f"cannot listen: {error.strerror}") from error
            log.fact("Connected", port=listener.getsockname()[1])
            await stop.wait()
        finally:
            await runner.cleanup()


def _stop_on_signals(stop: asyncio.Event, scratch: ScratchDirectory) -> None:
    def on_signal() -> None:
        if stop.is_set():
            scratch.remove()
            os._exit(1)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, on_signal)


def _bind(arguments: Arguments) -> socket.socket:
    try:
        if arguments.fd is not None:
            listener = socket.socket(fileno=arguments.fd)
            if listener.type != socket.SOCK_STREAM:
                raise OSError(0, "not a TCP socket")
            listener.set_inheritable(False)
            return listener
        family, kind, protocol, _, address = socket.getaddrinfo(
            arguments.hostname, arguments.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        return listener
    except OSError as error:
        where = (
            f"--fd {arguments.fd}"
            if arguments.fd is not None
            else f"{arguments.hostname}:{arguments.port}"
        )
        raise WebserverFailed(f"Failed to bind to {where}: {error.strerror}") from error


def _choose_context(asked: int | None, model: ModelFile, log: EngineLog) -> int:
    trained = model.trained_context_tokens
    wanted = asked or _DEFAULT_CONTEXT_TOKENS
    if trained is not None and wanted > trained - UNSEEN_TOKENS_MOST:
        wanted = trained - UNSEEN_TOKENS_MOST
        if asked:
            log.fact(f"The model was trained for {trained} tokens; a request may hold {wanted}")
    if wanted < _LEAST_CONTEXT_TOKENS:
        raise ArgumentsRefused(
            f"`context-tokens` must be >= {_LEAST_CONTEXT_TOKENS}. Given: {wanted}"
        )
    return wanted


def _info(arguments: Arguments, limits: Limits) -> dict[str, Any]:
    parameters = limits.of_parameters
    return {
        "model_id": arguments.model_id,
        "model_sha": arguments.weights_sha256,
        "model_pipeline_tag": None,
        "max_concurrent_requests": limits.max_concurrent_requests,
        "max_best_of": parameters.max_best_of,
        "max_stop_sequences": parameters.max_stop_sequences,
        "max_input_tokens": limits.max_input_tokens,
        "max_total_tokens": limits.max_total_tokens,
        "validation_workers": 1,
        "max_client_batch_size": 1,
        "router": "sidestream-engine",
        "version": server.__version__,
        "sha": None,
        "docker_label": None,
    }


def _raise_stopped(number: int, frame: FrameType | None) -> NoReturn:
    raise _Stopped


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
