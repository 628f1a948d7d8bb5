"""An archive on a file of the test's own, and answers that are written when the test says so."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from server.archive.archive import Archive, ArchiveLimits
from server.archive.places import Begun
from server.archive.shapes import Asked, Column, Conversation, Engine, Outline
from server.core.generation import Generation
from server.core.protocol import Keeping, Record, Target, TokenInfo

CEILING_SECONDS = 30

LIMITS = ArchiveLimits(
    conversations=100,
    conversation_chars=1 << 20,
    file_bytes=1 << 30,
    keep_seconds=0.0,
    deleted_seconds=60.0,
)


@dataclass
class Shelf:
    """An archive, its file, and the time it believes."""

    archive: Archive
    path: Path
    now: list[float] = field(default_factory=lambda: [1_000.0])

    async def begin(self, owner: str = "me", **outline: Any) -> str:
        """Begin a conversation with one column `a`; return its id."""
        words: dict[str, Any] = {"columns": [Column("a", "m")], **outline}
        return (await self.archive.create(owner, Outline(**words))).id

    async def ask(
        self,
        name: str,
        text: str = "Why?",
        *,
        turn: str = "t1",
        parent: str | None = None,
        owner: str = "me",
        keeps_tokens: bool = False,
    ) -> Generation:
        """Have an answer kept; return its log."""
        targets = [Target("m", column="a")]
        place = await self.archive.place(owner, Record(name, turn, parent), targets)
        self.archive.check(place)
        generation = Generation("g1", "m", now_ms=0, keeps_tokens=keeps_tokens)
        self.archive.begin(place, [Begun(generation, {"seed": 1}, [Asked("user", text)])])
        return generation

    async def told(self, name: str, text: str, answer: str, **words: Any) -> None:
        """Have a whole answer kept."""
        write(await self.ask(name, text, **words), answer, ends=True)
        await self.archive.recorder.flush()

    async def load(self, name: str, *, owner: str = "me") -> Conversation:
        """Return the whole conversation."""
        return await self.archive.load(owner, name, is_full=True)

    async def until(self, state: str) -> Keeping:
        """Return once storing works, or fails, as `state` says."""
        changed = asyncio.Event()
        unsubscribe = self.archive.recorder.subscribe(lambda _: changed.set())
        try:
            async with asyncio.timeout(CEILING_SECONDS):
                while self.archive.recorder.keeping.state != state:
                    changed.clear()
                    await changed.wait()
        finally:
            unsubscribe()
        return self.archive.recorder.keeping

    def rows(self, sql: str) -> Sequence[Any]:
        """Look into the file from outside."""
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


def describe(model_id: str) -> Engine:
    """Say what answers."""
    return Engine("llama.cpp", "process", "hub/m", "1", "abc", "", "pypi:m")


@asynccontextmanager
async def shelf(path: Path, **limits: Any) -> AsyncIterator[Shelf]:
    """Open an archive on a file."""
    now = [1_000.0]
    archive = await Archive.open(path, replace(LIMITS, **limits), describe, clock=lambda: now[0])
    try:
        yield Shelf(archive, path, now)
    finally:
        await archive.close()
