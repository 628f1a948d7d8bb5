"""The client of one model server: requests over connections that are reused.

Rules:

1. A caller that leaves a request before its answer has been read to its end closes the
   connection: that is how the server learns that nobody wants the rest.
2. Servers close idle connections, perhaps just as one is used again. A request on a reused
   connection that is closed before the first byte of an answer is sent once more, on a new
   connection; no other request is sent twice.
3. The key and the headers of the settings go to the one server that the settings name. A redirect
   is told and never followed.
4. No error and no `repr` has a key, a header's value, or what an address says of a user.
"""

import os
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from types import MappingProxyType
from typing import Final
from urllib.parse import urljoin, urlsplit

import msgspec

from server.core.container import is_in_container
from server.core.errors import EngineError, EngineLost, EngineTimeout
from server.core.trace import TRACEPARENT_HEADER, current
from server.dialects.base import Endpoint
from server.dialects.http.connecting import Way, connect, proxy_headers, proxy_refusal
from server.dialects.http.head import check_headers, write_head
from server.dialects.http.origin import Origin, quoted, read_origin
from server.dialects.http.pool import Pool
from server.dialects.http.proxies import proxy_for
from server.dialects.http.silence import Clock, LoopClock, within
from server.dialects.http.stream import HTTPStream, Reply
from server.dialects.http.timeouts import IsWell, Timeouts
from server.dialects.http.tls import context_of, system_context
from server.dialects.words import withhold

__all__ = ["HTTPClient", "HTTPStream", "IsWell", "Reply", "Timeouts"]

# Lists of thousands of models stay below 4 MiB; the tokens of a long prompt are more.
MAX_REPLY_BYTES: Final = 32 * 1024 * 1024

_REDIRECTS: Final = frozenset({300, 301, 302, 303, 305, 307, 308})
_MAX_SHOWN_ADDRESS: Final = 300
_NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})


