"""Have an Ollama in a container download its model, which it does only on request."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import aiohttp
import msgspec

from server.core.errors import ModelFailed
from server.core.protocol import Progress
from server.dialects.base import Endpoint
from server.engines.engine import Engine
from server.models.diagnosis.known_causes import causes_of
from server.models.runners.base import Condition, Replica, Report, Runner
from server.settings.values import human_size

_LOOK_SECONDS: Final = 0.2
_CALL_SECONDS: Final = 30.0
# The longest pause between two messages of a download; usually several come in a second.
_SILENCE_SECONDS: Final = 120.0
_NOT_FOUND: Final = 404
# Messages are much shorter, even one with the model's template.
_MAX_MESSAGE_BYTES: Final = 1 << 20


class _Message(msgspec.Struct):
    status: str = ""
    digest: str = ""
    total: int = 0
    completed: int = 0
    error: str = ""


_message = msgspec.json.Decoder(_Message)


async def fetch_model(
    url: str, model: str, report: Report, is_running: Callable[[], Awaitable[bool]]
) -> None:
    """Have the server at `url` download its model; return when it is done or the server has ended.

    Raises `ModelFailed` with the cause if the download fails. If cancelled, the download ends;
    Ollama keeps the part that has arrived.
    """
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CALL_SECONDS)
    async with aiohttp.ClientSession(url, timeout=timeout) as http:
        while True:
            try:
                if not await _has(http, model):
                    await _fetch(http, model, report)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                # It does not listen yet, or it has ended; its end is reported elsewhere.
                if not await is_running():
                    return
                report(Progress("starting", None, f"waiting for Ollama: {_words(error)}"))
                await asyncio.sleep(_LOOK_SECONDS)
                continue
            return


async def fetch_if_asked_for(
    runner: Runner, replica: Replica, engine: Engine, endpoint: Endpoint, report: Report
) -> None:
    """Have a server download its model if its engine does so only on request.

    Raises what `fetch_model` raises, and is cancelled as it is.
    """

    async def is_running() -> bool:
        return (await runner.inspect(replica)).condition is not Condition.EXITED

    if engine.fetches_when_told:
        await fetch_model(endpoint.url, endpoint.model, report, is_running)


async def _has(http: aiohttp.ClientSession, model: str) -> bool:
    async with http.post(
        "/api/show", json={"model": model}, timeout=aiohttp.ClientTimeout(total=_CALL_SECONDS)
    ) as response:
        return response.status != _NOT_FOUND


async def _fetch(http: aiohttp.ClientSession, model: str, report: Report) -> None:
    done: dict[str, tuple[int, int]] = {}
    report(Progress("downloading", None, f"asking for {model}"))
    last = _Message()
    async with http.post("/api/pull", json={"model": model, "stream": True}) as response:
        async for last in _messages(response.content):
            if last.error:
                raise _failure(model, last.error)
            if last.digest and last.total > 0:
                done[last.digest] = (min(last.completed, last.total), last.total)
                report(_progress(done))
    if last.status != "success":
        raise _failure(model, "Ollama broke off")


async def _messages(content: aiohttp.StreamReader) -> AsyncIterator[_Message]:
    """Split the answer into its messages, one JSON object on each line; skip invalid lines."""
    buffer = b""
    while True:
        async with asyncio.timeout(_SILENCE_SECONDS):
            chunk = await content.readany()
        *lines, buffer = (buffer + chunk).split(b"\n")
        for line in [*lines, *([] if chunk else [buffer])]:
            try:
                yield _message.decode(line)
            except msgspec.DecodeError:
                continue
        if not chunk or len(buffer) > _MAX_MESSAGE_BYTES:
            return


def _progress(done: dict[str, tuple[int, int]]) -> Progress:
    arrived, total = (sum(sizes) for sizes in zip(*done.values(), strict=True))
    return Progress("downloading", arrived / total, f"{human_size(arrived)} of {human_size(total)}")


def _failure(model: str, said: str) -> ModelFailed:
    said = " ".join(said.split())[:300]
    for cause in causes_of("ollama"):
        if cause.find(said, "downloading"):
            details = {"cause": cause.code}
            return ModelFailed(f"{cause.message}: {said}", hint=cause.hint, details=details)
    return ModelFailed(
        f"Ollama cannot fetch {model}: {said}",
        hint="correct `model_id` in the model's section",
        details={"cause": "unknown"},
    )


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
