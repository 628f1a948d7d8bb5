"""The operations on judges of a run: models that judge its answers."""

from typing import Final

from aiohttp import web

from server.runs.judge_shapes import Judge, JudgeGiven, JudgeListing, Judgements
from server.web.bodies import json_response, read_body
from server.web.entry.gate import CALLER
from server.web.http.conversations import owner_of
from server.web.http.file_stream import send_pieces
from server.web.http.operations import JSON, Group, Reply
from server.web.http.runs import COUNT, FIRST, WAIT, runs_of

GROUP: Final = Group("Runs")


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
    query=(FIRST, COUNT),
    errors=(400, 404, 503),
    role="user",
)
async def show_judgements(request: web.Request) -> web.StreamResponse:
    """Show what a judge was asked and said of the answers to some prompts."""
    names = request.match_info
    judgements = runs_of(request).judging.judgements(
        owner_of(request),
        names["id"],
        names["judge"],
        FIRST.read(request),
        COUNT.read(request),
    )
    return await send_pieces(request, judgements, {"Content-Type": f"{JSON}; charset=utf-8"})


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
    query=(WAIT,),
    errors=(400, 404, 503),
    role="user",
)
async def pause_judge(request: web.Request) -> web.StreamResponse:
    """Ask a judge nothing more; answers when what it says now is complete.

    The judge is paused also where the client does not wait for that.
    """
    names, judging = request.match_info, runs_of(request).judging
    judge = await judging.pause(
        owner_of(request), names["id"], names["judge"], waits=WAIT.read(request)
    )
    return json_response(judge)


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
