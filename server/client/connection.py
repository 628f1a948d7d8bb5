"""A WebSocket that reconnects.

- Every socket begins with `hello`; commands are sent once it is answered.
- Waits between attempts double up to a limit, with jitter, and end after `max_attempts`. An
  answered `hello` resets the count, an open socket does not: a server that accepts and closes at
  once is not called in a tight loop.
- If the first attempt fails there is no other, so that a wrong address is reported at once.
- Messages of an older socket are never processed.
"""

import asyncio
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

import aiohttp

from server.client.commands import Commands, written
from server.client.messages import CONNECTION_CLOSED, PROTOCOL_VERSION, SidestreamError

# The server's frames are far smaller; only the list of a session's answers has no limit.
_MAX_FRAME_BYTES: Final = 64 << 20

# Reconnecting is useless after these: statuses of the upgrade, and a revoked key.
_FINAL_STATUSES: Final = frozenset({400, 401, 403, 404})
_FINAL_CLOSE_CODES: Final = frozenset({4401})


@dataclass(frozen=True)
class ConnectionState:
    """The state of the connection; `retry_in_seconds` while it is waiting."""

    name: Literal["connecting", "connected", "waiting", "closed"]
    reason: str = ""
    retry_in_seconds: float | None = None


@dataclass(frozen=True)
class Rhythm:
    """When to reconnect, and when a silent server counts as gone."""

    min_delay_seconds: float = 0.25
    max_delay_seconds: float = 15.0
    # About ten minutes, twice what the server keeps a session.
    max_attempts: int = 45
    open_timeout_seconds: float = 10.0
    heartbeat_seconds: float = 30.0

    def delay_seconds(self, failures: int) -> float:
        """Return how long to wait after so many failures in a row, with jitter of at most half."""
        ceiling = min(self.max_delay_seconds, self.min_delay_seconds * 2.0 ** (failures - 1))
        return ceiling * random.uniform(0.5, 1.0)


class Receiver(Protocol):
    """The receiver of everything that arrives, one event after the other."""

    def greeting(self) -> dict[str, Any]:
        """Return the fields of `hello`."""

    def welcome(self, result: dict[str, Any]) -> None:
        """Take the answer to `hello`."""

    def receive(self, event: dict[str, Any]) -> None:
        """Take an event that answers no command."""

    def follow(self, state: ConnectionState) -> None:
        """Take a new state of the connection."""


class _Broken(Exception):
    """The socket is unusable; another one may work."""


class _Refused(Exception):
    """No other socket will work."""


