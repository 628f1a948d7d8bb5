"""The operations on attachments: put one, show one."""

import asyncio
from typing import Annotated, Final
from urllib.parse import quote

import msgspec
from aiohttp import web

from server.core.attachments import TEXT, Attachment, examine
from server.core.protocol import MAX_NAME_CHARS
from server.web.bodies import Query, json_response, read_bytes
from server.web.entry.gate import CALLER
from server.web.http.operations import BYTES, JSON, Group, Reply
from server.web.http.operations import TEXT as TEXT_TYPE
from server.web.keys import ATTACHMENTS

GROUP: Final = Group("Attachments")
_NAME: Final = Query(
    "name",
    Annotated[str, msgspec.Meta(max_length=MAX_NAME_CHARS)],
    "",
    "What the file is called; models read it before a file's text.",
)
# A picture is shown by itself, and nothing that it might be taken for runs.
_POLICY: Final = "default-src 'none'; sandbox"


@GROUP.operation(
    "PUT",
    "/attachments",
    Reply("What it is, and the id that messages name it by.", {JSON: Attachment}),
    body=bytes,
    body_type=BYTES,
    query=(_NAME,),
    errors=(400, 408, 409, 413, 415, 422, 503),
    role="user",
)
async def put(request: web.Request) -> web.StreamResponse:
    """Give a picture (PNG, JPEG, GIF, WebP) or a text file (UTF-8) for later messages.

    The body is the file. What it is follows from its bytes. The same file put again is the same
    attachment.
    """
    attachments = request.app[ATTACHMENTS]
    name = _NAME.read(request)
    data = await read_bytes(
        request,
        attachments.limits.bytes,
        too_large="the file is too large",
        hint="`max_file_size` in [attachments] says how large it may be",
    )
    # In a thread: the sum of a large file would hold up the event loop.
    found = await asyncio.to_thread(examine, data, name, attachments.limits)
    return json_response(await attachments.put(request[CALLER].principal.id, found, data))


@GROUP.operation(
    "GET",
    "/attachments/{id}",
    Reply(
        "The file.",
        {TEXT_TYPE: str} | {f"image/{form}": str for form in ("png", "jpeg", "gif", "webp")},
    ),
    errors=(404, 503),
    role="user",
)
async def show(request: web.Request) -> web.StreamResponse:
    """Show one of the caller's attachments."""
    attachments, owner = request.app[ATTACHMENTS], request[CALLER].principal.id
    wanted = request.match_info["id"]
    found = (await attachments.find(owner, [wanted]))[wanted]
    is_text = found.kind == "text"
    headers = {
        "Content-Type": f"{TEXT}; charset=utf-8" if is_text else found.media_type,
        "Content-Disposition": f"{'attachment' if is_text else 'inline'}; "
        f"filename*=UTF-8''{quote(found.name, safe='')}",
        "Content-Security-Policy": _POLICY,
        # Asked for again each time, so that what is gone is gone; it never changes.
        "Cache-Control": "private, no-cache",
        "ETag": f'"{found.id}"',
    }
    if headers["ETag"] in request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers=headers)
    if request.method == "HEAD":
        return web.Response(headers={**headers, "Content-Length": str(found.bytes)})
    return web.Response(body=await attachments.read(owner, wanted), headers=headers)
