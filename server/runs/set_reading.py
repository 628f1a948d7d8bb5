"""Read prompt sets out of what is given, and write them out of what is stored.

Nothing here knows the event loop: it is done in a thread for little, and in a process of its own
(`set_program.py`) for much.
"""

import codecs
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Any, Final, Literal

import msgspec

from server.core.content import text_of
from server.core.json_bodies import decode_body
from server.evaluation.checks.reading import as_data
from server.evaluation.files.building import Common, PromptLimits
from server.evaluation.files.decoding import decode
from server.evaluation.files.detection import Form
from server.evaluation.files.reading import PromptFile, read_prompts, read_written
from server.evaluation.files.writing import write_csv, write_json_lines
from server.evaluation.problems import Problem, invalid
from server.evaluation.prompt_set import PROMPT_COLUMN, PromptSet, prompt_data
from server.runs.exported_runs import FORMAT, TABLE_COLUMNS, prompts_of_export
from server.runs.shapes import PREVIEW_CHARS, Name, SetSummary, Tags

FileForm = Literal["auto", "lines", "csv", "jsonl"]
ExportForm = Literal["csv", "jsonl"]
GivenForm = FileForm | Literal["new set", "prompts"]
"""What a file is, or that it is the JSON of a `SetGiven` or `PromptsGiven`."""

PIECE_BYTES: Final = 64 * 1024
_NAME_CHARS: Final = 60
# Of a file that is looked at.
_FIRST: Final = 5
# How a run's table begins, also as a spreadsheet writes it.
_RUN_TABLE: Final = re.compile(
    rb"[,;\t|]".join(b'"?%s"?' % name.encode() for name in TABLE_COLUMNS[:6])
)
_IS_RUN_TABLE: Final = (
    "this table is an exported run, in which prompts are numbered and their texts are cut: export"
    " the run as JSON Lines, which can be read again, or export its prompt set"
)
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
    """A prompt set with a version of its prompts, each with what it has.

    `own_checks` counts the checks that prompts have beside `checks`, which are for all; `expected`
    counts the prompts with an answer that is hoped for. Both are of all prompts.
    """

    template: str
    system: str
    checks: list[dict[str, Any]]
    items: list[dict[str, Any]]
    own_checks: int
    expected: int


class SetLook(msgspec.Struct, frozen=True):
    """A file as it would be kept: how many prompts it has, and what the first ones ask.

    `form` is what it was taken for. An `encoding` may have been guessed wrong, so it is told;
    `delimiter` is that of a table. Without `checks` nothing passes or fails, also where prompts
    have an `expected` answer, which `expected` counts.
    """

    version: str
    prompts: int
    first: list[str]
    checks: int
    encoding: str
    delimiter: str | None
    form: Form
    expected: int


class ReadSet(msgspec.Struct, frozen=True):
    """What is stored of a set that was given; its `body` comes beside it."""

    name: str
    tags: Tags
    version: str
    prompts: int


def read_given(
    data: bytes, form: GivenForm, common: Common, limits: PromptLimits
) -> tuple[ReadSet, bytes]:
    """Read what was given, and return it with its JSON Lines.

    Takes some seconds for the largest. Raises `InvalidPromptSet`, or `InvalidCommand` where JSON is
    not of its shape.
    """
    if form == "new set":
        given = decode_body(data, SetGiven)
        return as_read(read_prompts_given(given, limits), given.name, given.tags)
    if form == "prompts":
        return as_read(read_prompts_given(decode_body(data, PromptsGiven), limits))
    return as_read(read_file(data, form, common, limits).prompt_set)


def look_at(data: bytes, form: FileForm, common: Common, limits: PromptLimits) -> SetLook:
    """Read a file, and tell what it has in it; raises `InvalidPromptSet`."""
    found = read_file(data, form, common, limits)
    read = found.prompt_set
    said = (read.messages_of(one)[-1].content for one in read.prompts[:_FIRST])
    return SetLook(
        read.version,
        len(read.prompts),
        [text_of(one)[:PREVIEW_CHARS] for one in said],
        len(read.checks) + _own_checks(read),
        found.encoding,
        found.delimiter,
        found.form,
        _expected(read),
    )