class Connection:
    """Keep a connection while `run` runs."""

    def __init__(
        self, url: str, receiver: Receiver, *, rhythm: Rhythm, headers: Mapping[str, str] | None
    ) -> None:
        self.state = ConnectionState("closed")
        self.commands = Commands(self._post)
        self._url = url
        self._receiver = receiver
        self._rhythm = rhythm
        self._headers = headers
        self._outgoing: asyncio.Queue[str] = asyncio.Queue()
        self._hello_id = 0
        self._close_code: int | None = None
        self._open_timeout = asyncio.timeout(None)

    async def run(self) -> None:
        """Connect and stay connected; return when that is impossible; cancel it to close."""
        failures = 0
        has_connected = False
        reason = "an error in this client"
        try:
            async with aiohttp.ClientSession(headers=self._headers) as http:
                while True:
                    self._enter(ConnectionState("connecting"))
                    self._close_code = None
                    reason = await self._attempt(http)
                    was_connected = self.state.name == "connected"
                    self.commands.hold(self._close_code)
                    has_connected |= was_connected
                    failures = 1 if was_connected else failures + 1
                    if not has_connected or failures > self._rhythm.max_attempts:
                        return
                    delay = self._rhythm.delay_seconds(failures)
                    self._enter(ConnectionState("waiting", reason, delay))
                    await asyncio.sleep(delay)
        except _Refused as refused:
            reason = str(refused)
        except asyncio.CancelledError:
            reason = "closed by this client"
            raise
        finally:
            self._enter(ConnectionState("closed", reason))
            self.commands.reject_all(not_connected(reason))

    # --- inside -----------------------------------------------------------------------------

    async def _attempt(self, http: aiohttp.ClientSession) -> str:
        """Use one socket from its opening to its end; return why it ended."""
        try:
            async with asyncio.timeout(self._rhythm.open_timeout_seconds) as self._open_timeout:
                async with http.ws_connect(
                    self._url,
                    heartbeat=self._rhythm.heartbeat_seconds,
                    max_msg_size=_MAX_FRAME_BYTES,
                    timeout=aiohttp.ClientWSTimeout(ws_close=2.0),
                ) as socket:
                    await self._speak(socket)
                self._close_code = socket.close_code
                return _reason_of(socket)
        except TimeoutError:
            return "no answer"
        except aiohttp.WSServerHandshakeError as error:
            reason = f"{self._url} answers with HTTP status {error.status}"
            if error.status in _FINAL_STATUSES:
                raise _Refused(reason) from None
            return reason
        except (aiohttp.ClientError, _Broken) as error:
            return str(error)

    async def _speak(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._outgoing = asyncio.Queue()
        self._hello_id = self.commands.next_id()
        hello = {"id": self._hello_id, "type": "hello", **self._receiver.greeting()}
        self._post(written(hello))
        writer = asyncio.create_task(_write(socket, self._outgoing), name="sidestream writer")
        try:
            async for message in socket:
                if message.type is not aiohttp.WSMsgType.TEXT:
                    raise _Broken("a frame that is not text")
                self._receive_frame(message.data)
        finally:
            writer.cancel()
            await asyncio.wait([writer])

    def _receive_frame(self, frame: str) -> None:
        try:
            for event in _events(frame):
                self._receive(event)
        except (KeyError, TypeError, AttributeError) as error:
            raise _Refused(f"the server sent what is no event: {error!r}") from error

    def _receive(self, event: dict[str, Any]) -> None:
        if event.get("type") not in ("result", "error") or "id" not in event:
            self._receiver.receive(event)
        elif event["id"] != self._hello_id:
            self.commands.answer(event)
        elif event["type"] == "error":
            raise _Broken(event["error"]["message"])
        else:
            self._welcome(event["result"])

    def _welcome(self, result: dict[str, Any]) -> None:
        version = result["protocol"]
        if version != PROTOCOL_VERSION:
            raise _Refused(f"the server speaks version {version} of the protocol")
        self._receiver.welcome(result)
        self._open_timeout.reschedule(None)
        self._enter(ConnectionState("connected"))
        self.commands.release(is_resumed=result["resumed"], max_bytes=result.get("max_frame_bytes"))

    def _post(self, frame: str) -> None:
        self._outgoing.put_nowait(frame)

    def _enter(self, state: ConnectionState) -> None:
        self.state = state
        self._receiver.follow(state)


async def _write(socket: aiohttp.ClientWebSocketResponse, outgoing: asyncio.Queue[str]) -> None:
    while True:
        frame = await outgoing.get()
        try:
            await socket.send_str(frame)
        except ConnectionError:
            return  # The reader notices too; unanswered commands are sent again.


def _events(frame: str) -> list[dict[str, Any]]:
    try:
        events = json.loads(frame)
    except ValueError:
        raise _Broken("a frame that is not JSON") from None
    if not isinstance(events, list) or not all(isinstance(event, dict) for event in events):
        raise _Broken("a frame that is not a list of events")
    return events


def _reason_of(socket: aiohttp.ClientWebSocketResponse) -> str:
    if socket.close_code in _FINAL_CLOSE_CODES:
        raise _Refused(f"the server closed the connection for good ({socket.close_code})")
    return f"the connection was closed ({socket.close_code})"


def not_connected(reason: str) -> SidestreamError:
    """Return the error of a command or an answer without a connection."""
    return SidestreamError(CONNECTION_CLOSED, f"Not connected{f': {reason}' if reason else ''}.")