class HTTPClient:
    """Ask one model server; `environment` has the variables that name proxies."""

    def __init__(
        self,
        endpoint: Endpoint,
        timeouts: Timeouts,
        *,
        environment: Mapping[str, str] | None = None,
        clock: Clock | None = None,
        in_container: Callable[[], bool] = is_in_container,
    ) -> None:
        self._endpoint = endpoint
        self._timeouts = timeouts
        self._environment = os.environ if environment is None else environment
        self._clock = clock or LoopClock()
        self._in_container = in_container
        self._pool = Pool(self._clock)
        self._way: Way | None = None
        self._context: ssl.SSLContext | None = None
        for secret in (endpoint.api_key, *(value for _, value in endpoint.headers)):
            withhold(secret)

    @asynccontextmanager
    async def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        headers: Mapping[str, str] = _NO_HEADERS,
        is_well: IsWell | None = None,
    ) -> AsyncIterator[HTTPStream]:
        """Ask, and give the answer once its head is there.

        `path` is put behind the endpoint's `url`; a body is sent as JSON. Silence of
        `Timeouts.read` seconds ends the request or, with `is_well`, leads to a look at the
        server's health. Raises `EngineLost` when there is no connection or it breaks,
        `EngineTimeout` for silence, `EngineError` for what asking again would not change: a
        redirect, a certificate, settings that cannot be sent. An answer with an error's status
        raises nothing. Cancelling closes the connection.
        """
        way = self._find_way()
        data = self._write(way, method, path, body, headers)
        stream = await self._ask(way, method, data, is_well)
        # A prompt with pictures has megabytes, and an answer may take minutes.
        del data, body
        try:
            self._check(way, stream, path)
            yield stream
        finally:
            stream.end_waiting()
            self._pool.give_back(stream)
            await stream.ended()

    async def get(
        self,
        path: str,
        *,
        headers: Mapping[str, str] = _NO_HEADERS,
        max_bytes: int = MAX_REPLY_BYTES,
        timeout_seconds: float | None = None,
    ) -> Reply:
        """Return the whole answer to a GET; raises as `request` does.

        A longer answer is an `EngineError`, or is cut there if it is an error's. After
        `timeout_seconds` in all it is an `EngineTimeout`.
        """
        if timeout_seconds is None:
            return await self._reply("GET", path, None, headers, max_bytes, None)
        try:
            async with within(self._clock, timeout_seconds):
                return await self._reply("GET", path, None, headers, max_bytes, None)
        except TimeoutError:
            raise EngineTimeout(
                f"the model server did not answer {path} within {timeout_seconds:g} s"
            ) from None

    async def post(
        self,
        path: str,
        body: object,
        *,
        headers: Mapping[str, str] = _NO_HEADERS,
        max_bytes: int = MAX_REPLY_BYTES,
        is_well: IsWell | None = None,
    ) -> Reply:
        """Return the whole answer to a POST; raises as `request` does, and as `get` if longer."""
        return await self._reply("POST", path, body, headers, max_bytes, is_well)

    async def close(self) -> None:
        """Close the connections that are kept; from now on none is.

        Requests that are under way go on.
        """
        await self._pool.close()

    async def _reply(
        self,
        method: str,
        path: str,
        body: object,
        headers: Mapping[str, str],
        max_bytes: int,
        is_well: IsWell | None,
    ) -> Reply:
        async with self.request(method, path, body, headers=headers, is_well=is_well) as stream:
            reply = await stream.read_reply(max_bytes=max_bytes + 1)
            if len(reply.body) > max_bytes and reply.status < 400:
                raise EngineError(
                    f"the model server answered {path} with more than {max_bytes} bytes"
                )
            return replace(reply, body=reply.body[:max_bytes])

    async def _ask(self, way: Way, method: str, data: bytes, is_well: IsWell | None) -> HTTPStream:
        """Send a request, and return its answer when the head is there."""
        kept = self._pool.take()
        while True:
            stream = HTTPStream(self._clock, is_bodyless=method == "HEAD")
            try:
                transport = kept or await connect(way, stream, self._clock, self._timeouts)
                await stream.ask(transport, data, self._timeouts, is_well)
            except BaseException as error:
                stream.close()
                await stream.ended()
                if not isinstance(error, EngineLost) or not stream.was_refused:
                    raise
                if kept is None:
                    if not way.origin.is_secure:
                        # Many servers that expect a handshake close without a word.
                        error.hint = "if the server speaks https, write https:// in `url`"
                    raise
                kept = None
            else:
                return stream

    def _check(self, way: Way, stream: HTTPStream, path: str) -> None:
        """Raise `EngineError` for an answer that is none of the server's."""
        if stream.status in _REDIRECTS:
            raise self._redirect(way, stream, path)
        if stream.status == 407 and way.is_absolute and way.proxy is not None:
            raise proxy_refusal(way.proxy, stream.status, way.origin.authority)
        encoding = stream.headers.get("content-encoding", "identity")
        if encoding.lower() not in {"", "identity"}:
            raise EngineError(
                f"the model server answered compressed ({encoding[:40]}), "
                "although it was asked not to",
                hint="have whatever stands before it pass answers on as they are",
            )

    def _redirect(self, way: Way, stream: HTTPStream, path: str) -> EngineError:
        said = f"the model server answered {stream.status}"
        location = stream.headers.get("location", "")
        if not location:
            return EngineError(f"{said}, a redirect to nowhere")
        try:
            asked = f"{way.origin}{_base(self._endpoint)}{path}"
            parts = urlsplit(urljoin(asked, location))
            place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        except ValueError:
            place = location
        place = "".join(filter(str.isprintable, place))[:_MAX_SHOWN_ADDRESS]
        base = place.removesuffix(path.partition("?")[0])
        return EngineError(
            f"{said}: it redirects to {place}, which is not followed",
            hint=f"if that is the model server, put that address into `url`: {base}",
        )

    def _find_way(self) -> Way:
        if self._way is None:
            origin = read_origin(self._endpoint.url)
            proxy = proxy_for(origin, self._environment)
            self._way = Way(origin, proxy, self._context_for, self._in_container)
        return self._way

    def _context_for(self, origin: Origin) -> ssl.SSLContext | None:
        if not origin.is_secure:
            return None
        if not self._endpoint.ca_file or self._way is None or origin != self._way.origin:
            return system_context()
        if self._context is None:
            self._context = context_of(self._endpoint.ca_file)
        return self._context

    def _write(
        self, way: Way, method: str, path: str, body: object, headers: Mapping[str, str]
    ) -> bytes:
        """Return the bytes of a request."""
        data = b"" if body is None else msgspec.json.encode(body)
        fields = {"host": ("Host", way.origin.host_header)}
        own = {"Accept-Encoding": "identity"}
        if traceparent := current().traceparent:
            own[TRACEPARENT_HEADER] = traceparent
        if body is not None:
            own["Content-Type"] = "application/json"
        if self._endpoint.api_key:
            own["Authorization"] = f"Bearer {self._endpoint.api_key}"
            check_headers(own, setting="api_key")
        elif way.origin.authorization:
            own["Authorization"] = way.origin.authorization
        configured = dict(self._endpoint.headers)
        check_headers(configured)
        check_headers(headers)
        # Whatever the capitals, each header is sent once, as the last one says it.
        for several in (own, configured, headers):
            fields.update({name.lower(): (name, value) for name, value in several.items()})
        target = quoted(f"{_base(self._endpoint)}{path}") or "/"
        lines = dict(fields.values())
        if way.is_absolute and way.proxy is not None:
            target = f"{way.origin}{target}"
            lines |= proxy_headers(way.proxy)
        if data or method not in {"GET", "HEAD"}:
            lines["Content-Length"] = str(len(data))
        return write_head(method, target, lines) + data


def _base(endpoint: Endpoint) -> str:
    """Return the path that all others are put behind."""
    return urlsplit(endpoint.url).path.rstrip("/")
