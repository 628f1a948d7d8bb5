"""Speak Hugging Face TGI's HTTP API, which the embedded engine shares.

What bites, and what is done about it:

1. `/generate_stream` answers 200 and puts errors into the stream; both places are read.
2. There is no end marker: a stream that stops without its last event has broken off.
3. `details` is always asked for, or the last event would not say why the answer ended.
4. A rendered chat prompt may begin with the beginning-of-sequence token which
   `/generate_stream` then adds again. Whether it does, and what else it adds to a prompt's
   length, is found out once per server.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from server.core.errors import EngineError, SidestreamError
from server.core.protocol import Message
from server.dialects.base import Endpoint, EngineInfo, Finish, OnTokens, Prompt
from server.dialects.http.client import HTTPClient, HTTPStream, Timeouts
from server.dialects.meter import Meter
from server.dialects.tgi.wire import (
    AnswerReader,
    ChatTokens,
    ErrorBody,
    Info,
    Token,
    transcript,
    translate,
)

T = TypeVar("T")

# Longer than any real error text; a proxy in between may answer with a whole page.
_MAX_ERROR_BYTES: Final = 2000
# The tokens of a prompt, some 100 bytes each, for a context of a million.
_MAX_ANSWER_BYTES: Final = 128 * 1024 * 1024


class _SpecialTokens(NamedTuple):
    """What a server puts before a prompt: a token that is there already, and how many in all."""

    doubled: str
    added_tokens: int


class TGI:
    """Speak to one TGI server."""

    def __init__(self, endpoint: Endpoint, timeouts: Timeouts) -> None:
        self._http = HTTPClient(endpoint, timeouts)
        self._special: _SpecialTokens | None = None
        self._meter = Meter()

    @property
    def heard(self) -> int:
        """Return how often words of an answer have come."""
        return self._meter.heard

    async def is_healthy(self, *, timeout_seconds: float) -> bool:
        """Tell whether `/health` answers 200 in time."""
        try:
            async with (
                asyncio.timeout(timeout_seconds),
                self._request("GET", "/health") as stream,
            ):
                return stream.status == 200
        except (EngineError, TimeoutError):
            return False

    async def describe(self) -> EngineInfo:
        """Ask `/info`, and try a chat prompt to see whether there is a template."""
        info = await self._ask("GET", "/info", Info)
        has_template = await self._render([Message("user", "Hi")]) is not None
        return EngineInfo(
            info.model_id,
            info.version,
            info.max_input_tokens,
            info.max_total_tokens,
            info.max_concurrent_requests,
            has_template,
            info.model_sha or "",
        )

    async def metrics(self, *, max_bytes: int) -> str:
        """Ask `/metrics`."""
        async with self._request("GET", "/metrics") as stream:
            await _raise_for_status(stream)
            text = await stream.read_bytes(max_bytes=max_bytes + 1)
        if len(text) > max_bytes:
            raise EngineError(f"the model server's figures exceed {max_bytes} bytes")
        return text.decode(errors="replace")

    async def prompt(self, content: Sequence[Message] | str, *, needs_count: bool) -> Prompt:
        """Render a conversation by the model's own template, or as a plain transcript.

        Text is left as it is, and only counted.
        """
        rendered = None if isinstance(content, str) else await self._render(content)
        if rendered is None:
            text = content if isinstance(content, str) else transcript(content)
            return await self.count(text) if needs_count else Prompt(text)
        if self._special is None:
            self._special = await self._find_special_tokens(rendered)
        text = rendered.templated_text.removeprefix(self._special.doubled)
        tokens = len(rendered.tokenize_response)
        return Prompt(text, tokens + self._special.added_tokens if tokens else None)

    async def generate(
        self, prompt: str, parameters: dict[str, Any], on_tokens: OnTokens
    ) -> Finish:
        """Stream the answer, all tokens that arrived together at once."""
        reader = AnswerReader(on_tokens, self._meter)
        body = {"inputs": prompt, "parameters": {**parameters, "details": True}}
        async with self._request("POST", "/generate_stream", body) as stream:
            await _raise_for_status(stream)
            await stream.read(reader.feed)
        return reader.finish()

    async def close(self) -> None:
        """Close the connections that are kept for the next request."""
        await self._http.close()

    @asynccontextmanager
    async def _request(
        self, method: str, path: str, body: object = None
    ) -> AsyncIterator[HTTPStream]:
        async with self._http.request(method, path, body) as stream:
            yield stream

    async def _ask(self, method: str, path: str, kind: type[T], body: object = None) -> T:
        async with self._request(method, path, body) as stream:
            await _raise_for_status(stream)
            try:
                answer = await stream.read_bytes(max_bytes=_MAX_ANSWER_BYTES)
                return msgspec.json.decode(answer, type=kind)
            except msgspec.DecodeError as error:
                raise EngineError(
                    f"the model server answered {path} in an unknown form: {error}"
                ) from None

    async def _render(self, messages: Sequence[Message]) -> ChatTokens | None:
        """Return the conversation rendered, or None when the model has no chat template."""
        try:
            return await self._ask("POST", "/chat_tokenize", ChatTokens, {"messages": messages})
        except _Refused as refused:
            if refused.error_type == "template_error" or refused.upstream_status == 404:
                return None
            raise

    async def count(self, text: str) -> Prompt:
        """Count a prompt, so that a length nobody asked for can be fitted to the context."""
        try:
            return Prompt(text, len(await self._tokenize(text)) or None)
        except _Refused as refused:
            if refused.upstream_status == 404:
                return Prompt(text)
            raise

    async def _tokenize(self, text: str) -> list[Token]:
        return await self._ask("POST", "/tokenize", list[Token], {"inputs": text})

    async def _find_special_tokens(self, rendered: ChatTokens) -> _SpecialTokens:
        """Find out what `/generate_stream` adds to a rendered prompt.

        `/chat_tokenize` adds no special tokens and `/tokenize`, like `/generate_stream`,
        does: a token is doubled if the latter's list has one more of it at the front.
        """
        without = rendered.tokenize_response
        added = await self._tokenize(rendered.templated_text)
        is_doubled = (
            len(without) > 0
            and len(added) > len(without)
            and added[0].id == added[1].id == without[0].id
        )
        return _SpecialTokens(
            without[0].text if is_doubled else "",
            len(added) - len(without) - is_doubled,
        )


class _Refused(EngineError):
    """The server refused a request; carries what it said, for the caller to tell cases apart."""

    def __init__(self, message: str, status: int, error_type: str) -> None:
        super().__init__(message)
        self.upstream_status = status
        self.error_type = error_type


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
        return _Refused(
            f"the model server answered {status}: {body.error}",
            status,
            body.error_type,
        )
    return error
