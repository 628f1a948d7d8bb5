"""Kept conversations over HTTP: listed, searched, changed, exported, taken back."""

import asyncio
from typing import Annotated, Final, Literal
from urllib.parse import quote

import msgspec
from aiohttp import web

from server import __version__
from server.archive.archive import Archive
from server.archive.exports import HTML, MARKDOWN, export_html, export_json, export_markdown
from server.archive.shapes import (
    Change,
    Conversation,
    Export,
    Listing,
    Outline,
    Summary,
    Tokens,
    Vote,
    VoteGiven,
)
from server.core.errors import ConversationsOff
from server.web.entry.gate import CALLER
from server.web.http.bodies import Query, check_is_json, json_response, read_body, read_bytes
from server.web.http.operations import JSON, Operation, Reply
from server.web.keys import ARCHIVE

_WORDS: Final = Query(
    "q",
    Annotated[str, msgspec.Meta(max_length=200)],
    "",
    "Words that have to occur in a title, a prompt or an answer; nothing in it is an operator.",
)
_DELETED: Final = Query("deleted", bool, False, "Whether those that were deleted: 1 or 0.")
_LIMIT: Final = Query("limit", Annotated[int, msgspec.Meta(ge=1, le=200)], 50, "How many at most.")
_BEFORE: Final = Query(
    "before",
    Annotated[str, msgspec.Meta(pattern=r"^([0-9]{1,12}(\.[0-9]{1,20})?:[0-9]{1,18})?(?!\n)$")],
    "",
    "What `next` was, for those that follow.",
)
_FULL: Final = Query(
    "full", bool, False, "Whether also what was asked, and the tokens' details: 1 or 0."
)
_FOREVER: Final = Query("forever", bool, False, "Whether it cannot be restored: 1 or 0.")
_FORM: Final = Query(
    "form", Literal["json", "markdown", "html"], "json", "As data, as text, or as a page."
)
# JSON may write a character in six bytes, and tokens take more room than their text.
_MAX_IMPORT_FACTOR: Final = 8


async def browse(request: web.Request) -> web.StreamResponse:
    """Answer `GET /conversations`."""
    listing = await _archive(request).browse(
        _owner(request),
        words=_WORDS.read(request),
        deleted=_DELETED.read(request),
        before=_BEFORE.read(request),
        limit=_LIMIT.read(request),
    )
    return json_response(listing)


async def create(request: web.Request) -> web.StreamResponse:
    """Answer `POST /conversations`."""
    archive = _archive(request)
    outline = await read_body(request, Outline)
    return json_response(await archive.create(_owner(request), outline), status=201)


async def take_in(request: web.Request) -> web.StreamResponse:
    """Answer `POST /conversations/import`."""
    archive = _archive(request)
    check_is_json(request)
    body = await read_bytes(
        request,
        _MAX_IMPORT_FACTOR * archive.limits.conversation_chars,
        too_large="the export is too large",
        hint="raise `max_conversation_size` in [conversations]",
    )
    return json_response(await archive.take_in(_owner(request), body), status=201)


async def show(request: web.Request) -> web.StreamResponse:
    """Answer `GET /conversations/{id}`."""
    conversation = await _archive(request).load(
        _owner(request), request.match_info["id"], is_full=_FULL.read(request)
    )
    return json_response(conversation)


async def show_tokens(request: web.Request) -> web.StreamResponse:
    """Answer `GET /conversations/{id}/answers/{answer}/tokens`."""
    names = request.match_info
    tokens = await _archive(request).tokens(_owner(request), names["id"], names["answer"])
    return json_response(tokens)


async def change(request: web.Request) -> web.StreamResponse:
    """Answer `PATCH /conversations/{id}`."""
    archive = _archive(request)
    body = await read_body(request, Change)
    summary = await archive.change(_owner(request), request.match_info["id"], body)
    return json_response(summary)


async def delete(request: web.Request) -> web.StreamResponse:
    """Answer `DELETE /conversations/{id}`."""
    summary = await _archive(request).delete(
        _owner(request), request.match_info["id"], forever=_FOREVER.read(request)
    )
    return json_response(summary)


async def restore(request: web.Request) -> web.StreamResponse:
    """Answer `POST /conversations/{id}/restore`."""
    archive = _archive(request)
    return json_response(await archive.restore(_owner(request), request.match_info["id"]))


async def vote(request: web.Request) -> web.StreamResponse:
    """Answer `PUT /conversations/{id}/turns/{turn}/vote`."""
    archive = _archive(request)
    given = await read_body(request, VoteGiven)
    names = request.match_info
    return json_response(await archive.vote(_owner(request), names["id"], names["turn"], given))


async def take_vote_back(request: web.Request) -> web.StreamResponse:
    """Answer `DELETE /conversations/{id}/turns/{turn}/vote`."""
    names = request.match_info
    await _archive(request).vote(_owner(request), names["id"], names["turn"], None)
    return web.Response(status=204)


