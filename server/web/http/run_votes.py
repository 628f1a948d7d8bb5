"""The operations on people's votes on the answers of a run."""

from typing import Annotated, Final

import msgspec
from aiohttp import web

from server.runs.shapes import RunVote, RunVoteGiven, RunVotes
from server.web.bodies import Query, json_response, read_body
from server.web.http.conversations import owner_of
from server.web.http.operations import JSON, Group, Reply
from server.web.http.runs import runs_of

GROUP: Final = Group("Runs")

_REPEAT: Final = Query("repeat", Annotated[int, msgspec.Meta(ge=0, lt=100)], 0, "Which repeat.")
_MINE: Final = Query("mine", bool, False, "Whether only the caller's are listed: 1 or 0.")


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
    query=(_MINE,),
    errors=(400, 404, 503),
    role="user",
)
async def show_votes(request: web.Request) -> web.StreamResponse:
    """List the votes on a run, by prompt; its results have the ranking that follows."""
    votes = await runs_of(request).voting.browse(
        owner_of(request), request.match_info["id"], own_only=_MINE.read(request)
    )
    return json_response(votes)
