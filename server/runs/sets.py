"""Prompt sets as they are given, kept and given out: files of lines, CSV and JSON Lines.

What is stored of a set is its JSON Lines, so that what is exported is what was asked. Rules:

1. Whatever a set's size, the event loop is held up by no more than copying it: small ones are read
   in a thread, large ones in processes of their own.
2. A set is stored whole once it was read, and otherwise not at all.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Final, Literal

import msgspec

from server.evaluation.files.building import Common, PromptLimits
from server.runs import set_program
from server.runs.set_program import Look, SetRequest, Show, Take, pieces
from server.runs.set_reading import (
    PIECE_BYTES,
    ExportForm,
    FileForm,
    GivenForm,
    PromptsGiven,
    ReadSet,
    SetGiven,
    SetLook,
    SetWhole,
    whole_of,
)
from server.runs.shapes import SetChange, SetSummary, SetVersions
from server.runs.single_use import SingleUseWorkers
from server.runs.store import Store

__all__ = [
    "ExportForm",
    "FileForm",
    "PromptsGiven",
    "SetGiven",
    "SetLibrary",
    "SetLook",
    "SetWhole",
]

FEW_BYTES: Final = 128 * 1024
"""So much is read in a thread, sooner than a process starts."""
_MOST_AT_ONCE: Final = 2
_NOTHING_COMMON: Final = Common()


class SetLibrary:
    """Take prompt sets in, and give them out."""

    def __init__(
        self,
        store: Store,
        limits: PromptLimits,
        commands: Callable[[], frozenset[str] | None] = lambda: None,
    ) -> None:
        self.limits = limits
        self._store = store
        self._commands = commands
        self._workers = SingleUseWorkers(
            set_program.__name__, about="the prompt set cannot be read"
        )
        self._places = asyncio.Semaphore(_MOST_AT_ONCE)

    async def close(self) -> None:
        """End the processes that read sets; what they read is not stored."""
        await self._workers.close()

    async def add(self, owner: str, given: SetGiven) -> SetSummary:
        """Store a new set; raises `InvalidPromptSet`, `RunLimit` or `StorageFailed`."""
        return await self.add_body(owner, msgspec.json.encode(given))

    async def add_body(self, owner: str, body: bytes) -> SetSummary:
        """Store a new set that is given as JSON; raises `InvalidCommand`, or what `add` does."""
        return await self._add(owner, body, "new set", _NOTHING_COMMON)

    async def add_file(self, owner: str, data: bytes, form: FileForm, common: Common) -> SetSummary:
        """Store a file as a new set; raises what `add` does."""
        return await self._add(owner, data, form, common)

    async def look(self, data: bytes, form: FileForm, common: Common) -> SetLook:
        """Read a file and keep nothing of it; raises `InvalidPromptSet`."""
        request = Look(form, common, self._limits_now())
        async with aclosing(self._pieces(request, data)) as found:
            return msgspec.json.decode(b"".join([piece async for piece in found]), type=SetLook)

    async def replace_by_body(self, owner: str, set_id: str, body: bytes) -> SetSummary:
        """Give a set other prompts, given as JSON, as a new version.

        Raises what `add_body` does, or `UnknownPromptSet`.
        """
        return await self._replace(owner, set_id, body, "prompts", _NOTHING_COMMON)

    async def replace_by_file(
        self, owner: str, set_id: str, data: bytes, form: FileForm, common: Common
    ) -> SetSummary:
        """Give a set the prompts of a file, as a new version.

        Raises what `add` does, or `UnknownPromptSet`.
        """
        return await self._replace(owner, set_id, data, form, common)

    async def whole(
        self, owner: str, set_id: str, version: str, count: int | None = None
    ) -> SetWhole:
        """Return a version of a set, the last if none is named, or `count` of its prompts.

        Raises `UnknownPromptSet`.
        """
        summary = await self._store.sets.get(owner, set_id)
        body = await self._store.sets.body(owner, set_id, version)
        return await asyncio.to_thread(whole_of, body, summary, version, count)

    async def versions(self, owner: str, set_id: str) -> SetVersions:
        """Return the versions of a set, the present one first; raises `UnknownPromptSet`."""
        return SetVersions(await self._store.sets.versions(owner, set_id))

    async def written(
        self,
        owner: str,
        set_id: str,
        version: str,
        form: Literal["json"] | ExportForm,
        count: int | None = None,
    ) -> AsyncGenerator[bytes]:
        """Yield a version of a set as JSON or as a file, in pieces; raises what `whole` does.

        As JSON it has `count` of its prompts, if that is named.
        """
        summary = await self._store.sets.get(owner, set_id)
        body = await self._store.sets.body(owner, set_id, version)
        data = await asyncio.to_thread(body.encode)
        async with aclosing(self._pieces(Show(form, summary, version, count), data)) as found:
            async for piece in found:
                yield piece

    async def summary(self, owner: str, set_id: str) -> SetSummary:
        """Return a set without its prompts; raises `UnknownPromptSet`."""
        return await self._store.sets.get(owner, set_id)

    async def browse(self, owner: str) -> list[SetSummary]:
        """Return the owner's sets, last changed first."""
        return await self._store.sets.browse(owner)

    async def change(self, owner: str, set_id: str, change: SetChange) -> SetSummary:
        """Rename a set or replace its tags; raises `UnknownPromptSet`."""
        return await self._store.sets.change(owner, set_id, change)

    async def remove(self, owner: str, set_id: str) -> None:
        """Delete a set; raises `UnknownPromptSet`."""
        await self._store.sets.remove(owner, set_id)

    def _limits_now(self) -> PromptLimits:
        """Return the limits with the commands that there are now: settings are read again."""
        return replace(self.limits, commands=self._commands())

    async def _add(self, owner: str, data: bytes, form: GivenForm, common: Common) -> SetSummary:
        read, body = await self._read(data, form, common)
        return await self._store.sets.add(
            owner, read.name, read.tags, read.version, body, read.prompts
        )

    async def _replace(
        self, owner: str, set_id: str, data: bytes, form: GivenForm, common: Common
    ) -> SetSummary:
        read, body = await self._read(data, form, common)
        return await self._store.sets.replace_prompts(
            owner, set_id, read.version, body, read.prompts
        )

    async def _read(self, data: bytes, form: GivenForm, common: Common) -> tuple[ReadSet, str]:
        request = Take(form, common, self._limits_now())
        async with aclosing(self._pieces(request, data)) as found:
            read = msgspec.json.decode(await anext(found), type=ReadSet)
            parts = [piece async for piece in found]
        return read, await asyncio.to_thread(_text, parts)

    async def _pieces(self, request: SetRequest, data: bytes) -> AsyncGenerator[bytes]:
        if len(data) <= FEW_BYTES:
            for piece in await asyncio.to_thread(lambda: list(pieces(request, data))):
                yield piece
            return
        async with self._places:
            asked = msgspec.json.encode(request)
            frames = self._workers.frames(asked, data, max_bytes=PIECE_BYTES)
            async with aclosing(frames):
                async for frame in frames:
                    yield frame


def _text(parts: Sequence[bytes]) -> str:
    return b"".join(parts).decode()
