"""An archive on a temporary file, and answers whose text the test writes."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from server.archive.archive import Archive, ArchiveLimits
from server.archive.shapes import Asked, Column, Conversation, Outline, StoredEngine
from server.archive.slots import StartedAnswer
from server.core.attachments import AttachmentLimits
from server.core.deltas import Label
from server.core.generation import Generation
from server.core.protocol import Record, StorageStatus, Target, TokenInfo, ToolCall

CEILING_SECONDS = 30

LIMITS = ArchiveLimits(
    conversations=100,
    conversation_chars=1 << 20,
    file_bytes=1 << 30,
    keep_seconds=0.0,
    deleted_seconds=60.0,
    attachments=AttachmentLimits(
        bytes=1 << 20,
        pixels=1_000_000,
        text_bytes=1 << 16,
        prompt_bytes=1 << 20,
        owner_bytes=1 << 21,
        owner_files=10,
        unused_seconds=100.0,
    ),
)


@dataclass
class StoredConversations:
    """An archive, its file, and the time of its clock."""

    archive: Archive
    path: Path
    now: list[float] = field(default_factory=lambda: [1_000.0])

    async def begin(self, owner: str = "me", **outline: Any) -> str:
        """Create a conversation with one column `a`; return its id."""
        words: dict[str, Any] = {"columns": [Column("a", "m")], **outline}
        return (await self.archive.create(owner, Outline(**words))).id

    async def ask(
        self,
        name: str,
        text: str = "Why?",
        *,
        turn: str = "t1",
        parent: str | None = None,
        history: str | None = None,
        continues: str | None = None,
        owner: str = "me",
        keeps_tokens: bool = False,
        asked: Sequence[Asked] = (),
        model: str = "m",
        column: str = "a",
    ) -> Generation:
        """Begin an answer to `text`, or to the messages `asked`, that is stored; return its log."""
        targets = [Target(model, column=column, continues=continues)]
        slot = await self.archive.find_slot(owner, Record(name, turn, parent, history), targets)
        self.archive.check_slot(slot)
        generation = Generation("g1", model, now_ms=0, keeps_tokens=keeps_tokens)
        messages = asked or [Asked("user", text)]
        self.archive.record(slot, [StartedAnswer(generation, {"seed": 1}, messages, [])])
        return generation

    async def told(
        self, name: str, text: str, answer: str, *, reasoning: str = "", **words: Any
    ) -> None:
        """Store a whole answer, `reasoning` before it."""
        log = await self.ask(name, text, **words)
        think(log, reasoning)
        write(log, answer, ends=True)
        await self.archive.recorder.flush()

    async def load(self, name: str, *, owner: str = "me") -> Conversation:
        """Return the whole conversation."""
        return await self.archive.load(owner, name, is_full=True)

    async def until(self, state: str) -> StorageStatus:
        """Return once storing works, or fails, as `state` says."""
        changed = asyncio.Event()
        unsubscribe = self.archive.recorder.subscribe(lambda _: changed.set())
        try:
            async with asyncio.timeout(CEILING_SECONDS):
                while self.archive.recorder.status.state != state:
                    changed.clear()
                    await changed.wait()
        finally:
            unsubscribe()
        return self.archive.recorder.status

    def rows(self, sql: str) -> Sequence[Any]:
        """Query the file as another program would."""
        with sqlite3.connect(self.path) as other:
            found = other.execute(sql).fetchall()
        other.close()
        return found


def write(generation: Generation, text: str, *, ends: bool = False, **end: Any) -> None:
    """Write words into a log, each with its token; `end` is what its end says."""
    if generation.state != "running":
        generation.move_to("running", now_ms=1)
    words = [word + " " for word in text.split()]
    tokens = [TokenInfo(7, word, -0.5, special=False) for word in words]
    if words:
        generation.append(words, tokens, now_ms=2)
    if ends:
        generation.end("stop", now_ms=3, **end)


def think(generation: Generation, text: str, *, closes: bool = True) -> None:
    """Write what a model thinks into a log, between marks, as a relay does."""
    if text:
        before = generation.reasoning_count
        label = Label("reasoning")
        _append(generation, [] if before else ["<think>\n"], Label("reasoning", is_mark=True))
        _append(generation, [word + " " for word in text.split()], label)
        _append(generation, ["\n</think>\n\n"] if closes else [], Label("reasoning", is_mark=True))


def call(generation: Generation, tool: ToolCall, *arguments: str, closes: bool = True) -> None:
    """Write a call of a tool into a log, piece by piece."""
    mark = Label("tool_call", is_mark=True, call=tool)
    _append(generation, ["<tool_call>"], mark)
    _append(generation, list(arguments), Label("tool_call", call=tool))
    _append(generation, ["</tool_call>"] if closes else [], mark)


def _append(generation: Generation, texts: list[str], label: Label) -> None:
    if generation.state != "running":
        generation.move_to("running", now_ms=1)
    if texts:
        tokens = [
            TokenInfo(-1, text, None, False, None, label.kind, label.is_mark, label.call)
            for text in texts
        ]
        generation.append(texts, tokens, now_ms=2, label=label)


def describe(model_id: str) -> StoredEngine:
    """Return the engine of every model."""
    return StoredEngine("llama.cpp", "process", "hub/m", "1", "abc", "", "pypi:m")


@asynccontextmanager
async def stored_conversations(path: Path, **limits: Any) -> AsyncIterator[StoredConversations]:
    """Open an archive on a file."""
    now = [1_000.0]
    archive = await Archive.open(path, replace(LIMITS, **limits), describe, clock=lambda: now[0])
    try:
        yield StoredConversations(archive, path, now)
    finally:
        await archive.close()
