"""One WebSocket after another, so that those above see one connection that is sometimes away.

- Every socket begins with `hello`; commands go out once it is answered.
- Waits between attempts double up to a limit, with jitter, and end after `max_attempts`. The
  count starts anew with an answered `hello`, not with an open socket: a server that accepts and
  hangs up at once is not called in a tight loop.
- A first attempt that fails is the last: whoever mistyped the address learns it at once.
- What was said on a socket that is gone is never listened to.
"""

import asyncio
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

import aiohttp

from server.client.commands import Commands
from server.client.messages import CONNECTION_CLOSED, PROTOCOL_VERSION, SidestreamError

# The server bounds its frames far below; only the list of a session's answers has no bound.
_MAX_FRAME_BYTES: Final = 64 << 20

# After these, connecting again cannot help: statuses of the upgrade, a revoked key.
_FINAL_STATUSES: Final = frozenset({400, 401, 403, 404})
_FINAL_CLOSE_CODES: Final = frozenset({4401})


@dataclass(frozen=True)
class ConnectionState:
    """How the connection stands; `retry_in_seconds` while it is waiting."""

    name: Literal["connecting", "connected", "waiting", "closed"]
    reason: str = ""
    retry_in_seconds: float | None = None


@dataclass(frozen=True)
class Rhythm:
    """When to try again, and when to take a silent server for gone."""

    min_delay_seconds: float = 0.25
    max_delay_seconds: float = 15.0
    # About ten minutes, twice what the server keeps a session.
    max_attempts: int = 45
    open_timeout_seconds: float = 10.0
    heartbeat_seconds: float = 30.0

    def delay_seconds(self, failures: int) -> float:
        """Return how long to wait after so many failures in a row: with jitter, at most half."""
        ceiling = min(self.max_delay_seconds, self.min_delay_seconds * 2.0 ** (failures - 1))
        return ceiling * random.uniform(0.5, 1.0)


class Owner(Protocol):
    """Who is told of everything that arrives, one event after the other."""

    def greeting(self) -> dict[str, Any]:
        """Return what to say in `hello`."""

    def welcome(self, result: dict[str, Any]) -> None:
        """Take the answer to `hello`."""

    def receive(self, event: dict[str, Any]) -> None:
        """Take an event that answers no command."""

    def follow(self, state: ConnectionState) -> None:
        """Take a new state of the connection."""


class _Broken(Exception):
    """This socket is of no use; another may be."""


class _Refused(Exception):
    """No socket will be of any use."""


class Connection:
    """Hold a connection for as long as `run` is run."""

    def __init__(
        self, url: str, owner: Owner, *, rhythm: Rhythm, headers: Mapping[str, str] | None
    ) -> None:
        self.state = ConnectionState("closed")
        self.commands = Commands(self._post)
        self._url = url
        self._owner = owner
        self._rhythm = rhythm
        self._headers = headers
        self._outgoing: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._hello_id = 0
        self._patience = asyncio.timeout(None)

    async def run(self) -> None:
        """Connect, stay connected, and return when that cannot be done; cancel it to hang up."""
        failures = 0
        has_connected = False
        reason = "an error in this client"
        try:
            async with aiohttp.ClientSession(headers=self._headers) as http:
                while True:
                    self._enter(ConnectionState("connecting"))
                    reason = await self._attempt(http)
                    was_connected = self.state.name == "connected"
                    self.commands.hold()
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
            async with asyncio.timeout(self._rhythm.open_timeout_seconds) as self._patience:
                async with http.ws_connect(
                    self._url,
                    heartbeat=self._rhythm.heartbeat_seconds,
                    max_msg_size=_MAX_FRAME_BYTES,
                    timeout=aiohttp.ClientWSTimeout(ws_close=2.0),
                ) as socket:
                    await self._speak(socket)
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
        self._post({"id": self._hello_id, "type": "hello", **self._owner.greeting()})
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
            self._owner.receive(event)
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
        self._owner.welcome(result)
        self._patience.reschedule(None)
        self._enter(ConnectionState("connected"))
        self.commands.release(is_resumed=result["resumed"])

    def _post(self, command: dict[str, Any]) -> None:
        self._outgoing.put_nowait(command)

    def _enter(self, state: ConnectionState) -> None:
        self.state = state
        self._owner.follow(state)


async def _write(
    socket: aiohttp.ClientWebSocketResponse, outgoing: asyncio.Queue[dict[str, Any]]
) -> None:
    while True:
        command = await outgoing.get()
        try:
            await socket.send_str(json.dumps(command, ensure_ascii=False, separators=(",", ":")))
        except ConnectionError:
            return  # The reader sees the same end; what is unanswered is sent again.


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
    """Return the error of what cannot be done, or will not end, without a connection."""
    return SidestreamError(CONNECTION_CLOSED, f"Not connected{f': {reason}' if reason else ''}.")
