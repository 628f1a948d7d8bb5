"""What a page asked for, said, heard and complained of."""

import json
from dataclasses import dataclass, field

from playwright.sync_api import Page, WebSocket


@dataclass
class Watch:
    """Follow one page; what it does is collected here."""

    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    received: list[str] = field(default_factory=list)

    def follow(self, page: Page) -> None:
        """Collect from now on."""
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda message: self.complaints.append(f"{message.type} {message.text}"))
        page.on("websocket", self._follow_socket)

    @property
    def session(self) -> str:
        """Return the id of the first session that the page was given."""
        events = (event for frame in self.received for event in json.loads(frame))
        results = (event["result"] for event in events if event["type"] == "result")
        session: str = next(result["session"] for result in results if "session" in result)
        return session

    def _follow_socket(self, socket: WebSocket) -> None:
        self.requests.append(socket.url)
        socket.on("framesent", lambda frame: self.sent.append(str(frame)))
        socket.on("framereceived", lambda frame: self.received.append(str(frame)))