def _own_checks(read: PromptSet) -> int:
    return sum(len(one.checks) for one in read.prompts)


def _expected(read: PromptSet) -> int:
    return sum(bool(one.expected) for one in read.prompts)


def as_read(read: PromptSet, name: str = "", tags: Sequence[str] = ()) -> tuple[ReadSet, bytes]:
    """Return what is stored of a set."""
    name = name or read.name or _name_of(read)
    # Without the name, which may change while the version stays.
    body = write_json_lines(replace(read, name=""))
    return ReadSet(name, list(tags), read.version, len(read.prompts)), body


def read_prompts_given(given: PromptsGiven, limits: PromptLimits) -> PromptSet:
    """Read prompts that are given as JSON; raises `InvalidPromptSet`."""
    if not given.prompts:
        raise invalid([Problem("there are no prompts")])
    # One more than there may be, which is told: what stands behind it need not be looked at.
    taken = given.prompts[: limits.max_prompts + 1]
    rows = ({"prompt": one} if isinstance(one, str) else one for one in taken)
    common = Common(template=given.template, system=given.system, checks=given.checks)
    return _read_rows([json.dumps(row) for row in rows], common, limits).prompt_set


def read_file(data: bytes, form: FileForm, common: Common, limits: PromptLimits) -> PromptFile:
    """Read a file of prompts, or those of an exported run; raises `InvalidPromptSet`."""
    if form in ("auto", "csv") and _is_run_table(data) and not _names_another(common):
        raise invalid([Problem(_IS_RUN_TABLE, 1)])
    if form in ("auto", "jsonl") and (prompts := _of_run(data, limits)) is not None:
        data, form = prompts.encode(), "jsonl"
        limits = replace(limits, max_bytes=max(limits.max_bytes, len(data)))
    return read_prompts(data, form=None if form == "auto" else form, common=common, limits=limits)


def whole_of(body: str, summary: SetSummary, version: str, count: int | None = None) -> SetWhole:
    """Return a set with a version of its prompts, or `count` of them, out of what is stored."""
    read = read_written(body)
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
        own_checks=_own_checks(read),
        expected=_expected(read),
    )


def exported(body: str, form: ExportForm, name: str) -> bytes:
    """Return what is stored of a set as a file, with the name that the set has now."""
    named = replace(read_written(body), name=name)
    return (write_csv if form == "csv" else write_json_lines)(named)


def in_pieces(data: bytes) -> Iterator[bytes]:
    """Yield what has a length in pieces of up to `PIECE_BYTES`."""
    for first in range(0, len(data), PIECE_BYTES):
        yield data[first : first + PIECE_BYTES]


def _is_run_table(data: bytes) -> bool:
    return _RUN_TABLE.match(data.removeprefix(codecs.BOM_UTF8)) is not None


def _names_another(common: Common) -> bool:
    """Tell whether a caller names another column than that of the numbers."""
    return common.template is not None or common.prompt_column not in (None, PROMPT_COLUMN)


def _of_run(data: bytes, limits: PromptLimits) -> str | None:
    """Return the prompts of a file that is an exported run, None if it is none."""
    is_one = FORMAT.encode() in data.partition(b"\n")[0] and len(data) <= limits.max_bytes
    return prompts_of_export(decode(data)[0]) if is_one else None


def _name_of(read: PromptSet) -> str:
    """Return a name for a set that has none: how its first prompt begins."""
    said = text_of(read.messages_of(read.prompts[0])[-1].content)
    return " ".join(said.split())[:_NAME_CHARS]


def _read_rows(rows: Sequence[str], common: Common, limits: PromptLimits) -> PromptFile:
    # JSON writes a character in six bytes at most.
    room = replace(limits, max_bytes=limits.max_bytes * 6)
    data = "\n".join(rows).encode()
    return read_prompts(data, form="jsonl", common=common, limits=room)
