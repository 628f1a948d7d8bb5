"""The operations on stored conversations: list, search, change, export, import."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Annotated, Final, Literal

import msgspec
from aiohttp import web

from server import __version__
from server.archive.archive import Archive
from server.archive.bundles import ZIP, Bundle
from server.archive.exports import HTML, MARKDOWN, export_html, export_json, export_markdown
from server.archive.files import MAX_EXPORTED_BYTES
from server.archive.shapes import (
    Change,
    Changed,
    Changes,
    Conversation,
    Export,
    ExportRequest,
    Form,
    ImportResult,
    Listing,
    Outline,
    Summary,
    TagList,
    Tokens,
)
from server.core.errors import ConversationsOff, SidestreamError
from server.web.bodies import (
    Query,
    check_is_json,
    file_response,
    json_response,
    read_body,
    read_bytes,
)
from server.web.entry.gate import CALLER
from server.web.http.operations import JSON, Group, Reply
from server.web.keys import ARCHIVE, FLEET

logger = logging.getLogger(__name__)

_WORDS: Final = Query(
    "q",
    Annotated[str, msgspec.Meta(max_length=200)],
    "",
    "Words that all occur in a title, a prompt or an answer; there are no search operators.",
)
_REASONING: Final = Query(
    "reasoning", bool, False, "Whether `q` is looked for in models' thinking too: 1 or 0."
)
_DELETED: Final = Query("deleted", bool, False, "Whether to list deleted conversations: 1 or 0.")
_PINNED: Final = Query(
    "pinned",
    Literal["any", "only", "none"],
    "any",
    "Which to list: all, only pinned ones, or none of them.",
)
_TAG: Final = Query(
    "tag", Annotated[str, msgspec.Meta(max_length=50)], "", "A tag that they all have."
)
LIMIT: Final = Query("limit", Annotated[int, msgspec.Meta(ge=1, le=200)], 50, "How many at most.")
BEFORE: Final = Query(
    "before",
    Annotated[str, msgspec.Meta(pattern=r"^([0-9]{1,12}(\.[0-9]{1,20})?:[0-9]{1,18})?(?!\n)$")],
    "",
    "The value of `next` of the page before.",
)
_FULL: Final = Query(
    "full", bool, False, "Whether to include prompts and details of tokens: 1 or 0."
)
_FOREVER: Final = Query("forever", bool, False, "Whether to delete it for good: 1 or 0.")
_FORM: Final[Query[Form]] = Query("form", Form, "json", "The format: data, Markdown, or a page.")
# JSON may write a character in six bytes, and tokens take more room than their text.
_MAX_IMPORT_FACTOR: Final = 8
# Attachments as base64, with what each is.
_MAX_IMPORTED_FILES: Final = MAX_EXPORTED_BYTES * 3 // 2

_KINDS: Final[dict[Form, tuple[str, str]]] = {
    "json": (JSON, "json"),
    "markdown": (MARKDOWN, "md"),
    "html": (HTML, "html"),
}
_IS_PINNED: Final = {"any": None, "only": True, "none": False}

GROUP: Final = Group("Conversations")
_SUMMARY: Final = Reply("The conversation's summary.", {JSON: Summary})
_BEGUN: Final = Reply("The conversation.", {JSON: Summary}, status=201)


@GROUP.operation(
    "GET",
    "/conversations",
    Reply("A page of the list.", {JSON: Listing}),
    query=(_WORDS, _REASONING, _DELETED, _PINNED, _TAG, LIMIT, BEFORE),
    errors=(400, 404, 503),
    example=True,
    role="user",
)
async def browse(request: web.Request) -> web.StreamResponse:
    """List the caller's conversations, last changed first, or search them."""
    listing = await archive_of(request).browse(
        owner_of(request),
        words=_WORDS.read(request),
        with_reasoning=_REASONING.read(request),
        deleted=_DELETED.read(request),
        pinned=_IS_PINNED[_PINNED.read(request)],
        tag=_TAG.read(request),
        before=BEFORE.read(request),
        limit=LIMIT.read(request),
    )
    return json_response(listing)


