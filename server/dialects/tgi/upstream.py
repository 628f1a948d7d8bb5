"""Speak Hugging Face TGI's HTTP API.

What bites, and what is done about it:

1. `/generate_stream` answers 200 and puts errors into the stream; both places are read.
2. There is no end marker: a stream that stops without its last event has broken off.
3. `details` is always asked for, or the last event would not say why the answer ended.
4. A server without a chat template says so where others render; `prompting.py` sees to it.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

import msgspec

from server.core.errors import EngineError, InvalidParameters, SidestreamError
from server.core.parameters import FIELDS, without_neutral
from server.core.protocol import Message, Notice
from server.dialects.base import (
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
from server.dialects.http.client import HTTPClient, HTTPStream, Timeouts
from server.dialects.tgi.cutting import CutAnswerReader
from server.dialects.tgi.parameters import TGI_LACKS, normalise
from server.dialects.tgi.pictures import with_pictures
from server.dialects.tgi.prompting import Prompting
from server.dialects.tgi.refusals import Refused
from server.dialects.tgi.transcripts import stops_for_server
from server.dialects.tgi.wire import (
    AnswerReader,
    ErrorBody,
    Info,
    translate,
)

T = TypeVar("T")

_TAKES: Final = frozenset(FIELDS) - TGI_LACKS

# TGI's own number, where a server does not tell its.
_MAX_STOP_TEXTS: Final = 4
_NO_ROUTE: Final = frozenset({404, 405})
# Longer than any real error text; a proxy in between may answer with a whole page.
_MAX_ERROR_BYTES: Final = 2000
# The tokens of a prompt, some 100 bytes each, for a context of a million.
_MAX_ANSWER_BYTES: Final = 128 * 1024 * 1024


class TGI:
    """Speak to one TGI server."""

    def __init__(self, endpoint: Endpoint, timeouts: Timeouts) -> None:
        self._http = HTTPClient(endpoint, timeouts)
        self._prompting = Prompting(endpoint, self._ask)
        self._max_stop_texts = _MAX_STOP_TEXTS
        self.meter = Meter()

    async def is_healthy(self, *, timeout_seconds: float) -> bool:
        """Tell whether `/health` answers 200 in time."""
        try:
            async with (
                asyncio.timeout(timeout_seconds),
                self._http.request("GET", "/health") as stream,
            ):
                return stream.status == 200
        except (EngineError, TimeoutError):
            return False

    async def describe(self, model: str = "") -> EngineInfo:
        """Ask `/info`, and try a chat prompt to see whether there is a template."""
        info = await self._info()
        self._max_stop_texts = info.max_stop_sequences or _MAX_STOP_TEXTS
        has_template = await self._prompting.has_template()
        return EngineInfo(
            info.model_id,
            info.version,
            info.max_input_tokens,
            info.max_total_tokens,
            info.max_concurrent_requests,
            has_template,
            info.model_sha or "",
            engine="TGI",
            dialect="tgi",
            flavour="tgi",
            takes=_TAKES,
            unset_is_greedy=True,
            always_tells_tokens=True,
            # It would take a picture for a very long text.
            can_see="image" in (info.model_pipeline_tag or ""),
        )

    async def models(self) -> list[ServedModel]:
        """Return the one model that a TGI server has."""
        info = await self._info()
        return [ServedModel(info.model_id, context_tokens=info.max_total_tokens, is_loaded=True)]

    async def load(self, model: str) -> None:
        """Do nothing: a TGI server that answers has loaded its model."""

    async def unload(self, model: str) -> None:
        """Raise `EngineError`: a TGI server has its model for as long as it runs."""
        raise EngineError("a TGI server keeps its model loaded for as long as it runs")

    async def metrics(self, *, max_bytes: int) -> str:
        """Ask `/metrics`."""
        async with self._http.request("GET", "/metrics") as stream:
            await _raise_for_status(stream)
            text = await stream.read_bytes(max_bytes=max_bytes + 1)
        if len(text) > max_bytes:
            raise EngineError(f"the model server's figures exceed {max_bytes} bytes")
        return text.decode(errors="replace")

    async def prompt(
        self, content: Sequence[Message] | str, *, model: str = "", needs_count: bool
    ) -> Prompt:
        """Render a conversation by a template, or as a plain transcript that says so.

        Raises `InvalidCommand` where the model's template does not take it.
        """
        return await self._prompting.prompt(content, needs_count=needs_count)

    async def count(self, prompt: Prompt, *, model: str = "") -> int | None:
        """Count a prompt, so that a length nobody asked for can be fitted to the context."""
        if prompt.pictures:
            return None
        return await self._prompting.count(str(prompt.content))

    async def generate(self, ask: Ask, on_tokens: OnTokens, on_wait: OnWait) -> Finish:
        """Stream the answer, all tokens that arrived together at once.

        Raises `InvalidParameters` for what TGI does not take.
        """
        roles = ask.prompt.stop
        taken, notices = _without_lacking(ask)
        parameters = {**normalise(taken), "details": True}
        asked: Sequence[str] = parameters.get("stop", ())
        if "" in asked:
            raise InvalidParameters(
                "`stop` has an empty text, at which an answer would end at once"
            )
        reader: AnswerReader | CutAnswerReader = AnswerReader(on_tokens, self.meter)
        if roles or asked:
            reader = CutAnswerReader(on_tokens, self.meter, roles=roles, asked=asked)
        if roles:
            parameters["stop"] = stops_for_server(asked, roles, at_most=self._max_stop_texts)
        prompt = ask.prompt
        async with self._http.request(
            "POST",
            "/generate_stream",
            {
                **ask.extra,
                "inputs": await with_pictures(prompt, ask.fetch_picture),
                "parameters": parameters,
            },
        ) as stream:
            await _raise_for_status(stream)
            await stream.read(reader.feed)
        finish = reader.finish()
        return replace(finish, notices=(*finish.notices, *notices))

    async def close(self) -> None:
        """Close the connections kept for the next request, and the process that renders prompts."""
        try:
            await self._http.close()
        finally:
            await self._prompting.close()

    async def _info(self) -> Info:
        try:
            return await self._ask("GET", "/info", Info)
        except Refused as error:
            if error.upstream_status not in _NO_ROUTE:
                raise
            raise EngineError(
                "it does not speak TGI's API",
                hint="mend `url`, or leave `dialect` out",
            ) from None

    async def _ask(self, method: str, path: str, kind: type[T], body: object = None) -> T:
        async with self._http.request(method, path, body) as stream:
            await _raise_for_status(stream)
            try:
                answer = await stream.read_bytes(max_bytes=_MAX_ANSWER_BYTES)
                return msgspec.json.decode(answer, type=kind)
            except msgspec.DecodeError as error:
                raise EngineError(
                    f"the model server answered {path} in an unknown form: {error}"
                ) from None


def _without_lacking(ask: Ask) -> tuple[Mapping[str, Any], list[Notice]]:
    """Return a question's parameters without what it may go without, and notices of that."""
    lacks = TGI_LACKS if ask.is_lenient else TGI_LACKS & ask.optional
    taken = {name: value for name, value in ask.parameters.items() if name not in lacks}
    lacking = without_neutral(ask.parameters).keys() & lacks - ask.optional
    return taken, [
        Notice(
            "parameter_left_out",
            f"`{name}` is not taken by TGI; it was left out",
            {"parameter": name},
        )
        for name in sorted(lacking)
    ]


async def _raise_for_status(stream: HTTPStream) -> None:
    if stream.status != 200:
        answer = await stream.read_bytes(max_bytes=_MAX_ERROR_BYTES)
        raise _refusal(stream.status, answer.decode(errors="replace"))


def _refusal(status: int, text: str) -> SidestreamError:
    """Return the error that an answer with another status than 200 stands for."""
    try:
        body = msgspec.json.decode(text, type=ErrorBody)
    except msgspec.DecodeError:
        body = ErrorBody(text.strip() or f"HTTP {status}")
    if status == 401:
        return EngineError(
            "the model server refuses the API key", hint="set `api_key` in the model's section"
        )
    error = translate(body.error, body.error_type)
    if type(error) is EngineError:
        return Refused(
            f"the model server answered {status}: {body.error}",
            status,
            body.error_type,
            body.error,
        )
    return error
