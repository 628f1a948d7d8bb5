"""The commands that have no answer yet.

While they are held they only collect; `release` sends all of them, in their order: those made
meanwhile, and those whose answer was lost with a connection. So a command must bear being sent
twice (`generate` does by its request id), or be answered here:

| what it acts on | when the socket is gone | when the session is gone    |
|-----------------|-------------------------|-----------------------------|
| the server      | sent again              | sent again                  |
| the session     | sent again              | answered: nothing is left   |
| the socket      | answered: nothing is left | answered: nothing is left |
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from server.client.messages import SidestreamError

Scope = Literal["server", "session", "socket"]
OnResult = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class _Pending:
    command: dict[str, Any]
    scope: Scope
    on_result: OnResult | None
    answer: asyncio.Future[dict[str, Any]]


class Commands:
    """Give commands their ids, and their answers to those who wait for them."""

    def __init__(self, send: Callable[[dict[str, Any]], None]) -> None:
        self._send = send
        self._pending: dict[int, _Pending] = {}
        self._last_id = 0
        self._is_held = True

    def next_id(self) -> int:
        """Return an id that no command has had."""
        self._last_id += 1
        return self._last_id

    def submit(
        self, type_: str, fields: dict[str, Any], *, scope: Scope, on_result: OnResult | None
    ) -> asyncio.Future[dict[str, Any]]:
        """Take a command; the future has its result, or its error as `SidestreamError`.

        `on_result` is called at once, before the next event is looked at, also when nobody
        waits for the future any more.
        """
        command = {"id": self.next_id(), "type": type_, **fields}
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._pending[command["id"]] = _Pending(command, scope, on_result, answer)
        if not self._is_held:
            self._send(command)
        return answer

    def answer(self, event: dict[str, Any]) -> None:
        """Take an answer; one to nothing that is waited for is ignored."""
        pending = self._pending.pop(event.get("id", 0), None)
        if pending is None:
            return
        if event["type"] == "error":
            _settle(pending, SidestreamError.from_wire(event["error"]))
            return
        if pending.on_result is not None:
            pending.on_result(event["result"])
        _settle(pending, event["result"])

    def hold(self) -> None:
        """Send nothing: the socket is gone."""
        self._is_held = True
        self._drop("socket")

    def release(self, *, is_resumed: bool) -> None:
        """Send everything that is unanswered, in a session that goes on or in a new one."""
        self._is_held = False
        if not is_resumed:
            self._drop("session")
        for pending in self._pending.values():
            self._send(pending.command)

    def reject_all(self, error: SidestreamError) -> None:
        """Give up all that is unanswered."""
        for pending in self._pending.values():
            _settle(pending, error)
        self._pending.clear()

    def _drop(self, scope: Scope) -> None:
        for pending in [one for one in self._pending.values() if one.scope == scope]:
            del self._pending[pending.command["id"]]
            _settle(pending, {})


def _settle(pending: _Pending, outcome: dict[str, Any] | SidestreamError) -> None:
    if pending.answer.done():  # whoever waited was cancelled
        return
    if isinstance(outcome, SidestreamError):
        pending.answer.set_exception(outcome)
    else:
        pending.answer.set_result(outcome)