async def export(request: web.Request) -> web.StreamResponse:
    """Answer `GET /conversations/{id}/export`."""
    archive, form = _archive(request), _FORM.read(request)
    conversation = await archive.load(
        _owner(request), request.match_info["id"], is_full=form == "json"
    )
    most = archive.limits.conversation_chars
    # A long one takes longer to write than others should wait for.
    if form == "json":
        kind, ending = JSON, "json"
        body = await asyncio.to_thread(export_json, conversation, __version__)
    elif form == "markdown":
        kind, ending = MARKDOWN, "md"
        body = await asyncio.to_thread(export_markdown, conversation, most)
    else:
        kind, ending = HTML, "html"
        body = await asyncio.to_thread(export_html, conversation, most)
    stem = conversation.title[:80].rstrip(". ") or conversation.id
    name = quote(f"{stem}.{ending}", safe="")
    return web.Response(
        body=body,
        headers={
            "Content-Type": kind if kind == JSON else f"{kind}; charset=utf-8",
            "Content-Disposition": f"attachment; filename*=UTF-8''{name}",
        },
    )


def _archive(request: web.Request) -> Archive:
    archive = request.app.get(ARCHIVE)
    if archive is None:
        raise ConversationsOff("this server keeps no conversations")
    return archive


def _owner(request: web.Request) -> str:
    return request[CALLER].principal.id


_GROUP: Final = "Conversations"
_SUMMARY: Final = Reply("How the conversation stands now.", {JSON: Summary})
_BEGUN: Final = Reply("The conversation.", {JSON: Summary}, status=201)
_TURN: Final = "/conversations/{id}/turns/{turn}/vote"

OPERATIONS: Final = (
    Operation(
        "GET",
        "/conversations",
        browse,
        _GROUP,
        "List one's conversations, last changed first, or find those with certain words.",
        Reply("Some of them.", {JSON: Listing}),
        query=(_WORDS, _DELETED, _LIMIT, _BEFORE),
        errors=(400, 404, 503),
        example=True,
    ),
    Operation(
        "POST",
        "/conversations",
        create,
        _GROUP,
        "Begin a conversation. What is said in it comes by `generate` on the socket.",
        _BEGUN,
        body=Outline,
        errors=(400, 404, 409, 413, 415, 503),
        example={"title": "Lighthouses"},
    ),
    Operation(
        "POST",
        "/conversations/import",
        take_in,
        _GROUP,
        "Take an exported conversation back, as a new one of one's own.",
        _BEGUN,
        body=Export,
        errors=(400, 404, 409, 413, 415, 503),
    ),
    Operation(
        "GET",
        "/conversations/{id}",
        show,
        _GROUP,
        "Show a whole conversation, with what is being written just now.",
        Reply("The conversation.", {JSON: Conversation}),
        query=(_FULL,),
        errors=(400, 404, 503),
    ),
    Operation(
        "GET",
        "/conversations/{id}/answers/{answer}/tokens",
        show_tokens,
        _GROUP,
        "Show what an answer was written in, with how likely each token was: of those asked with"
        " `details`, and none of others.",
        Reply("The tokens.", {JSON: Tokens}),
        errors=(400, 404, 503),
    ),
    Operation(
        "PATCH",
        "/conversations/{id}",
        change,
        _GROUP,
        "Give a conversation another title, other columns or another view.",
        _SUMMARY,
        body=Change,
        errors=(400, 404, 409, 413, 415, 503),
    ),
    Operation(
        "DELETE",
        "/conversations/{id}",
        delete,
        _GROUP,
        "Delete a conversation, so that it can be restored for a while.",
        _SUMMARY,
        query=(_FOREVER,),
        errors=(400, 404, 503),
    ),
    Operation(
        "POST",
        "/conversations/{id}/restore",
        restore,
        _GROUP,
        "Take a deletion back.",
        _SUMMARY,
        errors=(404, 409, 503),
    ),
    Operation(
        "PUT",
        _TURN,
        vote,
        _GROUP,
        "Say which answers to a turn are better than the others, or that none is.",
        Reply("The vote.", {JSON: Vote}),
        body=VoteGiven,
        errors=(400, 404, 409, 413, 415, 503),
    ),
    Operation(
        "DELETE",
        _TURN,
        take_vote_back,
        _GROUP,
        "Take a vote back.",
        Reply("There is none any more.", status=204),
        errors=(404, 503),
    ),
    Operation(
        "GET",
        "/conversations/{id}/export",
        export,
        _GROUP,
        "Have a conversation as a file: all of it as JSON, or to be read.",
        Reply("The file.", {JSON: Export, MARKDOWN: str, HTML: str}),
        query=(_FORM,),
        errors=(400, 404, 409, 503),
    ),
)
