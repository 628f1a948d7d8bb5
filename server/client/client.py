"""A client of Sidestream: commands to await, models and answers as live objects.

What the server tells is kept by the mirror, how it is reached is the connection's business; here
is what a program says and asks.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, Literal, Self, overload

from server.client.commands import OnResult, Scope
from server.client.connection import Connection, ConnectionState, Rhythm, not_connected
from server.client.emitter import Off
from server.client.generation import Generation
from server.client.logs import LogReading
from server.client.messages import (
    LogLine,
    Messages,
    Model,
    SidestreamError,
    Target,
    generate_fields,
)
from server.client.mirror import Mirror


def connect(
    url: str,
    *,
    session: str | None = None,
    headers: Mapping[str, str] | None = None,
    rhythm: Rhythm | None = None,
) -> "Client":
    """Return a client that is connected for as long as its `async with` block lasts.

    `url` is `ws://HOST:PORT/ws`; `session` is one of an earlier client, to go on with. Entering
    raises `SidestreamError` (`connection_closed`) when the server cannot be reached; what
    breaks later is mended for about ten minutes.
    """
    return Client(url, session=session, headers=headers, rhythm=rhythm or Rhythm())


class Client:
    """Speak to one server, in one session, over whatever connections it takes."""

    def __init__(
        self, url: str, *, session: str | None, headers: Mapping[str, str] | None, rhythm: Rhythm
    ) -> None:
        self._mirror = Mirror(session)
        self._connection = Connection(url, self._mirror, rhythm=rhythm, headers=headers)
        self._running: asyncio.Task[None] | None = None
        self.on("connection", self._follow)

    @property
    def connection(self) -> ConnectionState:
        """Return how the connection stands."""
        return self._connection.state

    @property
    def session(self) -> str | None:
        """Return the session's id, which another client can go on with."""
        return self._mirror.session

    @property
    def server(self) -> Mapping[str, str]:
        """Return the server's name and version."""
        return self._mirror.server

    @property
    def models(self) -> Mapping[str, Model]:
        """Return the models as they are now, in the server's order."""
        return self._mirror.models

    @property
    def generations(self) -> Mapping[str, Generation]:
        """Return the session's live answers, those asked for over other sockets among them."""
        return self._mirror.generations

    async def __aenter__(self) -> Self:
        connected = asyncio.Event()

        def note(state: ConnectionState) -> None:
            if state.name == "connected":
                connected.set()

        off = self.on("connection", note)
        self._running = asyncio.create_task(self._connection.run(), name="sidestream client")
        waiting = asyncio.create_task(connected.wait())
        try:
            await asyncio.wait([self._running, waiting], return_when=asyncio.FIRST_COMPLETED)
            if not connected.is_set():
                await self._running
                raise not_connected(self.connection.reason)
        except BaseException:
            await self.close()
            raise
        finally:
            off()
            waiting.cancel()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Hang up. Unanswered commands fail, live answers end as `interrupted`."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])

    # --- commands ---------------------------------------------------------------------------

    async def generate(
        self,
        targets: str | Target | Iterable[str | Target],
        question: str | Messages | None = None,
        *,
        prompt: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        details: bool = False,
        fresh: bool = False,
        request_id: str | None = None,
        record: Mapping[str, str | None] | None = None,
    ) -> list[Generation]:
        """Have every target answer; return the answers in the order of `targets`.

        `question` is what a user says, or a whole conversation; `prompt`, in its place, is text
        to be continued as it stands. `details` brings `tokens`. A `fresh` answer is none that was
        kept for its question. `record` says where in which conversation the answers are kept.
        Raises `SidestreamError` with the server's code; nothing has started then. When the call is
        cancelled, so is what it started.
        """
        fields = generate_fields(targets, question, prompt, parameters)
        fields["request_id"] = request_id or secrets.token_hex(16)
        if details:
            fields["details"] = True
        if fresh:
            fields["fresh"] = True
        if record is not None:
            fields["record"] = dict(record)
        generations: list[Generation] = []

        def begin(result: dict[str, Any]) -> None:
            for target, generation_id in zip(fields["targets"], result["generations"], strict=True):
                generations.append(self._mirror.generation(generation_id, target["model"]))
            for generation, kept in zip(generations, result.get("answers") or (), strict=False):
                generation.answer = kept
            if answer.cancelled():
                self._send("cancel", {"generations": result["generations"]}, scope="session")

        answer = self._submit("generate", fields, on_result=begin)
        await answer
        return generations

    async def cancel(self, generations: Iterable[Generation] | None = None) -> None:
        """Cancel these answers, all live ones of the session if None; then they end by and by."""
        fields: dict[str, Any] = {}
        if generations is not None:
            # One that has ended may have left its id to another, of a newer session.
            fields["generations"] = [one.id for one in generations if one.is_live]
            if not fields["generations"]:
                return
        await self._submit("cancel", fields, scope="session")

    async def start(self, model: str) -> Model:
        """Have a model started and return it as it is now; `changes()` tells how it goes on."""
        return await self._change("start", model)

    async def stop(self, model: str) -> Model:
        """Have a model stopped and return it as it is now; `changes()` tells how it goes on."""
        return await self._change("stop", model)

    async def use(self, server: str) -> None:
        """Use a server that was found on the gateway's machine, by its name; for operators."""
        await self._submit("use", {"server": server})

    async def ping(self) -> None:
        """Return when the server has answered."""
        await self._submit("ping", {})

    async def changes(self) -> AsyncIterator[Model]:
        """Give every model as it is, then each one that changed, until the client is closed.

        Latest wins: of what changed several times while the reader was busy, the last.
        """
        waiting = dict(self.models)
        changed = asyncio.Event()

        def note(model: Model) -> None:
            waiting[model.id] = model
            changed.set()

        offs = (self.on("model", note), self.on("connection", lambda _: changed.set()))
        try:
            while self.connection.name != "closed":
                changed.clear()
                while waiting:
                    yield waiting.pop(next(iter(waiting)))
                await changed.wait()
        finally:
            for off in offs:
                off()

    async def logs(
        self, model: str, *, tail: int = 200, follow: bool = True
    ) -> AsyncIterator[LogLine]:
        """Give the last `tail` lines of a model server's log, then new ones if `follow`.

        Goes on over breaks of the connection without a line twice. Raises `SidestreamError`.
        """
        reading = LogReading(model, tail=tail, follow=follow)
        self._mirror.readings.add(reading)
        try:
            self._subscribe(reading)
            while (line := await reading.next_line()) is not None:
                yield line
        finally:
            self._mirror.readings.discard(reading)
            self._unsubscribe(reading)

    # --- being told -------------------------------------------------------------------------

    @overload
    def on(self, event: Literal["model"], listener: Callable[[Model], object]) -> Off: ...
    @overload
    def on(self, event: Literal["generation"], listener: Callable[[Generation], object]) -> Off: ...
    @overload
    def on(
        self, event: Literal["connection"], listener: Callable[[ConnectionState], object]
    ) -> Off: ...
    @overload
    def on(self, event: Literal["fault"], listener: Callable[[SidestreamError], object]) -> Off: ...
    def on(self, event: str, listener: Callable[[Any], object]) -> Off:
        """Have changed models, answers that are new here, the connection's states or faults told.

        A fault is an error that belongs to no command. Returns the function that ends it.
        """
        return self._mirror.emitter.listen(event, listener)

    # --- inside -----------------------------------------------------------------------------

    async def _change(self, command: str, model: str) -> Model:
        result = await self._submit(
            command, {"model": model}, on_result=lambda result: self._mirror.take(result["model"])
        )
        return Model.from_wire(result["model"])

    def _submit(
        self,
        command: str,
        fields: dict[str, Any],
        *,
        scope: Scope = "server",
        on_result: OnResult | None = None,
    ) -> asyncio.Future[dict[str, Any]]:
        if self.connection.name == "closed":
            raise not_connected(self.connection.reason)
        return self._connection.commands.submit(command, fields, scope=scope, on_result=on_result)

    def _send(self, command: str, fields: dict[str, Any], *, scope: Scope) -> None:
        """Send a command that nobody waits for."""
        self._submit(command, fields, scope=scope).add_done_callback(_retrieve)

    def _subscribe(self, reading: LogReading) -> None:
        def begin(result: dict[str, Any]) -> None:
            reading.begin(result["subscription"])
            if reading not in self._mirror.readings:  # meanwhile nobody reads any more
                self._unsubscribe(reading)

        def fail(answer: asyncio.Future[dict[str, Any]]) -> None:
            error = _retrieve(answer)
            if isinstance(error, SidestreamError):
                reading.fail(error)

        reading.subscription = None
        self._submit("logs", reading.command, on_result=begin).add_done_callback(fail)

    def _unsubscribe(self, reading: LogReading) -> None:
        if reading.subscription is not None and self.connection.name == "connected":
            self._send("unsubscribe", {"subscription": reading.subscription}, scope="socket")

    def _follow(self, state: ConnectionState) -> None:
        if state.name == "connected":
            for reading in self._mirror.readings:
                # One without a subscription has its command on the way, or sent again.
                if reading.subscription is not None and not reading.is_over:
                    self._subscribe(reading)


def _retrieve(answer: asyncio.Future[dict[str, Any]]) -> BaseException | None:
    return None if answer.cancelled() else answer.exception()
