"""Pictures in requests of OpenAI's form: taken out of their `data:` URLs, and checked.

They go with the request and are stored nowhere. Nothing is fetched: a gateway that did would ask,
for anybody, whatever addresses it can reach.
"""

import binascii
import re
from collections.abc import Mapping, Sequence
from typing import Final

from server.chat.prompt_attachments import PromptAttachments, Read, check_attachments
from server.core.attachments import Attachment, AttachmentLimits, examine
from server.core.content import with_content
from server.core.errors import InvalidAttachment, InvalidCommand, PromptTooLong
from server.core.protocol import ContentPart, ImagePart, Message, TextPart
from server.web.http.openai.requests import ChatMessage, ChatTextPart, UserMessage

_DATA: Final = re.compile(r"data:[^,]{0,200};base64,", re.IGNORECASE)
_SHOWN_CHARS: Final = 40
# Each is examined; more would only be tiny ones, to keep the gateway busy.
_MOST_PICTURES: Final = 1_000


def extract_pictures(
    messages: Sequence[ChatMessage], plain: Sequence[Message], limits: AttachmentLimits
) -> tuple[list[Message], PromptAttachments]:
    """Return the messages of a chat, and its pictures; `plain` has the text of each message.

    It takes a while for large ones: call it in a thread. Raises `InvalidAttachment`, or
    `InvalidCommand` for an address that is no `data:` URL, `PromptTooLong` for too many.
    """
    files: dict[str, Attachment] = {}
    data: dict[str, bytes] = {}
    found: list[Message] = []
    count = 0
    for number, (message, text) in enumerate(zip(messages, plain, strict=True)):
        if not isinstance(message, UserMessage) or not isinstance(message.content, list):
            found.append(text)
            continue
        parts: list[ContentPart] = []
        for place, part in enumerate(message.content):
            if isinstance(part, ChatTextPart):
                parts.append(TextPart(part.text))
                continue
            where = f"at `$.messages[{number}].content[{place}].image_url.url`"
            count += 1
            if count > _MOST_PICTURES:
                raise PromptTooLong(f"a prompt has {_MOST_PICTURES:,} pictures at most - {where}")
            picture = _decoded(part.image_url.url, where)
            file = _examined(picture, limits, where)
            files[file.id], data[file.id] = file, picture
            parts.append(ImagePart(file.id))
        found.append(with_content(text, parts))
    check_attachments(found, files, limits)
    return found, PromptAttachments(files, _reader(data))


def has_pictures(messages: Sequence[ChatMessage]) -> bool:
    """Tell whether a chat has parts other than text."""
    return any(
        not isinstance(part, ChatTextPart)
        for message in messages
        if isinstance(message, UserMessage) and isinstance(message.content, list)
        for part in message.content
    )


def _decoded(url: str, where: str) -> bytes:
    head = _DATA.match(url)
    if head is None:
        shown = url[:_SHOWN_CHARS]
        raise InvalidCommand(
            f"{shown!r} is not fetched: pictures are taken as `data:` URLs in base64 - {where}",
            hint="send `data:image/png;base64,…`",
        )
    try:
        return binascii.a2b_base64(url[head.end() :].encode("ascii"), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise InvalidAttachment(f"the picture is not base64: {error} - {where}") from None


def _examined(data: bytes, limits: AttachmentLimits, where: str) -> Attachment:
    try:
        file = examine(data, "", limits)
    except InvalidAttachment as error:
        raise type(error)(f"{error.message} - {where}", hint=error.hint) from None
    if file.kind != "image":
        raise InvalidAttachment(f"the picture is none, but text - {where}")
    return file


def _reader(data: Mapping[str, bytes]) -> Read:
    async def read(attachment: str) -> bytes:
        return data[attachment]

    return read
