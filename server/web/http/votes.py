"""The operations on votes: give one, list them, add them up, delete and restore them."""

from typing import Annotated, Final

import msgspec
from aiohttp import web

from server.archive.shapes import (
    EarlierVotes,
    Tally,
    VoteCount,
    VoteGiven,
    VoteListing,
    VoteReceipt,
)
from server.web.bodies import Query, json_response, read_body
from server.web.http.conversations import BEFORE, LIMIT, archive_of, owner_of
from server.web.http.operations import JSON, Group, Reply

_CONVERSATION: Final = Query(
    "conversation",
    Annotated[str, msgspec.Meta(max_length=64)],
    "",
    "The id of a conversation, for its votes alone.",
)
_VOTE: Final = "/conversations/{id}/turns/{turn}/vote"

GROUP: Final = Group("Votes")


@GROUP.operation(
    "PUT",
    _VOTE,
    Reply("The vote, and the one that it replaces.", {JSON: VoteReceipt}),
    body=VoteGiven,
    errors=(400, 404, 409, 413, 415, 503),
    role="user",
)
async def give(request: web.Request) -> web.StreamResponse:
    """Vote for the best answers of a turn, or for none of them.

    A later vote of the caller replaces the former one. An answer that failed or was stopped cannot
    win.
    """
    votes = archive_of(request).votes
    given = await read_body(request, VoteGiven)
    names = request.match_info
    return json_response(await votes.give(owner_of(request), names["id"], names["turn"], given))


@GROUP.operation(
    "DELETE", _VOTE, Reply("It was deleted.", status=204), errors=(404, 503), role="user"
)
async def take_back(request: web.Request) -> web.StreamResponse:
    """Delete the caller's vote on a turn; it can be restored for a while."""
    names = request.match_info
    await archive_of(request).votes.take_back(owner_of(request), names["id"], names["turn"])
    return web.Response(status=204)


@GROUP.operation(
    "GET",
    "/votes",
    Reply("A page of the list.", {JSON: VoteListing}),
    query=(_CONVERSATION, LIMIT, BEFORE),
    errors=(400, 404, 503),
    example=True,
    role="user",
)
async def browse(request: web.Request) -> web.StreamResponse:
    """List the caller's votes with what was compared, the latest first."""
    listing = await archive_of(request).votes.browse(
        owner_of(request),
        conversation_id=_CONVERSATION.read(request),
        before=BEFORE.read(request),
        limit=LIMIT.read(request),
    )
    return json_response(listing)


@GROUP.operation(
    "GET",
    "/votes/tally",
    Reply("The scores.", {JSON: Tally}),
    errors=(404, 503),
    example=True,
    role="user",
)
async def tally(request: web.Request) -> web.StreamResponse:
    """Add up the caller's votes by model, the best first.

    Columns of one model with different parameters or system prompts are added up apart.
    """
    return json_response(await archive_of(request).votes.tally(owner_of(request)))


@GROUP.operation(
    "DELETE",
    "/votes",
    Reply("How many were deleted.", {JSON: VoteCount}),
    errors=(404, 503),
    role="user",
)
async def delete_all(request: web.Request) -> web.StreamResponse:
    """Delete all votes of the caller; they can be restored for a while."""
    return json_response(VoteCount(await archive_of(request).votes.delete_all(owner_of(request))))


@GROUP.operation(
    "POST",
    "/votes/restore",
    Reply("How many were restored.", {JSON: VoteCount}),
    errors=(404, 503),
    role="user",
)
async def restore(request: web.Request) -> web.StreamResponse:
    """Undo the caller's latest deletion of votes."""
    return json_response(VoteCount(await archive_of(request).votes.restore(owner_of(request))))


@GROUP.operation(
    "POST",
    "/votes/import",
    Reply("How many were new.", {JSON: VoteCount}),
    body=EarlierVotes,
    errors=(400, 404, 409, 413, 415, 503),
    role="user",
)
async def take_over(request: web.Request) -> web.StreamResponse:
    """Import votes that a browser kept, without a conversation; each id is imported once."""
    votes = archive_of(request).votes
    earlier = await read_body(request, EarlierVotes)
    return json_response(VoteCount(await votes.take_over(owner_of(request), earlier.votes)))
