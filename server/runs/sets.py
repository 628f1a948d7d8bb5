"""Prompt sets as they are given, kept and written: files of lines, CSV and JSON Lines.

What is stored of a set is its JSON Lines, so that what is exported is what was asked.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated, Any, Final, Literal

import msgspec

from server.core.content import text_of
from server.evaluation.checks.reading import as_data
from server.evaluation.files.building import Common, PromptLimits
from server.evaluation.files.decoding import decode
from server.evaluation.files.reading import PromptFile, read_prompts, read_written
from server.evaluation.files.writing import write_csv, write_json_lines
from server.evaluation.problems import Problem, invalid
from server.evaluation.prompt_set import PromptSet, prompt_data
from server.runs.exported_runs import prompts_of_export
from server.runs.exports import FORMAT
from server.runs.shapes import PREVIEW_CHARS, Name, SetChange, SetSummary, SetVersions, Tags
from server.runs.store import Store

FileForm = Literal["auto", "lines", "csv", "jsonl"]
ExportForm = Literal["csv", "jsonl"]

_NAME_CHARS: Final = 60
# Of a file that is looked at.
_FIRST: Final = 5
# Longer than anybody writes: what is long stands in the prompts.
_Text = Annotated[str, msgspec.Meta(max_length=100_000)]


class PromptsGiven(msgspec.Struct, frozen=True):
    """What a set has in it.

    A prompt is a text, or an object: variables for the `template` by their names, or a dialogue in
    `messages`; and `expected`, `system`, `checks` and `tags`, each where there is one. `system` and
    `checks` of the set are for all of them.
    """

    prompts: list[str | dict[str, Any]]
    template: _Text | None = None
    system: _Text | None = None
    checks: list[dict[str, Any]] | None = None


class SetGiven(PromptsGiven, frozen=True, kw_only=True):
    """A new prompt set."""

    name: Name = ""
    tags: Tags = []


class SetWhole(SetSummary, frozen=True, kw_only=True):
    """A prompt set with a version of its prompts, each with what it has."""

    template: str
    system: str
    checks: list[dict[str, Any]]
    items: list[dict[str, Any]]


class SetLook(msgspec.Struct, frozen=True):
    """A file as it would be kept: how many prompts it has, and what the first ones ask.

    An `encoding` may have been guessed wrong, so it is told; `delimiter` is that of a table.
    """

    version: str
    prompts: int
    first: list[str]
    checks: int
    encoding: str
    delimiter: str | None


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

    async def add(self, owner: str, given: SetGiven) -> SetSummary:
        """Store a new set; raises `InvalidPromptSet`, `RunLimit` or `StorageFailed`."""
        read = await asyncio.to_thread(_read_given, given, self._limits_now())
        return await self._add(owner, given.name or _name_of(read), given.tags, read)

    async def add_file(self, owner: str, data: bytes, form: FileForm, common: Common) -> SetSummary:
        """Store a file as a new set; raises what `add` does."""
        read = (
            await asyncio.to_thread(_read_file, data, form, common, self._limits_now())
        ).prompt_set
        return await self._add(owner, read.name or _name_of(read), [], read)

    async def look(self, data: bytes, form: FileForm, common: Common) -> SetLook:
        """Read a file and keep nothing of it; raises `InvalidPromptSet`."""
        return await asyncio.to_thread(_look, data, form, common, self._limits_now())

    async def replace(self, owner: str, set_id: str, given: PromptsGiven) -> SetSummary:
        """Give a set other prompts, as a new version.

        Raises what `add` does, or `UnknownPromptSet`.
        """
        read = await asyncio.to_thread(_read_given, given, self._limits_now())
        return await self._replace(owner, set_id, read)

    async def replace_by_file(
        self, owner: str, set_id: str, data: bytes, form: FileForm, common: Common
    ) -> SetSummary:
        """Give a set the prompts of a file, as a new version; raises what `replace` does."""
        read = (
            await asyncio.to_thread(_read_file, data, form, common, self._limits_now())
        ).prompt_set
        return await self._replace(owner, set_id, read)

    async def whole(
        self, owner: str, set_id: str, version: str, count: int | None = None
    ) -> SetWhole:
        """Return a version of a set, the last if none is named, or `count` of its prompts.

        Raises `UnknownPromptSet`.
        """
        summary = await self._store.set_of(owner, set_id)
        read = await self._read(owner, set_id, version)
        return SetWhole(
            **{
                **msgspec.structs.asdict(summary),
                "version": version or summary.version,
                "prompts": len(read.prompts),
            },
            template=read.template,
            system=read.system,
            checks=[as_data(check) for check in read.checks],
            items=[prompt_data(prompt) for prompt in read.prompts[:count]],
        )

    async def versions(self, owner: str, set_id: str) -> SetVersions:
        """Return the versions of a set, the present one first; raises `UnknownPromptSet`."""
        return SetVersions(await self._store.versions(owner, set_id))

    async def export(self, owner: str, set_id: str, version: str, form: ExportForm) -> bytes:
        """Return a version of a set as a file; raises `UnknownPromptSet`."""
        read = await self._read(owner, set_id, version)
        return await asyncio.to_thread(write_csv if form == "csv" else write_json_lines, read)

    async def browse(self, owner: str) -> list[SetSummary]:
        """Return the owner's sets, last changed first."""
        return await self._store.sets(owner)

    async def change(self, owner: str, set_id: str, change: SetChange) -> SetSummary:
        """Rename a set or replace its tags; raises `UnknownPromptSet`."""
        return await self._store.change_set(owner, set_id, change)

    async def remove(self, owner: str, set_id: str) -> None:
        """Delete a set; raises `UnknownPromptSet`."""
        await self._store.remove_set(owner, set_id)

    def _limits_now(self) -> PromptLimits:
        """Return the limits with the commands that there are now: settings are read again."""
        return replace(self.limits, commands=self._commands())

    async def _read(self, owner: str, set_id: str, version: str) -> PromptSet:
        body = await self._store.body(owner, set_id, version)
        return await asyncio.to_thread(read_written, body)

    async def _add(self, owner: str, name: str, tags: Sequence[str], read: PromptSet) -> SetSummary:
        body = await asyncio.to_thread(_body, read)
        return await self._store.add_set(owner, name, tags, read.version, body, len(read.prompts))

    async def _replace(self, owner: str, set_id: str, read: PromptSet) -> SetSummary:
        body = await asyncio.to_thread(_body, read)
        return await self._store.replace_prompts(
            owner, set_id, read.version, body, len(read.prompts)
        )


