"""The operations on runs: begin them, change them, and read their prompts with the answers."""

from typing import Annotated, Final

import msgspec
from aiohttp import web

from server.core.errors import RunsOff
from server.runs.row_choice import Order, RowChoice, Show
from server.runs.service import RunService
from server.runs.shapes import (
    AskedPrompt,
    Name,
    Rows,
    Run,
    RunExtension,
    RunGiven,
    RunListing,
)
from server.runs.sharing import MAX_READERS
from server.web.bodies import Query, json_response, read_body
from server.web.entry.gate import CALLER
from server.web.http.conversations import owner_of
from server.web.http.operations import JSON, Group, Reply
from server.web.keys import RUNS

GROUP: Final = Group("Runs")

_LIMIT: Final = Query("limit", Annotated[int, msgspec.Meta(ge=1, le=200)], 50, "How many at most.")
_BEFORE: Final = Query(
    "before",
    Annotated[str, msgspec.Meta(max_length=64)],
    "",
    "The value of `next` of the page before.",
)
FIRST: Final = Query("first", Annotated[int, msgspec.Meta(ge=0)], 0, "The first prompt, from 0.")
COUNT: Final = Query(
    "count", Annotated[int, msgspec.Meta(ge=1, le=200)], 50, "How many prompts at most."
)
_SHOW: Final[Query[Show]] = Query("show", Show, "all", "Which prompts, by their complete answers.")
_SORT: Final[Query[Order]] = Query(
    "sort", Order, "prompt", "In which order: the slowest answer, or most failed ones, first."
)
_SEARCH: Final = Query(
    "search",
    Annotated[str, msgspec.Meta(max_length=200)],
    "",
    "A text that is in the prompt, what is expected, or an answer.",
)
_FAILED: Final = Query("failed", bool, False, "Whether failed answers are asked again: 1 or 0.")
WAIT: Final = Query(
    "wait", bool, True, "Whether it answers once what is being written is complete, or at once: 0."
)
_RUN: Final = Reply("The run.", {JSON: Run})


class RunChange(msgspec.Struct, frozen=True):
    """What is to be changed of a run; what is null stays.

    `shared_with` has the names of the keys whose holders may read it and vote, or `*` for all; an
    empty list ends that.
    """

    name: Name | None = None
    shared_with: (
        Annotated[
            list[Annotated[str, msgspec.Meta(min_length=1, max_length=64)]],
            msgspec.Meta(max_length=MAX_READERS),
        ]
        | None
    ) = None


@GROUP.operation(
    "GET",
    "/runs",
    Reply("A page of the list.", {JSON: RunListing}),
    query=(_LIMIT, _BEFORE),
    errors=(400, 404, 503),
    example=True,
    role="user",
)
async def browse(request: web.Request) -> web.StreamResponse:
    """List the caller's runs and those shared with the caller, the latest first."""
    listing = await runs_of(request).browse(
        owner_of(request), before=_BEFORE.read(request), limit=_LIMIT.read(request)
    )
    return json_response(listing)


@GROUP.operation(
    "POST",
    "/runs",
    Reply("The run, which has begun.", {JSON: Run}, status=201),
    body=RunGiven,
    errors=(400, 404, 409, 413, 415, 422, 503),
    role="user",
)
async def create(request: web.Request) -> web.StreamResponse:
    """Ask every prompt of a set of every target.

    It goes on without anybody who looks at it, and after a restart; people's questions go first.
    """
    given = await read_body(request, RunGiven)
    run = await runs_of(request).create(request[CALLER].principal, given)
    return json_response(run, status=201)


@GROUP.operation("GET", "/runs/{id}", _RUN, errors=(404, 503), role="user")
async def show(request: web.Request) -> web.StreamResponse:
    """Tell how far a run is."""
    return json_response(await runs_of(request).get(owner_of(request), request.match_info["id"]))


@GROUP.operation(
    "PATCH", "/runs/{id}", _RUN, body=RunChange, errors=(400, 404, 413, 415, 503), role="user"
)
async def change(request: web.Request) -> web.StreamResponse:
    """Give a run another name, or share it.

    Whoever it is shared with can read all of it and vote on its answers, and change nothing.
    """
    given = await read_body(request, RunChange)
    runs, owner, run_id = runs_of(request), owner_of(request), request.match_info["id"]
    if given.shared_with is not None:
        await runs.share(owner, run_id, given.shared_with)
    if given.name is not None:
        return json_response(await runs.rename(owner, run_id, given.name))
    await runs.store.run(owner, run_id)
    return json_response(await runs.get(owner, run_id))


