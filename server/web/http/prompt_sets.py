"""The operations on prompt sets: take them in, show them, change them, give them out."""

from typing import Annotated, Final, Literal

import msgspec
from aiohttp import web

from server.core.errors import RunsOff
from server.evaluation.files.building import Common
from server.runs.sets import (
    ExportForm,
    FileForm,
    PromptsGiven,
    SetGiven,
    SetLibrary,
    SetLook,
    SetWhole,
)
from server.runs.shapes import Name, SetChange, SetListing, SetSummary, SetVersions
from server.web.bodies import Query, json_response, read_body, read_bytes, read_json_bytes
from server.web.file_names import file_name
from server.web.http.conversations import owner_of
from server.web.http.file_stream import send_file, send_pieces
from server.web.http.operations import BYTES, JSON, Group, Reply
from server.web.keys import PROMPT_SETS

GROUP: Final = Group("Prompt sets")
CSV: Final = "text/csv"
JSON_LINES: Final = "application/jsonl"

_NAME: Final = Query("name", Name, "", "What the set is called; else what its file says.")
_FORM: Final[Query[FileForm]] = Query(
    "form", FileForm, "auto", "What the file is: a prompt a line, a table, or an object a line."
)
_COLUMN: Final = Query(
    "column", Annotated[str, msgspec.Meta(max_length=200)], "", "The column that is the prompt."
)
_TEMPLATE: Final = Query(
    "template",
    Annotated[str, msgspec.Meta(max_length=200)],
    "",
    "What is asked for each line, with columns as `{{name}}`; longer ones in the file or a body.",
)
_VERSION: Final = Query(
    "version", Annotated[str, msgspec.Meta(max_length=64)], "", "Which version; else the last."
)
_COUNT: Final[Query[int | None]] = Query(
    "count",
    Annotated[int, msgspec.Meta(ge=0)] | None,
    None,
    "How many of its prompts are shown, from the first; else all.",
)
_EXPORT: Final[Query[ExportForm]] = Query("form", ExportForm, "jsonl", "The format.")
_TYPES: Final[dict[Literal["csv", "jsonl"], str]] = {"csv": CSV, "jsonl": JSON_LINES}
_SUMMARY: Final = Reply("The set, without its prompts.", {JSON: SetSummary})
_NEW: Final = Reply("The set, without its prompts.", {JSON: SetSummary}, status=201)
_TAKEN: Final = (400, 404, 408, 409, 413, 415, 422, 503)
_LOOKED_AT: Final = (400, 404, 408, 413, 422)


@GROUP.operation(
    "GET",
    "/prompt-sets",
    Reply("The sets.", {JSON: SetListing}),
    errors=(404, 503),
    example=True,
    role="user",
)
async def browse(request: web.Request) -> web.StreamResponse:
    """List the caller's prompt sets, last changed first."""
    return json_response(SetListing(await library_of(request).browse(owner_of(request))))


@GROUP.operation(
    "POST",
    "/prompt-sets",
    _NEW,
    body=SetGiven,
    errors=_TAKEN,
    example={
        "name": "Capitals",
        "template": "What is the capital of {{country}}? Answer with its name alone.",
        "prompts": [{"country": "France", "expected": "Paris"}],
        "checks": [{"type": "contains", "value": "{{expected}}"}],
    },
    role="user",
)
async def create(request: web.Request) -> web.StreamResponse:
    """Keep a new prompt set.

    All that is wrong with it is told at once: `details.problems` of the error names each place.
    """
    library = library_of(request)
    body = await read_json_bytes(request, more_bytes=library.limits.max_bytes)
    return json_response(await library.add_body(owner_of(request), body), status=201)


@GROUP.operation(
    "PUT",
    "/prompt-sets",
    _NEW,
    body=bytes,
    body_type=BYTES,
    query=(_NAME, _FORM, _COLUMN, _TEMPLATE),
    errors=_TAKEN,
    role="user",
)
async def import_file(request: web.Request) -> web.StreamResponse:
    """Keep a file as a new prompt set: a prompt a line, CSV, or JSON Lines.

    Without `form` a table is what has a column that is known in its first line, or names as
    programs give them over lines that all fit; what is neither that nor JSON is a prompt a line.
    Columns or keys are variables for the template; `expected`, `system`, `messages`, `checks` and
    `tags` are what they say. Each of `details.problems` of an error has its line and column.
    """
    library = library_of(request)
    data, common = await _file(request, library)
    summary = await library.add_file(owner_of(request), data, _FORM.read(request), common)
    return json_response(summary, status=201)


@GROUP.operation(
    "PUT",
    "/prompt-sets/look",
    Reply("What the file has in it.", {JSON: SetLook}),
    body=bytes,
    body_type=BYTES,
    query=(_FORM, _COLUMN, _TEMPLATE),
    errors=_LOOKED_AT,
    role="user",
)
async def look(request: web.Request) -> web.StreamResponse:
    """Read a file as a prompt set without keeping it: how many prompts, and the first ones.

    Where it is wrong, the error tells every place, as when it is kept.
    """
    library = library_of(request)
    data, common = await _file(request, library)
    return json_response(await library.look(data, _FORM.read(request), common))


