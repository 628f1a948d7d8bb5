"""The readers of the load client, on bare protocols: they look for tokens and skip all else.

An `EventReader` has one HTTP connection and one answer, as a client of nginx or of the model server
itself has. A `SocketReader` has one WebSocket and a session with an answer from each model.
"""

import asyncio
import base64
import json
import os
import re
from collections.abc import Callable
from typing import Final, Protocol, cast

from benchmarks.relay.tokens import Answer, Record, clock_us

MODELS: Final = ("m1", "m2", "m3", "m4")
# Far more than any run lets a stream write: answers end when the run is over.
MAX_NEW_TOKENS: Final = 90_000

_EVENT_TOKEN: Final = re.compile(rb'"text":"(\d{16})"')
_EVENT_COUNT: Final = re.compile(rb'"generated_tokens":(\d+)')
_DELTA: Final = re.compile(rb'"type":"delta","generation":"(g\d+)","seq":\d+,"text":"(\d+)"')
_END: Final = re.compile(
    rb'"type":"end","generation":"(g\d+)","seq":\d+,"finish_reason":"length",'
    rb'"usage":\{"prompt_tokens":[^,]+,"completion_tokens":(\d+)[,}]'
)
_TEXT_ALONE: Final = {"prompt": "What is AI?"}
_CHAT: Final = {"messages": [{"role": "user", "content": "What is AI?"}]}
_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10


class ReaderError(Exception):
    """A relay said what the benchmark did not expect."""


class Reader(Protocol):
    """Ask for answers and read them."""

    async def open(self, host: str, port: int) -> None:
        """Connect, and do what comes before the first question."""

    def ask(self, models: int, *, max_new_tokens: int = MAX_NEW_TOKENS) -> list[Answer]:
        """Ask so many models, and return the answers that are to come."""

    def close(self) -> None:
        """Close the connection."""