def _body(read: PromptSet) -> str:
    # Without the name, which may change while the version stays.
    return write_json_lines(replace(read, name="")).decode()


def _name_of(read: PromptSet) -> str:
    """Return a name for a set that has none: how its first prompt begins."""
    said = text_of(read.messages_of(read.prompts[0])[-1].content)
    return " ".join(said.split())[:_NAME_CHARS]


def _look(data: bytes, form: FileForm, common: Common, limits: PromptLimits) -> SetLook:
    found = _read_file(data, form, common, limits)
    read = found.prompt_set
    said = (read.messages_of(one)[-1].content for one in read.prompts[:_FIRST])
    return SetLook(
        read.version,
        len(read.prompts),
        [text_of(one)[:PREVIEW_CHARS] for one in said],
        len(read.checks) + sum(len(one.checks) for one in read.prompts),
        found.encoding,
        found.delimiter,
    )


def _read_given(given: PromptsGiven, limits: PromptLimits) -> PromptSet:
    if not given.prompts:
        raise invalid([Problem("there are no prompts")])
    rows = ({"prompt": one} if isinstance(one, str) else one for one in given.prompts)
    common = Common(template=given.template, system=given.system, checks=given.checks)
    return _read_rows([json.dumps(row) for row in rows], common, limits).prompt_set


def _read_file(data: bytes, form: FileForm, common: Common, limits: PromptLimits) -> PromptFile:
    if form == "lines":
        text, encoding = decode(data)
        # A blank line stays one, so that problems are told with the lines of the file.
        lines = (line.removesuffix("\r") for line in text.split("\n"))
        rows = [json.dumps({"prompt": line}) if line.strip() else "" for line in lines]
        return replace(_read_rows(rows, common, limits), encoding=encoding)
    if form != "csv" and (prompts := _of_run(data, limits)) is not None:
        data, form = prompts.encode(), "jsonl"
        limits = replace(limits, max_bytes=max(limits.max_bytes, len(data)))
    return read_prompts(data, form=None if form == "auto" else form, common=common, limits=limits)


def _of_run(data: bytes, limits: PromptLimits) -> str | None:
    """Return the prompts of a file that is an exported run, None if it is none."""
    is_one = FORMAT.encode() in data.partition(b"\n")[0] and len(data) <= limits.max_bytes
    return prompts_of_export(decode(data)[0]) if is_one else None


def _read_rows(rows: Sequence[str], common: Common, limits: PromptLimits) -> PromptFile:
    # JSON writes a character in six bytes at most.
    room = replace(limits, max_bytes=limits.max_bytes * 6)
    data = "\n".join(rows).encode()
    return read_prompts(data, form="jsonl", common=common, limits=room)