@GROUP.operation(
    "POST",
    "/conversations",
    _BEGUN,
    body=Outline,
    errors=(400, 404, 409, 413, 415, 503),
    example={"title": "Lighthouses"},
    role="user",
)
async def create(request: web.Request) -> web.StreamResponse:
    """Create a conversation.

    Prompts and answers are added by `generate` on the socket.
    """
    archive = archive_of(request)
    outline = await read_body(request, Outline)
    return json_response(await archive.create(owner_of(request), outline), status=201)


@GROUP.operation(
    "PATCH",
    "/conversations",
    Reply("Their summaries.", {JSON: Changed}),
    body=Changes,
    errors=(400, 404, 409, 413, 415, 503),
    role="user",
)
async def change_several(request: web.Request) -> web.StreamResponse:
    """Pin, tag, delete or restore several conversations: all, or none of them."""
    archive = archive_of(request)
    changes = await read_body(request, Changes)
    return json_response(await archive.change_several(owner_of(request), changes))


@GROUP.operation(
    "GET",
    "/conversations/tags",
    Reply("The tags.", {JSON: TagList}),
    errors=(404, 503),
    role="user",
)
async def tags(request: web.Request) -> web.StreamResponse:
    """List the tags that the caller's conversations have."""
    return json_response(await archive_of(request).tags(owner_of(request)))


@GROUP.operation(
    "POST",
    "/conversations/export",
    Reply(
        "A list of exports, or a ZIP archive with a document for each.",
        {JSON: list[Export], ZIP: bytes},
    ),
    body=ExportRequest,
    errors=(400, 404, 409, 413, 415, 503),
    role="user",
)
async def export_several(request: web.Request) -> web.StreamResponse:
    """Export several conversations as one file, which is written as it is made."""
    archive, owner = archive_of(request), owner_of(request)
    wanted = await read_body(request, ExportRequest)
    await archive.check_known(owner, wanted.ids)
    is_json = wanted.form == "json"
    response = web.StreamResponse(
        headers={
            "Content-Type": JSON if is_json else ZIP,
            "Content-Disposition": f"attachment; filename=chats.{'json' if is_json else 'zip'}",
        }
    )
    await response.prepare(request)
    bundle = Bundle(wanted.form)
    names = _names(request)
    for conversation_id in dict.fromkeys(wanted.ids):
        try:
            name, body = await _exported(archive, owner, conversation_id, wanted.form, names)
        except SidestreamError as error:
            logger.warning("the export of several lacks %s: %s", conversation_id, error)
            if is_json and request.transport is not None:
                request.transport.abort()  # a part is sent: that it breaks off is all that can tell
                return response
            name, body = f"{conversation_id} is missing.txt", str(error).encode()
        await response.write(await asyncio.to_thread(bundle.add, name, body))
    await response.write_eof(bundle.end())
    return response


@GROUP.operation(
    "POST",
    "/conversations/import",
    Reply("What was imported.", {JSON: ImportResult}, status=201),
    body=Export,
    errors=(400, 404, 409, 413, 415, 503),
    role="user",
)
async def take_in(request: web.Request) -> web.StreamResponse:
    """Import conversations as new ones: an export of Sidestream, ChatGPT or Open WebUI."""
    archive = archive_of(request)
    check_is_json(request)
    body = await read_bytes(
        request,
        _MAX_IMPORT_FACTOR * archive.limits.conversation_chars + _MAX_IMPORTED_FILES,
        too_large="the export is too large",
        hint="raise `max_conversation_size` in [conversations]",
    )
    return json_response(await archive.import_export(owner_of(request), body), status=201)


@GROUP.operation(
    "GET",
    "/conversations/{id}",
    Reply("The conversation.", {JSON: Conversation}),
    query=(_FULL,),
    errors=(400, 404, 503),
    role="user",
)
async def show(request: web.Request) -> web.StreamResponse:
    """Show a whole conversation, including answers that are being generated."""
    conversation = await archive_of(request).load(
        owner_of(request), request.match_info["id"], is_full=_FULL.read(request)
    )
    return json_response(conversation)


