"""A client of Sidestream: commands to await, models and answers as live objects.

`SessionState` holds what the server has told, `Connection` reaches the server; this module is the
API for programs.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from os import PathLike
from typing import Any, Literal, Self, overload

from server.client.attachments import Attachment, put, with_parts
from server.client.commands import OnResult, Scope
from server.client.connection import Connection, ConnectionState, Rhythm, not_connected
from server.client.emitter import Off
from server.client.generation import Generation
from server.client.logs import LogReading
from server.client.messages import (
    KINDS,
    Kind,
    LogLine,
    Messages,
    Model,
    SidestreamError,
    Target,
    generate_fields,
)
from server.client.prompts import RunAnswer, follow_prompt
from server.client.runs import Run, RunReading
from server.client.session_state import SessionState


def connect(
    url: str,
    *,
    session: str | None = None,
    headers: Mapping[str, str] | None = None,
    rhythm: Rhythm | None = None,
    kinds: Collection[Kind] = KINDS,
) -> "Client":
    """Return a client that is connected for as long as its `async with` block lasts.

    `url` is `ws://HOST:PORT/ws`; `session` is the id of an earlier session to resume. Entering
    raises `SidestreamError` (`connection_closed`) if the server cannot be reached; a connection
    that breaks later is retried for about ten minutes. What is not among `kinds` is part of the
    answer's text, between marks such as `<think>`.
    """
    return Client(url, session=session, headers=headers, rhythm=rhythm or Rhythm(), kinds=kinds)


class Client:
    """A session with one server, over any number of connections."""

    def __init__(
        self,
        url: str,
        *,
        session: str | None,
        headers: Mapping[str, str] | None,
        rhythm: Rhythm,
        kinds: Collection[Kind],
    ) -> None:
        self._url = url
        self._headers = headers
        self._rhythm = rhythm
        self._session = SessionState(
            session, kinds, lambda fields: self._submit("follow_runs", fields)
        )
        self._connection = Connection(url, self._session, rhythm=rhythm, headers=headers)
        self._running: asyncio.Task[None] | None = None
        self.on("connection", self._follow)

    @property
    def connection(self) -> ConnectionState:
        """Return the state of the connection."""
        return self._connection.state

    @property
    def session(self) -> str | None:
        """Return the session's id, with which another client can resume it."""
        return self._session.session

    @property
    def server(self) -> Mapping[str, str]:
        """Return the server's name and version."""
        return self._session.server

    @property
    def models(self) -> Mapping[str, Model]:
        """Return the current models, in the server's order."""
        return self._session.models

    @property
    def generations(self) -> Mapping[str, Generation]:
        """Return the session's live answers, including those requested over other sockets."""
        return self._session.generations

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
        """Close. Unanswered commands fail, live answers end as `interrupted`."""
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
        tools: Sequence[Mapping[str, Any]] | None = None,
        tool_choice: str | Mapping[str, Any] | None = None,
        response_format: Mapping[str, Any] | None = None,
        details: bool = False,
        fresh: bool = False,
        trim: Literal["oldest_turns"] | None = None,
        request_id: str | None = None,
        attachments: Iterable[Attachment] = (),
        record: Mapping[str, str | None] | None = None,
    ) -> list[Generation]:
        """Ask every target; return the answers in the order of `targets`.

        `question` is a user's message, with `attachments` if there are any, or a list of messages;
        `prompt` is raw text to be continued instead. `tools`, `tool_choice` and `response_format`
        are as in OpenAI's API. `details` requests `tokens`; `fresh` bypasses the cache; `trim`
        leaves out the oldest turns of a conversation that a model's context cannot hold, which
        `notices` say; `record` stores the answers in a conversation. Raises `SidestreamError` with
        the server's code, and then nothing has started. Cancelling the call cancels the answers.
        """
        if shown := list(attachments):
            if not (question is None or isinstance(question, str)):
                raise ValueError("messages name their attachments themselves: see Attachment.part")
            question = with_parts(question, shown)
        fields = generate_fields(targets, question, prompt, parameters)
        beside = {
            "tools": tools,
            "tool_choice": tool_choice,
            "response_format": response_format,
        }
        fields |= {name: value for name, value in beside.items() if value is not None}
        fields["request_id"] = request_id or secrets.token_hex(16)
        if details:
            fields["details"] = True
        if fresh:
            fields["fresh"] = True
        if trim is not None:
            fields["trim"] = trim
        if record is not None:
            fields["record"] = dict(record)
        generations: list[Generation] = []

        def begin(result: dict[str, Any]) -> None:
            for target, generation_id in zip(fields["targets"], result["generations"], strict=True):
                generations.append(self._session.generation(generation_id, target["model"]))
            for generation, kept in zip(generations, result.get("answers") or (), strict=False):
                generation.answer = kept
            if answer.cancelled():
                self._send("cancel", {"generations": result["generations"]}, scope="session")

        answer = self._submit("generate", fields, on_result=begin)
        await answer
        return generations

    async def attach(self, file: bytes | str | PathLike[str], *, name: str = "") -> Attachment:
        """Put a picture or a text file, by its bytes or its path, for questions to name.

        Raises `SidestreamError` if the server does not take it, `OSError` for a path that cannot be
        read.
        """
        return await put(self._url, file, name, self._headers)

    async def cancel(self, generations: Iterable[Generation] | None = None) -> None:
        """Cancel these answers, all live ones of the session if None; their ends follow."""
        fields: dict[str, Any] = {}
        if generations is not None:
            # The id of an ended answer may belong to another one of a newer session.
            fields["generations"] = [one.id for one in generations if one.is_live]
            if not fields["generations"]:
                return
        await self._submit("cancel", fields, scope="session")

    async def start(self, model: str) -> Model:
        """Start a model and return its current state; `changes()` gives its progress."""
        return await self._change("start", model)

    async def stop(self, model: str) -> Model:
        """Stop a model and return its current state; `changes()` gives its progress."""
        return await self._change("stop", model)

    async def restart(self, model: str) -> Model:
        """Restart a model's servers one after the other, and return its current state."""
        return await self._change("restart", model)

    async def use(self, server: str) -> None:
        """Use a server that was discovered on the gateway's machine, by its name; for operators."""
        await self._submit("use", {"server": server})

    async def ping(self) -> None:
        """Return when the server has answered."""
        await self._submit("ping", {})

    async def changes(self) -> AsyncIterator[Model]:
        """Yield every model, then each model that changes, until the client is closed.

        Latest wins: several changes while the reader is busy are given once.
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
        """Yield the last `tail` lines of a model server's log, then new ones if `follow`.

        Resumes after a reconnect without repeating lines. Raises `SidestreamError`.
        """
        reading = LogReading(model, tail=tail, follow=follow)
        self._session.readings.add(reading)
        try:
            self._subscribe(reading)
            while (line := await reading.next_line()) is not None:
                yield line
        finally:
            self._session.readings.discard(reading)
            self._unsubscribe(reading)

    async def follow_runs(self, *runs: str) -> AsyncIterator[Run]:
        """Yield these runs, by id, as they are now and after changes; all of one's own if none.

        Latest wins: several changes of a run while the reader is busy are given once. Goes on over
        reconnects, and when a run is over, which may be continued; a run that is deleted comes once
        more with the state `removed`, and ends the iteration if it was the last one named. Raises
        `SidestreamError`: `unknown_run`, `runs_off`, or `connection_closed` when the client closes.
        """
        reading = RunReading(runs)
        self._session.runs.add(reading)
        try:
            while (run := await reading.next_run()) is not None:
                yield run
        finally:
            self._session.runs.discard(reading)

    def follow_prompt(self, run: str, prompt: int) -> AsyncIterator[RunAnswer]:
        """Yield the answers to one prompt of a run, from 0, as they are now and after changes.

        Text is told while it is written; an answer that is asked again begins anew. Goes on over
        reconnects, also while the server cannot read its file (`storage_failed`), and ends once all
        answers are complete, or the run is over or paused. Raises `SidestreamError`: `unknown_run`,
        `runs_off`, or `connection_closed` when it cannot be followed for long.
        """
        return follow_prompt(self._url, run, prompt, self._headers, self._rhythm)

    # --- events -----------------------------------------------------------------------------

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
        """Call `listener` with changed models, new answers, states of the connection, or faults.

        A fault is an error that belongs to no command. Returns a function that unsubscribes.
        """
        return self._session.emitter.listen(event, listener)

    # --- inside -----------------------------------------------------------------------------

    async def _change(self, command: str, model: str) -> Model:
        result = await self._submit(
            command, {"model": model}, on_result=lambda result: self._session.take(result["model"])
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
            if reading not in self._session.readings:  # the reader has left meanwhile
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
            for reading in self._session.readings:
                # Without a subscription its command is still pending, and is sent again.
                if reading.subscription is not None and not reading.is_over:
                    self._subscribe(reading)


def _retrieve(answer: asyncio.Future[dict[str, Any]]) -> BaseException | None:
    return None if answer.cancelled() else answer.exception()
