"""llama.cpp: load a model, and speak to the HTTP server that runs inside this process.

Strategy: `xllamacpp.Server` starts llama.cpp's own server in C++ threads of this process.
It listens on a Unix socket in a directory only this user can enter, so there is no second
port and no second key. This file is the one place that knows its dialect.

Rules:

1. Each request has a connection of its own, closed at its end: llama.cpp gives a thread
   to every open connection, and closing it is what frees the slot.
2. Special tokens are shown (`special`), since TGI shows them; the engine tells them apart
   by their ids.
3. Two models often share few cores. OpenMP's threads spin while they wait for each other,
   and two processes that spin halt one another: two 135M models on two cores wrote 4
   tokens a second each. A bounded spin keeps 90 % of the speed alone (about 100 tokens a
   second) and gives 45 each to two.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp
import msgspec

from server.core.sse import SSEParser, StreamError
from server.engine.errors import GenerationFailed, IncompleteGeneration, ModelLoadFailed
from server.engine.llama_log import LlamaLog

# Connections beside those of the slots: tokenising, templates, health, slot states.
_SPARE_HTTP_THREADS = 4
_HEALTH_SECONDS = 10
_ERRORS_ONLY = 1  # llama.cpp's verbosity: 1 error, 2 warning, 3 info
_SPINS = "1000"
# A prompt is computed in pieces, and only between two pieces do others get a token and is a
# closed connection seen. Larger ones save 2 % on a CPU; llama.cpp's 2048 are ten seconds there.
_BATCH_TOKENS = 64

_Answer = TypeVar("_Answer")


class Probability(msgspec.Struct, frozen=True):
    """One token and the logarithm of its probability before sampling."""

    id: int
    token: str = ""
    logprob: float | None = None
    top_logprobs: list["Probability"] = []


class Failure(msgspec.Struct, frozen=True):
    """An error as llama.cpp puts it."""

    message: str = "unknown error"


class Step(msgspec.Struct, frozen=True):
    """One event of llama.cpp's stream: a token and its text, or the end.

    `tokens_predicted` counts every token so far, also those that are not shown because
    their bytes do not complete a character; these come with the text of the next.
    """

    content: str = ""
    tokens: list[int] = []
    tokens_predicted: int = 0
    completion_probabilities: list[Probability] = []
    stop: bool = False
    stop_type: str = ""
    error: Failure | None = None


class _Piece(msgspec.Struct, frozen=True):
    id: int
    piece: str | list[int]


class _Pieces(msgspec.Struct, frozen=True):
    tokens: list[_Piece]


class _Tokens(msgspec.Struct, frozen=True):
    tokens: list[int]


class _Prompt(msgspec.Struct, frozen=True):
    prompt: str


class _Slot(msgspec.Struct, frozen=True):
    is_processing: bool


class _Refusal(msgspec.Struct, frozen=True):
    error: Failure


class LlamaRefused(Exception):
    """llama.cpp answered a request with an error; the text is its own."""


def load_model(
    path: Path, socket_path: Path, *, slots: int, context_tokens: int, threads: int | None
) -> object:
    """Load the model and start serving it on `socket_path`; keep the result alive.

    Blocks, and holds the interpreter, until the model is loaded. Raises `ModelLoadFailed`.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)
    try:
        import xllamacpp
    except ImportError as error:
        hint = " (on Debian: apt-get install libgomp1)" if "libgomp" in str(error) else ""
        raise ModelLoadFailed(f"llama.cpp cannot be loaded: {error}{hint}") from error
    options = xllamacpp.CommonParams()
    options.model.path = str(path)
    options.hostnames = [str(socket_path)]
    options.port = 0
    options.n_parallel = slots
    options.n_ctx = slots * context_tokens
    options.n_batch = options.n_ubatch = _BATCH_TOKENS
    options.n_threads_http = slots + _SPARE_HTTP_THREADS
    options.endpoint_slots = True
    options.special = True
    options.ui = False
    options.warmup = False
    options.cache_ram_mib = 0
    options.verbosity = _ERRORS_ONLY
    if threads is not None:
        options.cpuparams.n_threads = threads
        options.cpuparams_batch.n_threads = threads
    log = LlamaLog(xllamacpp.xllamacpp.__file__, socket_path.with_suffix(".log"))
    try:
        return xllamacpp.Server(options)
    except RuntimeError as error:
        raise ModelLoadFailed(f"llama.cpp cannot load {path}: {log.last_error()}") from error
    finally:
        log.close()


