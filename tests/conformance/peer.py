"""One socket to the server under test; it hears everything and lets nothing wrong pass."""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec

from server.core.protocol import COMMANDS, EVENTS

EVENT_SECONDS = 60.0

_KINDS = {event.__struct_config__.tag: event for event in EVENTS}

Json = dict[str, Any]


class Breach(Exception):
    """The server does something else than the protocol says."""


def require(is_so: object, otherwise: str) -> None:
    """Raise `Breach` unless it is so."""
    if not is_so:
        raise Breach(otherwise)


@dataclass
class Followed:
    """One generation, from its first state to its end, as this socket hears it."""

    seq: int = 0
    deltas: list[Json] = field(default_factory=list)
    end: Json | None = None

    @property
    def text(self) -> str:
        """Return what was heard, joined."""
        return "".join(delta["text"] for delta in self.deltas)

    def take(self, event: Json) -> None:
        """Take the next event of this generation; raises `Breach` if it may not come now."""
        require(self.end is None, f"an event came after the end: {event}")
        if event["type"] == "state":
            require(not self.deltas, f"a state came after text: {event}")
        elif event["type"] == "delta":
            require(event["seq"] > self.seq, f"seq does not grow: {event} after {self.seq}")
            self.seq = event["seq"]
            self.deltas.append(event)
        else:
            require(event["seq"] == self.seq, f"text is missing: {event} after {self.seq}")
            self.end = event


class Peer:
    """Say commands and hear events."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, kinds: Sequence[str] = ()) -> None:
        self.socket = socket
        self._kinds = kinds
        self.generations: dict[str, Followed] = {}
        self.answers: list[int] = []
        self._cursors: dict[str, int] = {}
        self._unread: list[Json] = []
        self._last_id = 0

    async def say(self, kind: str, **fields: Any) -> int:
        """Send a command; return its id."""
        self._last_id += 1
        await self.socket.send_str(json.dumps({"id": self._last_id, "type": kind, **fields}))
        return self._last_id

    async def hear(self) -> Json:
        """Return the next event, checked; raises `Breach` when the socket has ended."""
        while not self._unread:
            message = await self._receive()
            if message.type is not aiohttp.WSMsgType.TEXT:
                raise Breach(f"the socket was closed with {self.socket.close_code}")
            self._unread = _events(message.data)
        event = self._unread.pop(0)
        self._follow(event)
        return event

    async def hear_until(self, is_it: Callable[[Json], object]) -> Json:
        """Return the first event from now on of which `is_it` is true."""
        while not is_it(event := await self.hear()):
            pass
        return event

    async def ask(self, kind: str, **fields: Any) -> Json:
        """Run a command and return its result; raises `Breach` if it is refused."""
        answer = await self.answer_to(await self.say(kind, **fields))
        require(answer["type"] == "result", f"{kind} {fields} was refused: {answer}")
        result: Json = answer["result"]
        try:
            msgspec.convert(result, COMMANDS[kind].result)
        except msgspec.ValidationError as error:
            raise Breach(f"a result of {kind} that is not as defined ({error}): {result}") from None
        return result

    async def be_refused(self, code: str, kind: str, **fields: Any) -> None:
        """Run a command that must fail with that code; the socket stays open."""
        answer = await self.answer_to(await self.say(kind, **fields))
        require(answer["type"] == "error", f"{kind} {fields} was carried out: {answer}")
        given = answer["error"]["code"]
        require(given == code, f"{kind} {fields} was refused with {given}, not {code}")
        await self.ask("ping")

    async def answer_to(self, command: int) -> Json:
        """Return the answer to a command."""
        return await self.hear_until(
            lambda event: event["type"] in ("result", "error") and event.get("id") == command
        )

    async def enter(self, session: str | None = None, **cursors: int) -> Json:
        """Say hello and return the answer."""
        self._cursors = cursors
        fields: Json = {} if session is None else {"session": session, "cursors": cursors}
        if self._kinds:
            fields["kinds"] = list(self._kinds)
        return await self.ask("hello", **fields)

    async def hear_ends(self, generations: Sequence[str]) -> list[Followed]:
        """Return when these generations have ended; with all that was heard of them."""
        while not all(self._of(name).end for name in generations):
            await self.hear()
        return [self._of(name) for name in generations]

    async def close_code(self) -> int | None:
        """Hear to the end and return the code that the server closes with."""
        while (await self._receive()).type is aiohttp.WSMsgType.TEXT:
            pass
        return self.socket.close_code

    def cut(self) -> None:
        """Break the connection without a good-bye."""
        transport = self.socket._response.connection.transport  # type: ignore[union-attr]
        assert transport is not None
        transport.abort()

    async def _receive(self) -> aiohttp.WSMessage:
        try:
            return await self.socket.receive(timeout=EVENT_SECONDS)
        except TimeoutError:
            raise Breach(f"nothing was heard for {EVENT_SECONDS:g} s") from None

    def _follow(self, event: Json) -> None:
        if event["type"] in ("state", "delta", "end"):
            self._of(event["generation"]).take(event)
        elif event.get("id") is not None:
            require(event["id"] not in self.answers, f"answered twice: {event}")
            require(1 <= event["id"] <= self._last_id, f"an answer to nothing: {event}")
            self.answers.append(event["id"])

    def _of(self, generation: str) -> Followed:
        return self.generations.setdefault(
            generation, Followed(seq=self._cursors.get(generation, 0))
        )


def _events(frame: str) -> list[Json]:
    try:
        frame_of_any_kind: Any = json.loads(frame)
    except ValueError:
        raise Breach(f"a frame that is not JSON: {frame[:80]!r}") from None
    is_array = isinstance(frame_of_any_kind, list) and frame_of_any_kind
    require(is_array, f"a frame that is no array of events: {frame[:80]!r}")
    events: list[Any] = frame_of_any_kind
    for event in events:
        kind = event.get("type") if isinstance(event, dict) else None
        require(isinstance(kind, str), f"an event without a type: {event}")
        if kind in _KINDS:
            try:
                msgspec.convert(event, _KINDS[kind])
            except msgspec.ValidationError as error:
                raise Breach(f"an event that is not as defined ({error}): {event}") from None
    return events


async def at_once(*work: Any) -> list[Any]:
    """Do several things at once; the first breach ends all."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
    except* Breach as breaches:
        raise breaches.exceptions[0] from None
    return [task.result() for task in tasks]