@GROUP.operation(
    "DELETE", "/runs/{id}", Reply("It was deleted.", status=204), errors=(404, 503), role="user"
)
async def delete(request: web.Request) -> web.StreamResponse:
    """Delete a run with its answers; those under way are cancelled."""
    await runs_of(request).remove(owner_of(request), request.match_info["id"])
    return web.Response(status=204)


@GROUP.operation(
    "POST", "/runs/{id}/pause", _RUN, query=(WAIT,), errors=(400, 404, 503), role="user"
)
async def pause(request: web.Request) -> web.StreamResponse:
    """Ask nothing more in a run; answers when those being written are complete.

    The run is paused also where the client does not wait for that.
    """
    owner, name = owner_of(request), request.match_info["id"]
    return json_response(await runs_of(request).pause(owner, name, waits=WAIT.read(request)))


@GROUP.operation("POST", "/runs/{id}/cancel", _RUN, errors=(404, 503), role="user")
async def cancel(request: web.Request) -> web.StreamResponse:
    """Cancel the answers of a run that are under way; what is complete is kept."""
    return json_response(await runs_of(request).cancel(owner_of(request), request.match_info["id"]))


@GROUP.operation(
    "POST", "/runs/{id}/continue", _RUN, query=(_FAILED,), errors=(400, 404, 503), role="user"
)
async def go_on(request: web.Request) -> web.StreamResponse:
    """Ask what is still to be asked in a run, and if wished what failed."""
    run = await runs_of(request).go_on(
        request[CALLER].principal, request.match_info["id"], retries_failed=_FAILED.read(request)
    )
    return json_response(run)


@GROUP.operation(
    "POST",
    "/runs/{id}/extend",
    _RUN,
    body=RunExtension,
    errors=(400, 404, 409, 413, 415, 422, 503),
    role="user",
)
async def extend(request: web.Request) -> web.StreamResponse:
    """Give a run more to ask: targets, repeats, or a version of its set with more prompts."""
    given = await read_body(request, RunExtension)
    run = await runs_of(request).extend(request[CALLER].principal, request.match_info["id"], given)
    return json_response(run)


@GROUP.operation(
    "GET",
    "/runs/{id}/rows",
    Reply("The prompts.", {JSON: Rows}),
    query=(FIRST, COUNT, _SHOW, _SORT, _SEARCH),
    errors=(400, 404, 503),
    role="user",
)
async def rows(request: web.Request) -> web.StreamResponse:
    """Show some prompts of a run with their answers in short, those under way included.

    `show` takes those where an answer failed or a check of it (`failed`), where an answer failed
    (`errors`) or reached its greatest length (`cut`), where one target is right and another is not,
    or, if nothing is checked, they say something else (`disagree`), and those on which the caller
    has not voted (`unvoted`). `first` and `count` are places among the prompts that match.
    """
    choice = RowChoice(_SHOW.read(request), _SORT.read(request), _SEARCH.read(request).strip())
    found = await runs_of(request).reading.rows(
        owner_of(request),
        request.match_info["id"],
        FIRST.read(request),
        COUNT.read(request),
        choice,
    )
    return json_response(found)


@GROUP.operation(
    "GET",
    "/runs/{id}/prompts/{prompt}",
    Reply("The prompt and its answers.", {JSON: AskedPrompt}),
    errors=(404, 503),
    role="user",
)
async def show_prompt(request: web.Request) -> web.StreamResponse:
    """Show one prompt of a run, numbered from 0, with its complete answers."""
    names = request.match_info
    asked = await runs_of(request).reading.asked(owner_of(request), names["id"], names["prompt"])
    return json_response(asked)


def runs_of(request: web.Request) -> RunService:
    """Return the service of runs; raises `RunsOff`."""
    service = request.app.get(RUNS)
    if service is None:
        raise RunsOff("this server keeps no prompt sets and no runs")
    return service
