"""The operations on runs: begin them, follow them, and read what came."""

import logging
from contextlib import aclosing
from typing import Annotated, Final

import msgspec
from aiohttp import web

from server.archive.exports import HTML
from server.core.errors import RunsOff, SidestreamError
from server.runs.exports import RunForm
from server.runs.judge_shapes import Judge, JudgeGiven, JudgeListing, Judgements
from server.runs.results import Results
from server.runs.service import RunService
from server.runs.shapes import (
    AskedPrompt,
    Name,
    Rows,
    Run,
    RunExtension,
    RunGiven,
    RunListing,
    RunVote,
    RunVoteGiven,
    RunVotes,
)
from server.web.bodies import Query, file_response, json_response, read_body
from server.web.entry.gate import CALLER
from server.web.failures import Failure, failure
from server.web.http.conversations import owner_of
from server.web.http.event_stream import COMMENT, EventStream, event
from server.web.http.operations import EVENTS, JSON, Group, Reply
from server.web.http.prompt_sets import CSV, JSON_LINES
from server.web.keys import RUNS, SETTINGS

logger = logging.getLogger(__name__)

GROUP: Final = Group("Runs")

_LIMIT: Final = Query("limit", Annotated[int, msgspec.Meta(ge=1, le=200)], 50, "How many at most.")
_BEFORE: Final = Query(
    "before",
    Annotated[str, msgspec.Meta(max_length=64)],
    "",
    "The value of `next` of the page before.",
)
_FIRST: Final = Query("first", Annotated[int, msgspec.Meta(ge=0)], 0, "The first prompt, from 0.")
_COUNT: Final = Query(
    "count", Annotated[int, msgspec.Meta(ge=1, le=200)], 50, "How many prompts at most."
)
_EXPORT: Final[Query[RunForm]] = Query("form", RunForm, "jsonl", "The format.")
_TYPES: Final[dict[RunForm, str]] = {"csv": CSV, "jsonl": JSON_LINES, "html": HTML}
_FAILED: Final = Query("failed", bool, False, "Whether failed answers are asked again: 1 or 0.")
_REPEAT: Final = Query("repeat", Annotated[int, msgspec.Meta(ge=0, lt=100)], 0, "Which repeat.")
_RUN: Final = Reply("The run.", {JSON: Run})


class RunChange(msgspec.Struct, frozen=True):
    """Another name for a run."""

    name: Name


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
    """List the caller's runs, the latest first."""
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
    """Give a run another name."""
    given = await read_body(request, RunChange)
    run = await runs_of(request).rename(owner_of(request), request.match_info["id"], given.name)
    return json_response(run)


@GROUP.operation(
    "DELETE", "/runs/{id}", Reply("It was deleted.", status=204), errors=(404, 503), role="user"
)
async def delete(request: web.Request) -> web.StreamResponse:
    """Delete a run with its answers; those under way are cancelled."""
    await runs_of(request).remove(owner_of(request), request.match_info["id"])
    return web.Response(status=204)