class LlamaClient:
    """Speak to llama.cpp's server on a Unix socket; an async context manager."""

    def __init__(self, socket_path: Path) -> None:
        self._http = aiohttp.ClientSession(
            base_url="http://llama",
            connector=aiohttp.UnixConnector(str(socket_path), limit=0, force_close=True),
            timeout=aiohttp.ClientTimeout(total=None),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._http.close()

    async def tokenize(self, text: str) -> list[int]:
        """Return the prompt's token ids, with the special tokens the model adds."""
        body = {"content": text, "add_special": True, "parse_special": True}
        return (await self._post("/tokenize", body, _Tokens)).tokens

    async def pieces(self, text: str, *, add_special: bool) -> list[tuple[int, bytes]]:
        """Return each token's id and the bytes it stands for."""
        body = {
            "content": text,
            "add_special": add_special,
            "parse_special": True,
            "with_pieces": True,
        }
        tokens = (await self._post("/tokenize", body, _Pieces)).tokens
        return [
            (t.id, t.piece.encode() if isinstance(t.piece, str) else bytes(t.piece)) for t in tokens
        ]

    async def apply_template(self, messages: list[dict[str, Any]]) -> str:
        """Render the model's chat template. Raises `LlamaRefused` where it does not apply."""
        return (await self._post("/apply-template", {"messages": messages}, _Prompt)).prompt

    async def count_busy_slots(self) -> int:
        """Return how many slots compute at this moment."""
        async with self._http.get("/slots") as response:
            slots = msgspec.json.decode(await response.read(), type=list[_Slot])
        return sum(slot.is_processing for slot in slots)

    async def is_healthy(self) -> bool:
        """Tell whether llama.cpp's server answers."""
        try:
            async with asyncio.timeout(_HEALTH_SECONDS), self._http.get("/health") as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    @asynccontextmanager
    async def complete(self, body: dict[str, Any]) -> AsyncIterator[AsyncIterator[Step]]:
        """Start a completion and yield its steps; leaving the context frees the slot.

        Raises `LlamaRefused` when llama.cpp does not take the request, `GenerationFailed`
        when it does not answer, and that and `IncompleteGeneration` while iterating.
        """
        try:
            response = await self._http.post("/completion", json={**body, "stream": True})
        except aiohttp.ClientError as error:
            raise _unanswered(error) from error
        try:
            if response.status != 200:
                raise _refusal(await response.read())
            async with aclosing(_steps(response)) as steps:
                yield steps
        finally:
            response.close()

    async def _post(self, path: str, body: dict[str, Any], answer: type[_Answer]) -> _Answer:
        try:
            async with self._http.post(path, json=body) as response:
                content = await response.read()
        except aiohttp.ClientError as error:
            raise _unanswered(error) from error
        if response.status != 200:
            raise _refusal(content)
        return msgspec.json.decode(content, type=answer)


async def _steps(response: aiohttp.ClientResponse) -> AsyncGenerator[Step, None]:
    parser = SSEParser()
    try:
        async for chunk in response.content.iter_any():
            for event in parser.feed(chunk):
                step = msgspec.json.decode(event.data, type=Step)
                if step.error is not None:
                    raise GenerationFailed(step.error.message)
                yield step
                if step.stop:
                    return
    except (aiohttp.ClientError, StreamError, msgspec.DecodeError) as error:
        raise GenerationFailed(f"llama.cpp's stream broke: {error}") from error
    raise IncompleteGeneration


def _unanswered(error: aiohttp.ClientError) -> GenerationFailed:
    return GenerationFailed(f"llama.cpp does not answer: {error}")


def _refusal(content: bytes) -> LlamaRefused:
    try:
        return LlamaRefused(msgspec.json.decode(content, type=_Refusal).error.message)
    except msgspec.DecodeError:
        return LlamaRefused(content.decode(errors="replace"))
