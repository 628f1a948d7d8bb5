"""Speak Hugging Face TGI's HTTP API, which the embedded engine shares.

What bites, and what is done about it:

1. `/generate_stream` answers 200 and puts errors into the stream; both places are read.
2. There is no end marker: a stream that stops without its last event has broken off.
3. `details` is always asked for, or the last event would not say why the answer ended.
4. A rendered chat prompt may begin with the beginning-of-sequence token which
   `/generate_stream` then adds again. Whether it does is found out once per server.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import aiohttp
import msgspec

from server.core.errors import (
    EngineError,
    EngineLost,
    EngineOverloaded,
    EngineTimeout,
    InvalidParameters,
    PromptTooLong,
    SidestreamError,
)
from server.core.protocol import Alternative, FinishReason, Message, TokenInfo
from server.core.sse import ServerSentEvent, SSEParser, StreamError
from server.models.runners.base import Endpoint
from server.models.upstreams.base import Batch, EngineInfo, Finish, Prompt

FINISH_REASONS: Final[dict[str, FinishReason]] = {
    "length": "length",
    "eos_token": "stop",
    "stop_sequence": "stop",
}
# What TGI's validation says of a prompt that does not fit, beside what it says of parameters.
_LENGTH_MESSAGES: Final = ("`inputs` tokens + `max_new_tokens`", "`inputs` must have less than")
# Longer than any real error text; a proxy in between may answer with a whole page.
_MAX_ERROR_CHARS: Final = 2000


class _Token(msgspec.Struct):
    id: int
    text: str
    logprob: float | None = None
    special: bool = False


class _Details(msgspec.Struct):
    finish_reason: str
    generated_tokens: int
    input_length: int | None = None


class _StreamEvent(msgspec.Struct):
    token: _Token | None = None
    top_tokens: list[_Token] | None = None
    generated_text: str | None = None
    details: _Details | None = None
    error: str | None = None
    error_type: str = ""


class _Info(msgspec.Struct):
    model_id: str = ""
    version: str = ""
    max_input_tokens: int | None = None
    max_total_tokens: int | None = None
    max_concurrent_requests: int | None = None


class _ChatTokens(msgspec.Struct):
    templated_text: str
    tokenize_response: list[_Token] = []


class _ErrorBody(msgspec.Struct):
    error: str
    error_type: str = ""


T = TypeVar("T")

_stream_event = msgspec.json.Decoder(_StreamEvent)


class TGI:
    """Speak to one TGI server."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        endpoint: Endpoint,
        *,
        connect_timeout_seconds: float,
        read_timeout_seconds: float,
    ) -> None:
        self._http = http
        self._endpoint = endpoint
        self._timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=connect_timeout_seconds, sock_read=read_timeout_seconds
        )
        self._headers = {"Authorization": f"Bearer {endpoint.api_key}"} if endpoint.api_key else {}
        self._doubled_bos: str | None = None

    async def is_healthy(self, *, timeout_seconds: float) -> bool:
        """Tell whether `/health` answers 200 in time."""
        try:
            async with (
                asyncio.timeout(timeout_seconds),
                self._request("GET", "/health") as response,
            ):
                return response.status == 200
        except (EngineError, TimeoutError):
            return False

    async def describe(self) -> EngineInfo:
        """Ask `/info`, and try a chat prompt to see whether there is a template."""
        info = await self._ask("GET", "/info", _Info)
        has_template = await self._render([Message("user", "Hi")]) is not None
        return EngineInfo(
            info.model_id,
            info.version,
            info.max_input_tokens,
            info.max_total_tokens,
            info.max_concurrent_requests,
            has_template,
        )

    async def prompt(self, messages: Sequence[Message]) -> Prompt:
        """Render the conversation by the model's own template, or as a plain transcript."""
        rendered = await self._render(messages)
        if rendered is None:
            return Prompt(transcript(messages))
        if self._doubled_bos is None:
            self._doubled_bos = await self._find_doubled_bos(rendered)
        text = rendered.templated_text.removeprefix(self._doubled_bos)
        return Prompt(text, len(rendered.tokenize_response) or None)

    async def generate(
        self, prompt: str, parameters: dict[str, Any]
    ) -> AsyncGenerator[Batch, None]:
        """Stream the answer, one batch for all tokens that arrived together."""
        body = {"inputs": prompt, "parameters": {**parameters, "details": True}}
        parser = SSEParser()
        async with self._request("POST", "/generate_stream", body) as response:
            await _raise_for_status(response)
            async for chunk in response.content.iter_any():
                batch, error = _read_events(parser, chunk)
                # What came before an error in the same read is part of the answer.
                if batch.tokens or batch.finish:
                    yield batch
                if error is not None:
                    raise error
                if batch.finish is not None:
                    return
        raise EngineLost("the model server broke off in the middle of its answer")

    @asynccontextmanager
    async def _request(
        self, method: str, path: str, body: object = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Make a request; the one place where aiohttp's errors become ours."""
        headers = self._headers
        data = None
        if body is not None:
            data = msgspec.json.encode(body)
            headers = {**headers, "Content-Type": "application/json"}
        try:
            response = await self._http.request(
                method,
                self._endpoint.url + path,
                data=data,
                headers=headers,
                timeout=self._timeout,
                allow_redirects=False,
            )
            try:
                yield response
            finally:
                # Closed, not released: an answer not read to its end is to stop being written.
                response.close()
        except TimeoutError:
            raise EngineTimeout("the model server said nothing for too long") from None
        except (aiohttp.ClientError, OSError) as error:
            raise EngineLost(f"the connection to the model server broke: {error}") from None

    async def _ask(self, method: str, path: str, kind: type[T], body: object = None) -> T:
        async with self._request(method, path, body) as response:
            await _raise_for_status(response)
            try:
                return msgspec.json.decode(await response.read(), type=kind)
            except msgspec.DecodeError as error:
                raise EngineError(
                    f"the model server answered {path} in an unknown form: {error}"
                ) from None

    async def _render(self, messages: Sequence[Message]) -> _ChatTokens | None:
        """Return the conversation rendered, or None when the model has no chat template."""
        try:
            return await self._ask("POST", "/chat_tokenize", _ChatTokens, {"messages": messages})
        except _Refused as refused:
            if refused.error_type == "template_error" or refused.upstream_status == 404:
                return None
            raise

    async def _find_doubled_bos(self, rendered: _ChatTokens) -> str:
        """Return the token that `/generate_stream` would put before the prompt a second time.

        `/chat_tokenize` adds no special tokens and `/tokenize`, like `/generate_stream`,
        does: the token is doubled if its list has one more at the front.
        """
        without = rendered.tokenize_response
        text = rendered.templated_text
        added = await self._ask("POST", "/tokenize", list[_Token], {"inputs": text})
        is_doubled = (
            len(without) > 0
            and len(added) > len(without)
            and added[0].id == added[1].id == without[0].id
        )
        return without[0].text if is_doubled else ""


class _Refused(EngineError):
    """The server refused a request; carries what it said, for the caller to tell cases apart."""

    def __init__(self, message: str, status: int, error_type: str) -> None:
        super().__init__(message)
        self.upstream_status = status
        self.error_type = error_type


def transcript(messages: Sequence[Message]) -> str:
    """Write a conversation as plain text, for a model that was never taught a template."""
    names = {"user": "User", "assistant": "Assistant"}
    turns = [
        f"{names[message.role]}: {message.content}" if message.role in names else message.content
        for message in messages
    ]
    return "\n\n".join([*turns, "Assistant:"])


def _read_events(parser: SSEParser, chunk: bytes) -> tuple[Batch, SidestreamError | None]:
    batch = Batch()
    problem: SidestreamError | None = None
    events: Sequence[ServerSentEvent]
    try:
        events = parser.feed(chunk)
    except StreamError as error:
        events = error.events
        problem = EngineError(f"the model server sent an unreadable answer: {error}")
    for event in events:
        try:
            item = _stream_event.decode(event.data)
        except msgspec.DecodeError as error:
            return batch, EngineError(f"the model server sent a malformed event: {error}")
        if item.error is not None:
            return batch, translate(item.error, item.error_type)
        if item.token is not None:
            batch.tokens.append(_token_info(item.token, item.top_tokens))
        if item.generated_text is not None:
            batch.finish = _finish(item.details)
            return batch, None
    return batch, problem


def _token_info(token: _Token, top_tokens: list[_Token] | None) -> TokenInfo:
    top = None
    if top_tokens is not None:
        top = [Alternative(t.id, t.text, t.logprob, t.special) for t in top_tokens]
    return TokenInfo(token.id, token.text, token.logprob, token.special, top)


def _finish(details: _Details | None) -> Finish:
    if details is None:
        return Finish("stop", None, None)
    reason = FINISH_REASONS.get(details.finish_reason, "stop")
    return Finish(reason, details.input_length, details.generated_tokens)


async def _raise_for_status(response: aiohttp.ClientResponse) -> None:
    if response.status == 200:
        return
    text = (await response.text(errors="replace"))[:_MAX_ERROR_CHARS]
    try:
        body = msgspec.json.decode(text, type=_ErrorBody)
    except msgspec.DecodeError:
        body = _ErrorBody(text.strip() or f"HTTP {response.status}")
    if response.status == 401:
        raise EngineError(
            "the model server refuses the API key", hint="set `api_key` in the model's section"
        )
    error = translate(body.error, body.error_type)
    if type(error) is EngineError:
        raise _Refused(
            f"the model server answered {response.status}: {body.error}",
            response.status,
            body.error_type,
        )
    raise error


def translate(message: str, error_type: str) -> SidestreamError:
    """Turn an error that the server reported into ours."""
    text = message.removeprefix("Input validation error: ")
    if error_type == "overloaded":
        return EngineOverloaded("the model server has no place for another request just now")
    if error_type == "validation":
        if any(part in text for part in _LENGTH_MESSAGES):
            return PromptTooLong(text)
        return InvalidParameters(text)
    return EngineError(f"the model server reports: {message}")
