"""One model's answer as it grows.

Rules:

1. `text` is everything received; `seq` counts the deltas in it and is the cursor for a resume.
2. A delta up to a seq that is already here is dropped: nothing can be written twice.
3. Any number of readers follow it, each from the beginning and at its own pace; what piled up
   while one was busy it gets joined.
4. After the end nothing changes any more.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Literal, overload

from server.client.emitter import Emitter, Off
from server.client.messages import (
    Cost,
    FinishReason,
    GenerationState,
    Notice,
    Result,
    SidestreamError,
    Timings,
    Token,
    Usage,
)


class Generation:
    """An answer: iterate over it for its text as it comes, or wait for its `result()`."""

    def __init__(self, generation_id: str, model: str = "") -> None:
        self.id = generation_id
        self.model = model
        self.answer: str | None = None
        """The id under which it is kept in its conversation, if it is."""
        self.seq = 0
        self.state: GenerationState = "queued"
        self.position: int | None = None
        self.notice: Notice | None = None
        """Why no text comes yet, if there is more to say than the state."""
        self.finish_reason: FinishReason | None = None
        self.error: SidestreamError | None = None
        self.usage = Usage()
        self.timings = Timings()
        self.tokens: list[Token] = []
        self.cached = False
        self.notices: list[Notice] = []
        self.details: Mapping[str, Any] = {}
        self.answered_by = ""
        self.cost: Cost | None = None
        self._texts: list[str] = []
        self._changed = asyncio.Event()
        self._emitter = Emitter()

    @property
    def text(self) -> str:
        """Return everything received so far."""
        return "".join(self._texts)

    @property
    def is_live(self) -> bool:
        """Tell whether the answer goes on."""
        return self.finish_reason is None

    async def __aiter__(self) -> AsyncIterator[str]:
        """Give the text as it comes, from its beginning; several may read at once.

        Raises `SidestreamError` after the text when the answer failed or was interrupted. One
        that was cancelled simply ends.
        """
        given = 0
        while True:
            if given < len(self._texts):
                text = "".join(self._texts[given:])
                given = len(self._texts)
                yield text
            elif self.is_live:
                await self._changed.wait()
            else:
                self._check()
                return

    async def result(self) -> Result:
        """Wait for the end and return the whole answer; cancelling the wait cancels nothing else.

        Raises `SidestreamError` when the answer failed or was interrupted.
        """
        while self.finish_reason is None:
            await self._changed.wait()
        self._check()
        return Result(
            self.text,
            self.finish_reason,
            self.usage,
            self.timings,
            self.tokens,
            self.cached,
            self.notices,
            self.details,
            self.answered_by,
            self.cost,
        )

    @overload
    def on(self, event: Literal["delta"], listener: Callable[[str], object]) -> Off: ...
    @overload
    def on(
        self, event: Literal["state", "end"], listener: Callable[["Generation"], object]
    ) -> Off: ...
    def on(self, event: str, listener: Callable[[Any], object]) -> Off:
        """Have every new piece of text, every change of state, or the end told.

        Returns the function that ends it.
        """
        return self._emitter.listen(event, listener)

    # --- what the client does ---------------------------------------------------------------

    def receive(self, event: Mapping[str, Any]) -> None:
        """Take an event of this generation from the server."""
        if not self.is_live:
            return
        if event["type"] == "state":
            self._enter(
                event["state"], event.get("position"), Notice.from_optional(event.get("notice"))
            )
        elif event["type"] == "delta":
            self._append(event["seq"], event["text"], event.get("tokens") or [])
        else:
            error = event.get("error")
            self.usage = Usage.from_optional(event.get("usage")) or self.usage
            self.timings = Timings.from_optional(event.get("timings")) or self.timings
            self.cached = event.get("cached", False)
            self.notices = [Notice.from_wire(one) for one in event.get("notices") or ()]
            self.details = event.get("details") or {}
            self.answered_by = event.get("answered_by") or ""
            self.cost = Cost.from_optional(event.get("cost"))
            self._finish(
                event["finish_reason"], None if error is None else SidestreamError.from_wire(error)
            )

    def interrupt(self, error: SidestreamError) -> None:
        """End it from this side, keeping what was received."""
        if self.is_live:
            self._finish("interrupted", error)

    # --- inside -----------------------------------------------------------------------------

    def _check(self) -> None:
        """Raise what kept it from coming to its own end."""
        if self.error is not None:
            raise self.error
        if self.finish_reason == "interrupted":
            raise SidestreamError("interrupted", "The server went away in the middle.")

    def _enter(
        self, state: GenerationState, position: int | None, notice: Notice | None = None
    ) -> None:
        if (state, position, notice) != (self.state, self.position, self.notice):
            self.state = state
            self.position = position
            self.notice = notice
            self._emitter.emit("state", self)

    def _append(self, seq: int, text: str, tokens: list[dict[str, Any]]) -> None:
        if seq <= self.seq:
            return
        self._enter("running", None)
        self.seq = seq
        self.tokens += map(Token.from_wire, tokens)
        if text:
            self._texts.append(text)
        self._emitter.emit("delta", text)
        self._wake()

    def _finish(self, reason: FinishReason, error: SidestreamError | None) -> None:
        self.finish_reason = reason
        self.position = self.notice = None
        self.error = error
        self._emitter.emit("end", self)
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
