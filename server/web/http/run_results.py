"""The operations on what comes of a run: results, files, and its changes as they happen."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from aiohttp import web

from server.archive.exports import HTML
from server.runs.exports import RunForm
from server.runs.results import Results
from server.runs.shapes import Run
from server.web.bodies import Query, json_response
from server.web.failures import Failure
from server.web.http.conversations import owner_of
from server.web.http.event_stream import COMMENT, event, send_events
from server.web.http.file_stream import send_file
from server.web.http.operations import EVENTS, JSON, Group, Reply
from server.web.http.prompt_sets import CSV, JSON_LINES
from server.web.http.runs import runs_of
from server.web.keys import SETTINGS

GROUP: Final = Group("Runs")

_EXPORT: Final[Query[RunForm]] = Query("form", RunForm, "jsonl", "The format.")
_JUDGES: Final = Query(
    "judges", bool, False, "Whether it goes on until no judge is at work either: 1 or 0."
)
_TYPES: Final[dict[RunForm, str]] = {"csv": CSV, "jsonl": JSON_LINES, "html": HTML}


@GROUP.operation(
    "GET",
    "/runs/{id}/results",
    Reply("The results so far.", {JSON: Results}),
    errors=(404, 503),
    role="user",
)
async def show_results(request: web.Request) -> web.StreamResponse:
    """Show what a run's answers say of its targets, and how sure that is."""
    results = await runs_of(request).reading.results(owner_of(request), request.match_info["id"])
    return json_response(results)


@GROUP.operation(
    "GET",
    "/runs/{id}/export",
    Reply("The file.", {JSON_LINES: bytes, CSV: bytes, HTML: str}),
    query=(_EXPORT,),
    errors=(400, 404, 503),
    role="user",
)
async def export(request: web.Request) -> web.StreamResponse:
    """Export a run: a line for each answer, everything for programs, or a report to read.

    The file is sent as it is written; one that cannot be completed breaks off.
    """
    form, name = _EXPORT.read(request), request.match_info["id"]
    pieces = runs_of(request).reading.export(owner_of(request), name, form)
    return await send_file(request, pieces, f"{_TYPES[form]}; charset=utf-8", f"{name}.{form}")


@GROUP.operation(
    "GET",
    "/runs/{id}/events",
    Reply("The run, now and after each change.", {EVENTS: Run}, breaks_off_with=Failure),
    query=(_JUDGES,),
    errors=(400, 404, 503),
    allows_head=False,
    role="user",
)
async def follow(request: web.Request) -> web.StreamResponse:
    """Follow a run: its present state, then the latest one after changes, until it is over.

    How far its judges are is told while it goes on; with `judges` also until none is at work.
    """
    silence = request.app[SETTINGS].server.keep_alive
    following = runs_of(request).following
    changes = following.follow(
        owner_of(request),
        request.match_info["id"],
        silence,
        with_judges=_JUDGES.read(request),
    )

    async def pieces() -> AsyncGenerator[bytes, None]:
        async with aclosing(changes) as states:
            async for run in states:
                yield COMMENT if run is None else event(run)

    # It ends with an error if the run is deleted, or the file cannot be read.
    return await send_events(request, pieces())
