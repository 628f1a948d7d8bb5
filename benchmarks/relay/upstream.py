"""A fake model server that is no bottleneck: bare protocols, prepared bytes, and one timer for all.

Every stream writes `rate` tokens a second, each as a send of its own, as a real server does; the
streams are spread evenly over the interval. A wheel with a slot for each millisecond holds them.
When the machine is too slow the wheel catches up for one turn and lets go of the rest. A reader
that takes nothing misses its turns, not its tokens.

It speaks TGI's, OpenAI's and Ollama's form at once. Beside their routes: `POST /bench/rate/N` sets
the rate of streams yet to come, `POST /bench/finish` ends all streams with their last event.
"""

import asyncio
import gc
import json
import random
import sys
from typing import Final

from benchmarks.relay.forms import OTHERS, STREAMS, TGI

ADDRESSES: Final = tuple(f"127.0.0.{number}" for number in range(1, 9))
"""Where it listens, at one port: eight addresses of this machine."""

_TICK_SECONDS: Final = 0.001
_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\ncache-control: no-cache\r\n"
    b"x-accel-buffering: no\r\ntransfer-encoding: chunked\r\n\r\n"
)


class Server:
    """Hold the streams under way on a wheel."""

    def __init__(self) -> None:
        self.set_rate(20)

    def set_rate(self, rate: float) -> None:
        """Have every stream that comes from now on write `rate` tokens a second."""
        self._slots: list[set[Connection]] = [set() for _ in range(max(round(1000 / rate), 1))]
        self._at = 0

    def add(self, connection: "Connection") -> None:
        """Begin a stream where the wheel is emptiest: spread evenly, and neighbours nowhere near.

        Real servers write at rates and phases of their own; the answers of one session are not to
        arrive together because they began together.
        """
        fewest = min(map(len, self._slots))
        random.choice([slot for slot in self._slots if len(slot) == fewest]).add(connection)

    def discard(self, connection: "Connection") -> None:
        """Forget a stream."""
        for slot in self._slots:
            slot.discard(connection)

    def finish(self) -> None:
        """End all streams."""
        for slot in self._slots:
            for connection in list(slot):
                connection.finish()

    async def run(self) -> None:
        """Turn the wheel for ever."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            now = loop.time()
            due = max(due, now - len(self._slots) * _TICK_SECONDS)
            while due <= now:
                due += _TICK_SECONDS
                self._at = (self._at + 1) % len(self._slots)
                for connection in list(self._slots[self._at]):
                    connection.write_token()
            await asyncio.sleep(max(due - loop.time(), 0))


class Connection(asyncio.Protocol):
    """Answer requests, one after the other."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._received = b""
        self._tokens = 0
        self._limit = 0
        self._form = TGI
        self._is_paused = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.discard(self)

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, rest = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        request, *fields = head.decode().split("\r\n")
        lengths = [f.split(":")[1] for f in fields if f.lower().startswith("content-length:")]
        length = int(lengths[0]) if lengths else 0
        if len(rest) >= length:
            self._received = rest[length:]
            self._answer(request.split()[1], rest[:length])

    def write_token(self) -> None:
        """Write the next token, the last one if no more were asked for."""
        if self._is_paused:
            return
        if self._tokens + 1 >= self._limit:
            self.finish()
            return
        self._transport.write(self._form.token_chunk(self._tokens))
        self._tokens += 1

    def finish(self) -> None:
        """Write the last token."""
        self._server.discard(self)
        self._transport.write(self._form.last_chunks(self._tokens))

    def _answer(self, path: str, body: bytes) -> None:
        form = STREAMS.get(path)
        if form is not None:
            self._tokens = 0
            self._form = form
            self._limit = form.limit(json.loads(body))
            self._transport.write(_HEAD % form.content_type)
            self._server.add(self)
            self.write_token()
        elif path == "/bench/finish":
            self._answer_json(b"{}")
            self._server.finish()
        elif path.startswith("/bench/rate/"):
            self._server.set_rate(float(path.rpartition("/")[2]))
            self._answer_json(b"{}")
        else:
            self._answer_json(OTHERS.get(path, b"null"))

    def _answer_json(self, body: bytes) -> None:
        self._transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
            % (len(body), body)
        )


async def main() -> None:
    """Listen on a free port of loopback, print it, and serve until the standard input ends."""
    server = Server()
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(lambda: Connection(server), ADDRESSES[0], 0, backlog=4096)
    port = listener.sockets[0].getsockname()[1]
    # The same server under further addresses stands for replicas.
    more = list(ADDRESSES[1:])
    await loop.create_server(lambda: Connection(server), more, port, backlog=4096)
    print(port, flush=True)
    wheel = loop.create_task(server.run())
    # Nothing here makes circles, and a collection in the middle would show as latency.
    gc.disable()
    await loop.run_in_executor(None, sys.stdin.read)
    wheel.cancel()


if __name__ == "__main__":
    asyncio.run(main())
