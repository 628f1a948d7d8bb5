"""The unanswered commands.

After `hold` commands are only collected; `release` sends all of them in order: new ones, and those
whose answer was lost with a connection. So a command must be safe to send twice (`generate` has a
request id), or it is answered here:

| what it acts on | when the socket is gone | when the session is gone    |
|-----------------|-------------------------|-----------------------------|
| the server      | sent again              | sent again                  |
| the session     | sent again              | answered: nothing is left   |
| the socket      | answered: nothing is left | answered: nothing is left |

What the server refuses as a frame fails and is not sent again: what is too large for it, what
closed the socket with 4400 or 1009, and what so many sockets in a row have not outlived.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from server.client.messages import CONNECTION_CLOSED, INVALID_COMMAND, SidestreamError

Scope = Literal["server", "session", "socket"]
OnResult = Callable[[dict[str, Any]], None]

CLOSE_BAD_FRAME: Final = 4400
CLOSE_TOO_LARGE: Final = 1009

# Some proxies have limits of their own, and close without a word.
_MAX_LOSSES: Final = 10


@dataclass
class _Pending:
    frame: str
    scope: Scope
    on_result: OnResult | None
    answer: asyncio.Future[dict[str, Any]]
    is_sent: bool = False
    """Whether the present socket has it."""
    losses: int = 0
    """Sockets that ended before its answer."""


class Commands:
    """Give commands their ids, and pass answers to the waiting callers."""

    def __init__(self, send: Callable[[str], None]) -> None:
        self._send = send
        self._pending: dict[int, _Pending] = {}
        self._last_id = 0
        self._is_held = True
        self._max_bytes: int | None = None

    def next_id(self) -> int:
        """Return an unused id."""
        self._last_id += 1
        return self._last_id

    def submit(
        self, type_: str, fields: dict[str, Any], *, scope: Scope, on_result: OnResult | None
    ) -> asyncio.Future[dict[str, Any]]:
        """Send a command; the future gets its result, or its error as `SidestreamError`.

        `on_result` is called before the next event is processed, even if the future was cancelled.
        Raises `SidestreamError` (`invalid_command`) where the fields cannot be written as JSON.
        """
        command_id = self.next_id()
        frame = written({"id": command_id, "type": type_, **fields})
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._pending[command_id] = _Pending(frame, scope, on_result, answer)
        if not self._is_held:
            self._post(command_id)
        return answer

    def answer(self, event: dict[str, Any]) -> None:
        """Take an answer; ignore one that no command waits for."""
        pending = self._pending.pop(event.get("id", 0), None)
        if pending is None:
            return
        if event["type"] == "error":
            _settle(pending, SidestreamError.from_wire(event["error"]))
            return
        if pending.on_result is not None:
            pending.on_result(event["result"])
        _settle(pending, event["result"])

    def hold(self, close_code: int | None = None) -> None:
        """Stop sending: the socket is gone, closed with this code."""
        self._is_held = True
        sent = {key: pending for key, pending in self._pending.items() if pending.is_sent}
        if sent and close_code == CLOSE_BAD_FRAME:
            # The server reads frame after frame, and answers what it has read.
            self._refuse(next(iter(sent)), "The server takes it for no command.")
        elif sent and close_code == CLOSE_TOO_LARGE:
            largest = max(sent, key=lambda key: len(sent[key].frame))
            self._refuse(largest, "It is larger than the server takes.")
        for key, pending in sent.items():
            pending.is_sent = False
            pending.losses += 1
            if pending.losses == _MAX_LOSSES:
                self._refuse(key, "The connection broke each time it was sent.", CONNECTION_CLOSED)
        self._drop("socket")

    def release(self, *, is_resumed: bool, max_bytes: int | None = None) -> None:
        """Send all unanswered commands, in the resumed session or in a new one.

        `max_bytes` is how large a frame may be.
        """
        self._is_held = False
        self._max_bytes = max_bytes
        if not is_resumed:
            self._drop("session")
        for command_id in list(self._pending):
            self._post(command_id)

    def reject_all(self, error: SidestreamError) -> None:
        """Reject all unanswered commands."""
        for pending in self._pending.values():
            _settle(pending, error)
        self._pending.clear()

    def _post(self, command_id: int) -> None:
        pending = self._pending[command_id]
        size = len(pending.frame.encode())
        if self._max_bytes is not None and size > self._max_bytes:
            self._refuse(
                command_id, f"It has {size:,} bytes; the server takes {self._max_bytes:,}."
            )
            return
        pending.is_sent = True
        self._send(pending.frame)

    def _refuse(self, command_id: int, message: str, code: str = INVALID_COMMAND) -> None:
        pending = self._pending.pop(command_id, None)
        if pending is not None:
            _settle(pending, SidestreamError(code, message))

    def _drop(self, scope: Scope) -> None:
        for key in [key for key, pending in self._pending.items() if pending.scope == scope]:
            _settle(self._pending.pop(key), {})


def written(command: dict[str, Any]) -> str:
    """Write a command as a frame; raises `SidestreamError` where it cannot be JSON."""
    try:
        frame = json.dumps(command, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        frame.encode()
    except UnicodeEncodeError:
        words = "A text has half of a surrogate pair, which is no character."
        raise SidestreamError(INVALID_COMMAND, words) from None
    except (TypeError, ValueError, RecursionError) as error:
        raise SidestreamError(INVALID_COMMAND, f"It cannot be written as JSON: {error}") from error
    return frame


def _settle(pending: _Pending, outcome: dict[str, Any] | SidestreamError) -> None:
    if pending.answer.done():  # the caller was cancelled
        return
    if isinstance(outcome, SidestreamError):
        pending.answer.set_exception(outcome)
    else:
        pending.answer.set_result(outcome)