@GROUP.operation("POST", "/runs/{id}/pause", _RUN, errors=(404, 503), role="user")
async def pause(request: web.Request) -> web.StreamResponse:
    """Ask nothing more in a run; answers when those being written are complete."""
    return json_response(await runs_of(request).pause(owner_of(request), request.match_info["id"]))


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
    query=(_FIRST, _COUNT),
    errors=(400, 404, 503),
    role="user",
)
async def rows(request: web.Request) -> web.StreamResponse:
    """Show some prompts of a run with their answers in short, those under way included."""
    found = await runs_of(request).reading.rows(
        owner_of(request), request.match_info["id"], _FIRST.read(request), _COUNT.read(request)
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


@GROUP.operation(
    "PUT",
    "/runs/{id}/prompts/{prompt}/vote",
    Reply("The vote.", {JSON: RunVote}),
    body=RunVoteGiven,
    errors=(400, 404, 409, 413, 415, 503),
    role="user",
)
async def vote(request: web.Request) -> web.StreamResponse:
    """Vote for the best answers to a prompt of a run, or for none of them.

    A later vote of the caller replaces the former one. An answer that failed or was stopped cannot
    be voted on.
    """
    given = await read_body(request, RunVoteGiven)
    names = request.match_info
    voting = runs_of(request).voting
    return json_response(await voting.give(owner_of(request), names["id"], names["prompt"], given))


@GROUP.operation(
    "DELETE",
    "/runs/{id}/prompts/{prompt}/vote",
    Reply("It was deleted.", status=204),
    query=(_REPEAT,),
    errors=(400, 404, 503),
    role="user",
)
async def take_back_vote(request: web.Request) -> web.StreamResponse:
    """Delete the caller's vote on the answers to a prompt of a run."""
    names = request.match_info
    await runs_of(request).voting.take_back(
        owner_of(request), names["id"], names["prompt"], _REPEAT.read(request)
    )
    return web.Response(status=204)


@GROUP.operation(
    "GET",
    "/runs/{id}/votes",
    Reply("The votes.", {JSON: RunVotes}),
    errors=(404, 503),
    role="user",
)
async def show_votes(request: web.Request) -> web.StreamResponse:
    """List the votes on a run, by prompt; its results have the ranking that follows."""
    votes = await runs_of(request).voting.browse(owner_of(request), request.match_info["id"])
    return json_response(votes)


@GROUP.operation(
    "POST",
    "/runs/{id}/judges",
    Reply("The judge, which has begun.", {JSON: Judge}, status=201),
    body=JudgeGiven,
    errors=(400, 404, 409, 413, 415, 422, 503),
    role="user",
)
async def begin_judge(request: web.Request) -> web.StreamResponse:
    """Have a model judge the answers of a run that are complete, by criteria that are kept.

    What it is asked and what it says stay visible, and are never mixed with people's votes.
    """
    given = await read_body(request, JudgeGiven)
    judging = runs_of(request).judging
    judge = await judging.begin(request[CALLER].principal, request.match_info["id"], given)
    return json_response(judge, status=201)


@GROUP.operation(
    "GET",
    "/runs/{id}/judges",
    Reply("The judges.", {JSON: JudgeListing}),
    errors=(404, 503),
    role="user",
)
async def show_judges(request: web.Request) -> web.StreamResponse:
    """List the judges of a run: how far each is, and what its judgements come to."""
    listing = await runs_of(request).judging.browse(owner_of(request), request.match_info["id"])
    return json_response(listing)


@GROUP.operation(
    "GET",
    "/runs/{id}/judges/{judge}",
    Reply("The judgements.", {JSON: Judgements}),
    query=(_FIRST, _COUNT),
    errors=(400, 404, 503),
    role="user",
)
async def show_judgements(request: web.Request) -> web.StreamResponse:
    """Show what a judge was asked and said of the answers to some prompts."""
    names = request.match_info
    judgements = await runs_of(request).judging.judgements(
        owner_of(request),
        names["id"],
        names["judge"],
        _FIRST.read(request),
        _COUNT.read(request),
    )
    return json_response(judgements)


@GROUP.operation(
    "POST",
    "/runs/{id}/judges/{judge}/continue",
    Reply("The judge.", {JSON: Judge}),
    errors=(404, 503),
    role="user",
)
async def continue_judge(request: web.Request) -> web.StreamResponse:
    """Have a judge judge what it has not yet, also answers that came since."""
    names = request.match_info
    judging = runs_of(request).judging
    return json_response(await judging.go_on(owner_of(request), names["id"], names["judge"]))


@GROUP.operation(
    "POST",
    "/runs/{id}/judges/{judge}/pause",
    Reply("The judge.", {JSON: Judge}),
    errors=(404, 503),
    role="user",
)
async def pause_judge(request: web.Request) -> web.StreamResponse:
    """Ask a judge nothing more; answers when what it says now is complete."""
    names = request.match_info
    judging = runs_of(request).judging
    return json_response(await judging.pause(owner_of(request), names["id"], names["judge"]))


@GROUP.operation(
    "DELETE",
    "/runs/{id}/judges/{judge}",
    Reply("It was deleted.", status=204),
    errors=(404, 503),
    role="user",
)
async def delete_judge(request: web.Request) -> web.StreamResponse:
    """Delete a judge with all that it said."""
    names = request.match_info
    await runs_of(request).judging.remove(owner_of(request), names["id"], names["judge"])
    return web.Response(status=204)


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
    """Export a run: a line for each answer, everything for programs, or a report to read."""
    form, name = _EXPORT.read(request), request.match_info["id"]
    body = await runs_of(request).reading.export(owner_of(request), name, form)
    return file_response(body, f"{_TYPES[form]}; charset=utf-8", f"{name}.{form}")


@GROUP.operation(
    "GET",
    "/runs/{id}/events",
    Reply("The run, now and after each change.", {EVENTS: Run}, breaks_off_with=Failure),
    errors=(404, 503),
    allows_head=False,
    role="user",
)
async def follow(request: web.Request) -> web.StreamResponse:
    """Follow a run: its present state, then the latest one after changes, until it is over."""
    stream = EventStream(request)
    silence = request.app[SETTINGS].server.keep_alive
    changes = runs_of(request).follow(owner_of(request), request.match_info["id"], silence)
    try:
        try:
            async with aclosing(changes) as states:
                async for run in states:
                    await stream.send(COMMENT if run is None else event(run))
        except SidestreamError as error:
            if not stream.has_begun:
                raise
            # It was deleted, or the file cannot be read.
            await stream.send(event(failure(error)))
        await stream.finish()
    except ConnectionError:
        logger.debug("who follows the run %s is gone", request.match_info["id"])
    return stream.response


def runs_of(request: web.Request) -> RunService:
    """Return the service of runs; raises `RunsOff`."""
    service = request.app.get(RUNS)
    if service is None:
        raise RunsOff("this server keeps no prompt sets and no runs")
    return service
