"""One model's answer as it grows.

Rules:

1. `text` is the answer received so far, `reasoning` what the model thought, `tool_calls` its calls;
   `seq` counts the deltas of every kind and is the cursor for a resume.
2. A delta whose `seq` is already here is dropped, so that nothing is written twice.
3. Any number of readers read it, each from the beginning and at its own pace; deltas that arrive
   while a reader is busy are joined.
4. Nothing changes after the end.
"""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from itertools import groupby
from typing import Any, Literal, overload

from server.client.emitter import Emitter, Off
from server.client.messages import (
    Cost,
    FinishReason,
    GenerationState,
    Kind,
    Notice,
    Piece,
    Result,
    SidestreamError,
    Timings,
    Token,
    ToolCall,
    Usage,
)


class Generation:
    """An answer: iterate over it for streaming text, or wait for its `result()`.

    `pieces()` streams thinking and tool calls too.
    """

    def __init__(self, generation_id: str, model: str = "") -> None:
        self.id = generation_id
        self.model = model
        self.answer: str | None = None
        """The id of the stored answer in its conversation, if it is stored."""
        self.seq = 0
        self.state: GenerationState = "queued"
        self.position: int | None = None
        self.notice: Notice | None = None
        """Why no text comes yet, if more is known than the state."""
        self.prompt_tokens: int | None = None
        self.context_tokens: int | None = None
        """What prompt and answer have to fit into; both are None until they are known."""
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
        self._pieces: list[Piece] = []
        self._calls: dict[int, ToolCall] = {}
        self._changed = asyncio.Event()
        self._emitter = Emitter()

    @property
    def text(self) -> str:
        """Return the answer received so far, without thinking and tool calls."""
        return _joined(self._pieces, "answer")

    @property
    def reasoning(self) -> str:
        """Return what the model has thought so far; empty if it does not think."""
        return _joined(self._pieces, "reasoning")

    @property
    def tool_calls(self) -> list[ToolCall]:
        """Return the tool calls received so far; before the end, arguments may be incomplete."""
        return [
            dataclasses.replace(
                self._calls[index],
                arguments="".join(piece.text for piece in self._pieces if piece.call == index),
            )
            for index in sorted(self._calls)
        ]

    @property
    def is_live(self) -> bool:
        """Tell whether the answer has not ended."""
        return self.finish_reason is None

    async def __aiter__(self) -> AsyncIterator[str]:
        """Yield the answer's text as it streams; any number of readers may iterate.

        Begins with what is there already; thinking and tool calls are left out. Raises
        `SidestreamError` after the text if the answer failed or was interrupted. After a
        cancellation the iteration ends.
        """
        async for piece in self.pieces():
            if piece.kind == "answer":
                yield piece.text

    async def pieces(self) -> AsyncIterator[Piece]:
        """Yield everything as it streams, thinking and tool calls too, a piece of one kind each.

        Otherwise like iterating over the answer.
        """
        given = 0
        while True:
            if given < len(self._pieces):
                fresh = self._pieces[given:]
                given = len(self._pieces)
                for (kind, call), run in groupby(fresh, lambda piece: (piece.kind, piece.call)):
                    yield Piece("".join(piece.text for piece in run), kind, call)
            elif self.is_live:
                await self._changed.wait()
            else:
                self._check()
                return

    async def result(self) -> Result:
        """Wait for the end and return the whole answer; cancelling the wait does not cancel it.

        Raises `SidestreamError` if the answer failed or was interrupted.
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
            self.reasoning,
            self.tool_calls,
        )

    @overload
    def on(self, event: Literal["delta"], listener: Callable[[str], object]) -> Off: ...
    @overload
    def on(self, event: Literal["piece"], listener: Callable[[Piece], object]) -> Off: ...
    @overload
    def on(
        self, event: Literal["state", "end"], listener: Callable[["Generation"], object]
    ) -> Off: ...
    def on(self, event: str, listener: Callable[[Any], object]) -> Off:
        """Call `listener` with every delta's text, every change of state, or the end.

        `delta` is for the answer's text, `piece` for thinking and tool calls too.

        Returns a function that unsubscribes.
        """
        return self._emitter.listen(event, listener)

    # --- for the client ---------------------------------------------------------------------

    def receive(self, event: Mapping[str, Any]) -> None:
        """Take an event of this generation."""
        if not self.is_live:
            return
        if event["type"] == "state":
            lengths = event.get("prompt_tokens"), event.get("context_tokens")
            has_changed = lengths != (self.prompt_tokens, self.context_tokens)
            self.prompt_tokens, self.context_tokens = lengths
            notice = Notice.from_optional(event.get("notice"))
            self._enter(event["state"], event.get("position"), notice, has_changed=has_changed)
        elif event["type"] == "delta":
            self._append(event)
        else:
            error = event.get("error")
            self.usage = Usage.from_optional(event.get("usage")) or self.usage
            self.prompt_tokens = self.usage.prompt_tokens
            self.context_tokens = self.usage.context_tokens
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
        """End it on this side, with the text received so far."""
        if self.is_live:
            self._finish("interrupted", error)

    # --- inside -----------------------------------------------------------------------------

    def _check(self) -> None:
        """Raise the error if it failed or was interrupted."""
        if self.error is not None:
            raise self.error
        if self.finish_reason == "interrupted":
            raise SidestreamError("interrupted", "The server went away in the middle.")

    def _enter(
        self,
        state: GenerationState,
        position: int | None,
        notice: Notice | None = None,
        *,
        has_changed: bool = False,
    ) -> None:
        if has_changed or (state, position, notice) != (self.state, self.position, self.notice):
            self.state = state
            self.position = position
            self.notice = notice
            self._emitter.emit("state", self)

    def _append(self, delta: Mapping[str, Any]) -> None:
        if delta["seq"] <= self.seq:
            return
        self._enter("running", None)
        self.seq = delta["seq"]
        self.tokens += map(Token.from_wire, delta.get("tokens") or ())
        told = delta.get("call")
        if told is not None:
            self._note_call(told)
        piece = Piece(
            delta["text"], delta.get("kind", "answer"), None if told is None else told["index"]
        )
        if piece.text or told is not None:
            self._pieces.append(piece)
        self._emitter.emit("piece", piece)
        if piece.kind == "answer":
            self._emitter.emit("delta", piece.text)
        self._wake()

    def _note_call(self, told: Mapping[str, Any]) -> None:
        """Note which call a delta belongs to; its id or name may come with a later one."""
        index = told["index"]
        known = self._calls.get(index)
        self._calls[index] = ToolCall(
            index,
            (known and known.id) or told.get("id", ""),
            (known and known.name) or told.get("name", ""),
            "",
        )

    def _finish(self, reason: FinishReason, error: SidestreamError | None) -> None:
        self.finish_reason = reason
        self.position = self.notice = None
        self.error = error
        self._emitter.emit("end", self)
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _joined(pieces: Iterable[Piece], kind: Kind) -> str:
    return "".join(piece.text for piece in pieces if piece.kind == kind)