@GROUP.operation(
    "GET",
    "/conversations/{id}/answers/{answer}/tokens",
    Reply("The tokens.", {JSON: Tokens}),
    errors=(400, 404, 503),
    role="user",
)
async def show_tokens(request: web.Request) -> web.StreamResponse:
    """Show an answer's tokens with their log probabilities.

    An empty list if it was not generated with `details`.
    """
    names = request.match_info
    tokens = await archive_of(request).tokens(owner_of(request), names["id"], names["answer"])
    return json_response(tokens)


@GROUP.operation(
    "PATCH",
    "/conversations/{id}",
    _SUMMARY,
    body=Change,
    errors=(400, 404, 409, 413, 415, 503),
    role="user",
)
async def change(request: web.Request) -> web.StreamResponse:
    """Change a conversation's title, columns or view."""
    archive = archive_of(request)
    body = await read_body(request, Change)
    summary = await archive.change(owner_of(request), request.match_info["id"], body)
    return json_response(summary)


@GROUP.operation(
    "DELETE",
    "/conversations/{id}",
    _SUMMARY,
    query=(_FOREVER,),
    errors=(400, 404, 503),
    role="user",
)
async def delete(request: web.Request) -> web.StreamResponse:
    """Delete a conversation; it can be restored for a while."""
    summary = await archive_of(request).delete(
        owner_of(request), request.match_info["id"], forever=_FOREVER.read(request)
    )
    return json_response(summary)


@GROUP.operation(
    "POST", "/conversations/{id}/restore", _SUMMARY, errors=(404, 409, 503), role="user"
)
async def restore(request: web.Request) -> web.StreamResponse:
    """Restore a deleted conversation."""
    archive = archive_of(request)
    return json_response(await archive.restore(owner_of(request), request.match_info["id"]))


@GROUP.operation(
    "GET",
    "/conversations/{id}/export",
    Reply("The file.", {JSON: Export, MARKDOWN: str, HTML: str}),
    query=(_FORM,),
    errors=(400, 404, 409, 503),
    role="user",
)
async def export(request: web.Request) -> web.StreamResponse:
    """Export a conversation as a file: JSON with everything, or a document to read."""
    form: Form = _FORM.read(request)
    name, body = await _exported(
        archive_of(request), owner_of(request), request.match_info["id"], form, _names(request)
    )
    kind, _ = _KINDS[form]
    return file_response(body, kind if kind == JSON else f"{kind}; charset=utf-8", name)


def _names(request: web.Request) -> dict[str, str]:
    """Return what models are called, by their ids."""
    return {model.id: model.name for model in request.app[FLEET].snapshots()}


async def _exported(
    archive: Archive, owner: str, conversation_id: str, form: Form, names: Mapping[str, str]
) -> tuple[str, bytes]:
    """Return the name and the content of an exported conversation."""
    conversation = await archive.load(
        owner, conversation_id, is_full=form == "json", with_files=form != "markdown"
    )
    most = archive.limits.conversation_chars
    # Writing a long one in the loop would delay everything else.
    if form == "json":
        body = await asyncio.to_thread(export_json, conversation, __version__)
    else:
        write = export_markdown if form == "markdown" else export_html
        body = await asyncio.to_thread(write, conversation, most, names)
    stem = conversation.title[:80].rstrip(". ") or conversation.id
    return f"{stem}.{_KINDS[form][1]}", body


def archive_of(request: web.Request) -> Archive:
    """Return where conversations are stored; raises `ConversationsOff`."""
    archive = request.app.get(ARCHIVE)
    if archive is None:
        raise ConversationsOff("this server keeps no conversations")
    return archive


def owner_of(request: web.Request) -> str:
    """Return whose conversations and votes the request is about."""
    return request[CALLER].principal.id
