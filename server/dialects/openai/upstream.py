"""Speak OpenAI's form to one server, as its flavour says.

What bites, and what is done about it:

1. Chat goes as messages: only the server can render it. Text goes to `/completions`.
2. Answers are always streamed, for closing the connection is what ends them.
3. A look at the server never costs it anything: no route that loads, wakes or bills.
4. A refusal that names a parameter is learnt, see `learnt`.
5. A server may cut a prompt in silence: what it says it read is compared with what it was sent.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final
from urllib.parse import quote

from server.core.content import pictures_in
from server.core.errors import EngineError, EngineLost, InvalidParameters, SidestreamError
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
from server.dialects.http.client import HTTPClient, Reply
from server.dialects.http.timeouts import Timeouts
from server.dialects.only_model import listed, only_model
from server.dialects.openai.counting import Counting
from server.dialects.openai.errors import RefusedParameter, failure
from server.dialects.openai.flavour import MODEL, MODELS, NO_ROUTE, Call, Flavour, fill
from server.dialects.openai.info import at_its_place, engine_info, of_model, routes
from server.dialects.openai.learnt import MAX_ASKS, Learnt
from server.dialects.openai.listing import Entry, entries, read_list, served
from server.dialects.openai.parameters import Question, compose
from server.dialects.openai.reading import AnswerReader
from server.dialects.openai.tolerant_json import decode_or_none
from server.dialects.pictures import FetchPicture, as_openai, insert_pictures
from server.dialects.truncation import truncation

# 2,000 models with all that a router tells of each.
_MAX_LIST_BYTES: Final = 32 * 1024 * 1024
_BAD_GATEWAY: Final = 502
_MAX_ERROR_BYTES: Final = 64 * 1024
_LOOK_SECONDS: Final = 5.0


class OpenAIUpstream:
    """Speak to one server in OpenAI's form."""

    def __init__(self, endpoint: Endpoint, flavour: Flavour, timeouts: Timeouts) -> None:
        self._endpoint = endpoint
        self._flavour = at_its_place(flavour, endpoint.url, endpoint.flags)
        self._http = HTTPClient(endpoint, timeouts)
        self.meter = Meter()
        self._learnt = Learnt(flavour.title)
        # Where the settings name no model, the only one there is.
        self._model = "" if endpoint.model == ANY_MODEL else endpoint.model
        self._of_model: dict[str, Flavour] = {}
        self._counting = Counting(self._http, flavour)

    async def is_healthy(self, *, timeout_seconds: float) -> bool:
        """Tell whether the server answers its free look, or lists models where it has none."""
        try:
            reply = await self._look(self._flavour.health, timeout_seconds)
            if 400 <= reply.status < 500 and self._flavour.health != MODELS:
                # Not in this version, or kept from us by what stands before it.
                reply = await self._look(MODELS, timeout_seconds)
        except (EngineError, TimeoutError):
            return False
        # A list that is kept from us, or is not there, shows a server that answers.
        return reply.status == 200 or (self._flavour.health == MODELS and reply.status < 500)

    async def describe(self, model: str = "") -> EngineInfo:
        """Ask the list, and the routes at which this server tells of itself."""
        found = await self._entries()
        if (model or self._endpoint.model) == ANY_MODEL:
            return await self._describe("", {})
        model = model or self._model or self._only_of(found)
        entry: Entry = next((entry for entry in found if self._is_named(entry, model)), {})
        if not entry and len(found) == 1 and self._flavour.ignores_name:
            (entry,) = found
            return await self._describe(served(self._flavour, entry).name, entry)
        if not entry and found and self._flavour.refuses_unlisted:
            names = listed(served(self._flavour, entry).name for entry in found)
            raise EngineError(
                f"{self._flavour.title} has no model {model}; it has {names}",
                hint="set `model_id` in the model's section",
            )
        return await self._describe(model, entry)

    async def _describe(self, model: str, entry: Entry) -> EngineInfo:
        answers = {}
        for route in routes(self._flavour):
            try:
                reply = await self._http.get(route, timeout_seconds=_LOOK_SECONDS)
            except EngineLost:
                raise
            except EngineError:
                continue  # A proxy may lead it elsewhere; what stands there is not known then.
            if reply.status == 200:
                answers[route] = decode_or_none(reply.body)
        flavour = self._of_model[model] = of_model(self._flavour, entry, answers)
        return engine_info(flavour, model, entry, answers, self._endpoint.flags)

    async def models(self) -> list[ServedModel]:
        """Return the models that the server lists."""
        return [served(self._flavour, entry) for entry in await self._entries()]

    async def load(self, model: str) -> None:
        """Have a model loaded, unless it is."""
        if self._flavour.load is None:
            raise EngineError(f"{self._flavour.title} loads no model when asked to")
        if not any(m.name == model and m.is_loaded for m in await self.models()):
            await self._call(self._flavour.load, model)

    async def unload(self, model: str) -> None:
        """Have a model taken out of memory."""
        if self._flavour.unload is None:
            raise EngineError(f"{self._flavour.title} unloads no model when asked to")
        await self._call(self._flavour.unload, model)

    async def metrics(self, *, max_bytes: int) -> str:
        """Ask for the server's figures."""
        if not self._flavour.metrics:
            raise EngineError(f"{self._flavour.title} has no figures")
        reply = await self._http.get(self._flavour.metrics, max_bytes=max_bytes)
        if reply.status != 200:
            raise self._failure(reply)
        return reply.body.decode(errors="replace")

    async def prompt(
        self, content: Sequence[Message] | str, *, model: str = "", needs_count: bool
    ) -> Prompt:
        """Leave the prompt as it is, for the server to render; count it if that is needed."""
        prompt = Prompt(content)
        if not needs_count:
            return prompt
        return replace(prompt, tokens=await self.count(prompt, model=model))

    async def count(self, prompt: Prompt, *, model: str = "") -> int | None:
        """Return the prompt's length, None where the server has no way to tell."""
        if prompt.tokens is not None:
            return prompt.tokens
        content = prompt.content
        # What a picture takes is known to its model alone.
        if pictures_in(content) or not self._counting.has_way(content):
            return None
        return await self._counting.count(content, model or await self._only_model())

    async def generate(self, ask: Ask, on_tokens: OnTokens, on_wait: OnWait) -> Finish:
        """Stream the answer, asking again without what the server turns out not to take."""
        model = ask.model or await self._only_model()
        flavour = self._of_model.get(model, self._flavour)
        ids = None
        if "truncate" in ask.parameters and flavour.takes_token_ids:
            if pictures_in(ask.prompt.content):
                raise InvalidParameters("`truncate` is not for prompts with pictures")
            if ask.parameters.get("tools"):
                raise InvalidParameters("`truncate` is not for prompts with tools")
            ids = await self._counting.last_tokens(
                ask.prompt.content, model, ask.parameters["truncate"]
            )
        if ids is not None:
            # What the model's template makes of a chat is cut too, and then is a text.
            ask = replace(ask, prompt=replace(ask.prompt, content="", tokens=len(ids)))
        question = compose(flavour, ask, model)
        if ids is not None:
            question.body["prompt"] = ids
        self._learnt.apply(model, question, is_lenient=ask.is_lenient)
        asked = 1
        while isinstance(
            answer := await self._ask(question, ask.fetch_picture, on_tokens, on_wait),
            RefusedParameter,
        ):
            if asked == MAX_ASKS:
                raise answer
            self._learnt.take(model, question, answer, is_lenient=ask.is_lenient)
            asked += 1
        cut = truncation(ask.prompt.content, answer.prompt_tokens, counted=ask.prompt.tokens)
        notices = (*question.notices, *answer.notices, *([cut] if cut else []))
        return replace(answer, notices=notices)

    async def close(self) -> None:
        """Close the connections that are kept."""
        await self._http.close()

    async def _ask(
        self, question: Question, fetch: FetchPicture, on_tokens: OnTokens, on_wait: OnWait
    ) -> Finish | RefusedParameter:
        """Return the end of the answer, or a refusal that came in its place.

        A proxy whose connection to the server was closed as it was used again says 502 and no
        word, llama-swap to one of a hundred questions; it is asked once more.
        """
        is_chat = "messages" in question.body
        path = self._endpoint.api + ("/chat/completions" if is_chat else "/completions")
        reader = AnswerReader(
            on_tokens,
            on_wait,
            self.meter,
            self._flavour.reading,
            is_chat=is_chat,
            stop=question.cut,
            shows_stop=self._flavour.shows_stop,
            beginning=question.beginning,
            most_tokens=question.body.get("max_tokens"),
            engine=self._flavour.title,
        )
        broken: EngineError | None = None
        may_repeat = True
        while True:
            try:
                async with self._http.request(
                    "POST",
                    path,
                    await insert_pictures(question.body, fetch, as_openai),
                    is_well=self._is_well,
                ) as stream:
                    if stream.status == 200:
                        await stream.read(reader.feed)
                        break
                    reply = await stream.read_reply(max_bytes=_MAX_ERROR_BYTES)
                    is_wordless = reply.status == _BAD_GATEWAY and not reply.body.strip()
                    if not (may_repeat and is_wordless):
                        return self._refused(reply)
                    may_repeat = False
            except EngineError as error:
                # What has come of the answer is handed on before that is raised.
                broken = error
                break
            except asyncio.CancelledError:
                reader.leave()
                raise
        return reader.finish(broken)

    def _refused(self, reply: Reply) -> RefusedParameter:
        error = self._failure(reply)
        if isinstance(error, RefusedParameter):
            return error
        raise error

    async def _entries(self) -> list[Entry]:
        if self._flavour.models != MODELS:
            reply = await self._http.get(self._flavour.models, max_bytes=_MAX_LIST_BYTES)
            found = entries(reply.body) if reply.status == 200 else None
            if found is not None:
                return found
        reply = await self._http.get(self._path(MODELS), max_bytes=_MAX_LIST_BYTES)
        if reply.status in NO_ROUTE and self._model:
            return []
        address = self._endpoint.url + self._path(MODELS)
        return read_list(reply, engine=self._flavour.title, address=address)

    async def _only_model(self) -> str:
        if not self._model:
            self._model = self._only_of(await self._entries())
        return self._model

    def _only_of(self, found: list[Entry]) -> str:
        models = [served(self._flavour, entry) for entry in found]
        return only_model(models, engine=self._flavour.title)

    def _is_named(self, entry: Entry, model: str) -> bool:
        known = served(self._flavour, entry)
        return model == known.name or model in known.aliases

    async def _call(self, call: Call, model: str) -> None:
        path = call.route.replace(MODEL, quote(model, safe="/"))
        body = None if call.body is None else fill(call.body, None, model)
        async with self._http.request(call.method, path, body, is_well=self._is_well) as stream:
            reply = await stream.read_reply(max_bytes=_MAX_ERROR_BYTES)
        if reply.status >= 400:
            raise self._failure(reply)

    async def _look(self, route: str, timeout_seconds: float) -> Reply:
        return await self._http.get(
            self._path(route), max_bytes=_MAX_LIST_BYTES, timeout_seconds=timeout_seconds
        )

    async def _is_well(self) -> bool:
        return await self.is_healthy(timeout_seconds=_LOOK_SECONDS)

    def _path(self, route: str) -> str:
        return self._endpoint.api + MODELS if route == MODELS else route

    def _failure(self, reply: Reply) -> SidestreamError:
        return failure(reply, engine=self._flavour.title)