@GROUP.operation(
    "GET",
    "/prompt-sets/{id}",
    Reply("The set with its prompts.", {JSON: SetWhole}),
    query=(_VERSION, _COUNT),
    errors=(400, 404, 503),
    role="user",
)
async def show(request: web.Request) -> web.StreamResponse:
    """Show a prompt set with its prompts, the last version or one before."""
    pieces = library_of(request).written(
        owner_of(request),
        request.match_info["id"],
        _VERSION.read(request),
        "json",
        _COUNT.read(request),
    )
    return await send_pieces(request, pieces, {"Content-Type": JSON})


@GROUP.operation(
    "GET",
    "/prompt-sets/{id}/versions",
    Reply("The versions.", {JSON: SetVersions}),
    errors=(404, 503),
    role="user",
)
async def show_versions(request: web.Request) -> web.StreamResponse:
    """List the versions of a prompt set, the present one first."""
    library = library_of(request)
    return json_response(await library.versions(owner_of(request), request.match_info["id"]))


@GROUP.operation(
    "PATCH",
    "/prompt-sets/{id}",
    _SUMMARY,
    body=SetChange,
    errors=(400, 404, 413, 415, 503),
    role="user",
)
async def change(request: web.Request) -> web.StreamResponse:
    """Rename a prompt set, or replace its tags."""
    given = await read_body(request, SetChange)
    library = library_of(request)
    return json_response(await library.change(owner_of(request), request.match_info["id"], given))


@GROUP.operation(
    "POST",
    "/prompt-sets/{id}/prompts",
    _SUMMARY,
    body=PromptsGiven,
    errors=_TAKEN,
    role="user",
)
async def replace(request: web.Request) -> web.StreamResponse:
    """Replace the prompts of a set; runs keep the version that they have asked."""
    library = library_of(request)
    body = await read_json_bytes(request, more_bytes=library.limits.max_bytes)
    name = request.match_info["id"]
    return json_response(await library.replace_by_body(owner_of(request), name, body))


@GROUP.operation(
    "PUT",
    "/prompt-sets/{id}/prompts",
    _SUMMARY,
    body=bytes,
    body_type=BYTES,
    query=(_FORM, _COLUMN, _TEMPLATE),
    errors=_TAKEN,
    role="user",
)
async def replace_by_file(request: web.Request) -> web.StreamResponse:
    """Replace the prompts of a set by those of a file.

    Runs keep the version that they have asked.
    """
    library = library_of(request)
    data, common = await _file(request, library)
    summary = await library.replace_by_file(
        owner_of(request), request.match_info["id"], data, _FORM.read(request), common
    )
    return json_response(summary)


@GROUP.operation(
    "GET",
    "/prompt-sets/{id}/export",
    Reply("The file.", {JSON_LINES: bytes, CSV: bytes}),
    query=(_EXPORT, _VERSION),
    errors=(400, 404, 503),
    role="user",
)
async def export(request: web.Request) -> web.StreamResponse:
    """Export a prompt set as JSON Lines or CSV; imported again, it has its version and its name.

    Cells that a spreadsheet would compute begin with an apostrophe.
    """
    library, owner = library_of(request), owner_of(request)
    form, set_id = _EXPORT.read(request), request.match_info["id"]
    name = file_name((await library.summary(owner, set_id)).name, set_id, form)
    pieces = library.written(owner, set_id, _VERSION.read(request), form)
    return await send_file(request, pieces, f"{_TYPES[form]}; charset=utf-8", name)


@GROUP.operation(
    "DELETE",
    "/prompt-sets/{id}",
    Reply("It was deleted.", status=204),
    errors=(404, 503),
    role="user",
)
async def delete(request: web.Request) -> web.StreamResponse:
    """Delete a prompt set; runs keep the versions that they have asked."""
    await library_of(request).remove(owner_of(request), request.match_info["id"])
    return web.Response(status=204)


def library_of(request: web.Request) -> SetLibrary:
    """Return where prompt sets are kept; raises `RunsOff`."""
    library = request.app.get(PROMPT_SETS)
    if library is None:
        raise RunsOff("this server keeps no prompt sets and no runs")
    return library


async def _file(request: web.Request, library: SetLibrary) -> tuple[bytes, Common]:
    data = await read_bytes(
        request,
        library.limits.max_bytes,
        too_large="the file is too large",
        hint="`max_set_size` in [runs] says how large it may be",
    )
    common = Common(
        name=_NAME.read(request) or None,
        template=_TEMPLATE.read(request) or None,
        prompt_column=_COLUMN.read(request) or None,
    )
    return data, common