class _Connection(asyncio.Protocol):
    """Hold a transport, what is left of earlier reads, and what went wrong."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.rest = b""
        self.transport: asyncio.Transport
        self.changed = asyncio.Event()
        self.is_lost = False

    async def open(self, host: str, port: int) -> None:
        await asyncio.get_running_loop().create_connection(lambda: self, host, port)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not of asyncio's class.
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        self.changed.set()

    def close(self) -> None:
        self.transport.abort()

    async def until(self, is_true: Callable[[], bool]) -> None:
        while not is_true():
            if self.is_lost:
                raise ReaderError(f"the connection was closed; last heard: {self.rest[:300]!r}")
            self.changed.clear()
            await self.changed.wait()


class EventReader(_Connection):
    """Read one stream of server-sent events in chunks."""

    def __init__(self, record: Record) -> None:
        super().__init__(record)
        self._is_in_head = True
        self._partial = b""
        self._answer: Answer
        self._head = b""

    async def touch(self) -> None:
        """Make one request, so that the connection has been in use before it idles."""
        self._request(b"GET", b"/health", b"")
        await self.until(lambda: not self._is_in_head)

    def ask(self, models: int, *, max_new_tokens: int = MAX_NEW_TOKENS) -> list[Answer]:
        body = {
            "inputs": _TEXT_ALONE["prompt"],
            "parameters": {"max_new_tokens": max_new_tokens, "details": True},
        }
        self._answer = Answer(self.record, clock_us())
        self._is_in_head = True
        self._request(b"POST", b"/generate_stream", json.dumps(body).encode())
        return [self._answer]

    def _request(self, method: bytes, path: bytes, body: bytes) -> None:
        self.transport.write(
            b"%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (method, path, len(body), body)
        )

    def data_received(self, data: bytes) -> None:
        now_us = clock_us()
        if self._is_in_head:
            self._head += data
            head, found, data = self._head.partition(b"\r\n\r\n")
            if not found:
                return
            if not head.startswith(b"HTTP/1.1 200"):
                self.rest = head
                self.transport.abort()
                return
            self._head = b""
            self._is_in_head = False
            self.changed.set()
            if b"event-stream" not in head:
                return
        self._take(self._dechunk(data), now_us)

    def _dechunk(self, data: bytes) -> bytes:
        data = self.rest + data
        parts = []
        at = 0
        while (line := data.find(b"\r\n", at)) >= 0:
            start = line + 2
            stop = start + int(data[at:line], 16)
            if stop + 2 > len(data):
                break
            parts.append(data[start:stop])
            at = stop + 2
        self.rest = data[at:]
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _take(self, events: bytes, now_us: int) -> None:
        if self._partial:
            events = self._partial + events
        whole = events.rfind(b"\n\n") + 2 if events.endswith(b"\n\n") is False else len(events)
        if whole < 2:
            self._partial = events
            return
        self._partial = events[whole:]
        events = events[:whole]
        self._answer.take(b"".join(_EVENT_TOKEN.findall(events)), now_us)
        count = _EVENT_COUNT.search(events)
        if count:
            self._answer.end(int(count[1]))
            self.changed.set()


class SocketReader(_Connection):
    """Read the frames of one WebSocket; the server's frames are not masked."""

    def __init__(self, record: Record, *, is_chat: bool = False) -> None:
        super().__init__(record)
        self._question = _CHAT if is_chat else _TEXT_ALONE
        self._is_open = False
        self._commands = 0
        self._answers: dict[bytes, Answer] = {}
        self._asked: list[Answer] = []
        self.session = ""

    async def open(self, host: str, port: int) -> None:
        await super().open(host, port)
        key = base64.b64encode(os.urandom(16)).decode()
        self.transport.write(
            f"GET /ws HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}"
            "\r\n\r\n".encode()
        )
        await self.until(lambda: self._is_open)
        self._command({"type": "hello"})
        await self.until(lambda: bool(self.session))

    def ask(self, models: int, *, max_new_tokens: int = MAX_NEW_TOKENS) -> list[Answer]:
        asked_us = clock_us()
        self._command(
            {
                "type": "generate",
                "targets": [{"model": model} for model in MODELS[:models]],
                **self._question,
                "parameters": {"max_new_tokens": max_new_tokens},
            }
        )
        self._asked = [Answer(self.record, asked_us) for _ in range(models)]
        return self._asked

    def data_received(self, data: bytes) -> None:
        now_us = clock_us()
        if self.rest:
            data = self.rest + data
        if not self._is_open:
            head, found, after = data.partition(b"\r\n\r\n")
            self.rest = data
            if found and head.startswith(b"HTTP/1.1 101"):
                self._is_open = True
                self.changed.set()
                data = after
            else:
                return
        at = 0
        while len(data) >= at + 2:
            length = data[at + 1]
            start = at + 2
            if length >= 126:
                start += 2 if length == 126 else 8
                length = int.from_bytes(data[at + 2 : start], "big")
            if len(data) < start + length:
                break
            self._frame(data[at] & 15, data[start : start + length], now_us)
            at = start + length
        self.rest = data[at:]

    def _frame(self, kind: int, payload: bytes, now_us: int) -> None:
        if kind == _PING:
            self._send(_PONG, payload)
            return
        if kind != _TEXT:
            self.transport.abort()
            return
        if payload.startswith((b'[{"type":"result"', b'[{"type":"error"')):
            self._result(json.loads(payload)[0])
        for generation, text in _DELTA.findall(payload):
            self._answers[generation].take(text, now_us)
        if b'"type":"end"' in payload:
            for generation, count in _END.findall(payload):
                self._answers[generation].end(int(count))
                self.changed.set()

    def _result(self, event: dict[str, object]) -> None:
        result = event.get("result")
        if not isinstance(result, dict):
            self.rest = json.dumps(event).encode()
            self.transport.abort()
        elif "session" in result:
            self.session = result["session"]
        else:
            names = [generation.encode() for generation in result["generations"]]
            self._answers.update(zip(names, self._asked, strict=True))
        self.changed.set()

    def _command(self, command: dict[str, object]) -> None:
        self._commands += 1
        self._send(_TEXT, json.dumps({"id": self._commands, **command}).encode())

    def _send(self, kind: int, payload: bytes) -> None:
        # A mask of zeros is a mask: the bytes stay as they are.
        size = len(payload)
        head = bytes([128 | kind, 128 | size]) if size < 126 else bytes([128 | kind, 254])
        head += size.to_bytes(2, "big") if size >= 126 else b""
        self.transport.write(head + bytes(4) + payload)
