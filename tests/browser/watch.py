"""Record a page's requests, frames and console errors."""

import json
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import ConsoleMessage, Page, Response, WebSocket

NETWORK_CHANGED = "net::ERR_NETWORK_CHANGED"


@dataclass
class Watch:
    """The record of one page."""

    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    received: list[str] = field(default_factory=list)

    def follow(self, page: Page) -> None:
        """Collect from now on."""
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._note_message)
        page.on("requestfailed", lambda request: self.failed.append(f"{request.url} failed"))
        page.on("response", self._note_refusal)
        page.on("websocket", self._follow_socket)

    @property
    def report(self) -> str:
        """Return what went wrong, for the report of a failed test."""
        return "\n".join([*self.complaints, *self.failed, *self.received[-3:]])

    @property
    def session(self) -> str:
        """Return the id of the first session that the page was given."""
        events = (event for frame in self.received for event in json.loads(frame))
        results = (event["result"] for event in events if event["type"] == "result")
        session: str = next(result["session"] for result in results if "session" in result)
        return session

    def sent_of(self, kind: str) -> list[dict[str, Any]]:
        """Return the commands of this type that the page sent."""
        commands = [json.loads(frame) for frame in self.sent]
        return [command for command in commands if command["type"] == kind]

    def _note_message(self, message: ConsoleMessage) -> None:
        # The machine's doing and not the page's: `open_page` opens it again.
        if NETWORK_CHANGED not in message.text:
            self.complaints.append(f"{message.type} {message.text}")

    def _note_refusal(self, response: Response) -> None:
        if not response.ok:
            self.failed.append(f"{response.url} {response.status}")

    def _follow_socket(self, socket: WebSocket) -> None:
        self.requests.append(socket.url)
        socket.on("framesent", lambda frame: self.sent.append(str(frame)))
        socket.on("framereceived", lambda frame: self.received.append(str(frame)))
