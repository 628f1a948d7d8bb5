"""Speak Ollama's native API.

What bites, and what is done about it:

1. `/v1` drops the beginning of a long prompt, most parameters and errors in mid-stream without a
   word. The native routes do not, when told so: `truncate: false`, `shift: false`.
2. A request for a model that is not in memory loads it, for minutes perhaps, before the head of
   the answer comes. Silence is therefore asked about at `/api/version`, which is free.
3. `num_ctx`, `shift` and a few more are fixed when a model is loaded; a request with another value
   loads it anew. They are the same in all requests, loading by hand among them.
4. While a model is being loaded, `/api/ps` waits for that, so a look at it has a short limit.
5. Only what a person asks for loads a model or moves the time when it is unloaded: `/api/version`,
   `/api/tags`, `/api/ps` and `/api/show` do neither.
6. Stop texts that are sent take the place of the model's own, so those are sent along.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeVar

import msgspec

from server.core.errors import EngineError
from server.core.protocol import Message
from server.dialects.base import (
    ANY_MODEL,
    Ask,
    Endpoint,
    EngineInfo,
    Finish,
    Meter,
    OnTokens,
    OnWait,
    Prompt,
    ServedModel,
)
from server.dialects.http.client import HTTPClient, Reply, Timeouts
from server.dialects.ollama.errors import failure
from server.dialects.ollama.listing import (
    about_server,
    engine_info,
    lacks,
    names_cloud,
    own_stop,
    served_model,
)
from server.dialects.ollama.loading import LOOK_SECONDS, LoadWatch
from server.dialects.ollama.parameters import (
    asks_to_stop,
    loading_body,
    request_body,
    with_own_stop,
)
from server.dialects.ollama.reading import AnswerReader
from server.dialects.ollama.wire import Loaded, LoadedModel, Shown, Tags, Version
from server.dialects.only_model import only_model
from server.dialects.pictures import as_ollama, insert_pictures
from server.dialects.truncation import truncation

T = TypeVar("T")

# Longer than any real error text; a proxy in between may answer with a whole page.
_MAX_ERROR_BYTES: Final = 64 * 1024
# `/api/show` lists every tensor and every token of a vocabulary, some megabytes each.
_MAX_ANSWER_BYTES: Final = 128 * 1024 * 1024
_CONTEXT_FLAG: Final = "num_ctx="


class OllamaUpstream:
    """Speak to one Ollama server."""

    def __init__(self, endpoint: Endpoint, timeouts: Timeouts) -> None:
        self._endpoint = endpoint
        self._http = HTTPClient(endpoint, timeouts)
        self._is_well = partial(self.is_healthy, timeout_seconds=timeouts.connect)
        self.meter = Meter()
        # Where the settings name no model, the only one there is.
        self._model = "" if endpoint.model == ANY_MODEL else endpoint.model
        self._watch = LoadWatch(self._look_for_loaded)
        self._own_stop: dict[str, tuple[str, ...]] = {}
        self._remote: set[str] = set()
        # What models do not take, as far as they were described.
        self._lacks: dict[str, frozenset[str]] = {}
        self._num_ctx = next(
            (
                int(flag.removeprefix(_CONTEXT_FLAG))
                for flag in endpoint.flags
                if flag.startswith(_CONTEXT_FLAG)
            ),
            None,
        )

    async def is_healthy(self, *, timeout_seconds: float) -> bool:
        """Tell whether `/api/version` answers 200 in time."""
        try:
            async with asyncio.timeout(timeout_seconds):
                reply = await self._http.get("/api/version", timeout_seconds=timeout_seconds)
        except (EngineError, TimeoutError):
            return False
        return reply.status == 200

    async def describe(self, model: str = "") -> EngineInfo:
        """Ask for the model's abilities, and for the context in force if it is in memory."""
        version = (await self._ask("GET", "/api/version", Version)).version
        if (model or self._endpoint.model) == ANY_MODEL:
            return EngineInfo(can_load=True, **about_server(version))
        name = model or await self._only()
        shown = await self._show(name)
        return engine_info(name, version, shown, await self._loaded())

    async def models(self) -> list[ServedModel]:
        """Ask for the models that are on the server's disk, and which are in memory."""
        tags = await self._ask("GET", "/api/tags", Tags)
        loaded = await self._loaded()
        return [served_model(listed, loaded) for listed in tags.models]

    async def load(self, model: str) -> None:
        """Have the model loaded as an answer would; it stays as long as after an answer."""
        body = loading_body(model or await self._only(), self._num_ctx)
        await self._command("/api/generate", body)

    async def unload(self, model: str) -> None:
        """Have the model unloaded once nobody is being answered by it."""
        body = {"model": model or await self._only(), "messages": [], "keep_alive": 0}
        await self._command("/api/chat", body)

    async def metrics(self, *, max_bytes: int) -> str:
        """Raise `EngineError`: Ollama counts nothing for others."""
        raise EngineError("Ollama has no figures of its own")

    async def prompt(
        self, content: Sequence[Message] | str, *, model: str = "", needs_count: bool
    ) -> Prompt:
        """Return the same: conversations are rendered by the server, and counted when answered."""
        return Prompt(content)

    async def count(self, prompt: Prompt, *, model: str = "") -> int | None:
        """Return None: Ollama counts nothing beforehand."""
        return prompt.tokens

    async def generate(self, ask: Ask, on_tokens: OnTokens, on_wait: OnWait) -> Finish:
        """Stream the answer, all tokens that arrived together at once.

        Raises `InvalidParameters` for what Ollama does not take, before anything is sent.
        """
        model = ask.model or await self._only()
        body, notices = request_body(
            ask, model, self._num_ctx, lacks=self._lacks.get(model, frozenset())
        )
        if asks_to_stop(body):
            body = with_own_stop(body, await self._stop_of(model))
        path = "/api/generate" if "raw" in body else "/api/chat"
        reader = AnswerReader(on_tokens, self.meter, model=model)
        is_remote = model in self._remote or names_cloud(model)
        try:
            async with (
                self._watch.telling(model, on_wait, is_loadable=not is_remote) as answered,
                self._http.request(
                    "POST",
                    path,
                    await insert_pictures(body, ask.fetch_picture, as_ollama),
                    is_well=self._is_well,
                ) as stream,
            ):
                answered()
                if stream.status != 200:
                    raise failure(await stream.read_reply(max_bytes=_MAX_ERROR_BYTES), model=model)
                await stream.read(reader.feed)
        except (EngineError, asyncio.CancelledError):
            reader.leave()
            raise
        finish = reader.finish()
        # A server that does not know `truncate` cuts a prompt without a word.
        cut = truncation(ask.prompt.content, finish.prompt_tokens)
        return replace(finish, notices=(*notices, *([cut] if cut is not None else [])))

    async def close(self) -> None:
        """Close the connections that are kept for the next request."""
        self._watch.close()
        await self._http.close()

    # --- inside -----------------------------------------------------------------------------

    async def _only(self) -> str:
        """Return the model that the settings name, or the only one there is."""
        if not self._model:
            self._model = only_model(await self.models(), engine="Ollama")
        return self._model

    async def _command(self, path: str, body: dict[str, Any]) -> None:
        """Ask for something that is no answer, and is done when the reply is there."""
        reply = await self._http.post(path, body, is_well=self._is_well)
        if reply.status != 200:
            raise failure(reply, model=body["model"])
        reader = AnswerReader(lambda _: None, Meter(), model=body["model"])
        reader.feed(reply.body)
        reader.finish()

    async def _show(self, model: str) -> Shown:
        shown = await self._ask("POST", "/api/show", Shown, {"model": model}, model=model)
        self._own_stop[model] = own_stop(shown)
        self._lacks[model] = lacks(shown)
        if shown.remote_host:
            self._remote.add(model)
        return shown

    async def _stop_of(self, model: str) -> tuple[str, ...]:
        if model not in self._own_stop:
            await self._show(model)
        return self._own_stop[model]

    async def _loaded(self) -> list[LoadedModel] | None:
        """Return what is in memory, None where that is not told in time or at all."""
        try:
            return await self._look_for_loaded()
        except EngineError:
            return None

    async def _look_for_loaded(self) -> list[LoadedModel]:
        reply = await self._http.get("/api/ps", timeout_seconds=LOOK_SECONDS)
        return _read(reply, "/api/ps", Loaded).models

    async def _ask(
        self, method: str, path: str, kind: type[T], body: object = None, *, model: str = ""
    ) -> T:
        if method == "GET":
            reply = await self._http.get(path, max_bytes=_MAX_ANSWER_BYTES)
        else:
            reply = await self._http.post(path, body, max_bytes=_MAX_ANSWER_BYTES)
        return _read(reply, path, kind, model=model)


def _read(reply: Reply, path: str, kind: type[T], *, model: str = "") -> T:
    if reply.status != 200:
        raise failure(reply, model=model)
    try:
        return msgspec.json.decode(reply.body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise EngineError(
            f"the model server answered {path} in an unknown form: {error}",
            hint="set the address of an Ollama server",
        ) from None
