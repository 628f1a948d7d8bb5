"""Open WebUI's export: a list of chats, each a tree of messages in `chat.history`.

Several models may answer one message: each has its column, and a model that was chosen twice has
two. Thinking and calls of tools stand in an answer's text as `<details>`: thinking is taken out of
it, calls are left out and counted. Pictures are taken over if the export has their bytes.
"""

import base64
import binascii
import html
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from server.archive.foreign.message_tree import (
    UNKNOWN_MODEL,
    Kind,
    Said,
    Talk,
    column_for,
    moment,
)
from server.archive.shapes import Column, StoredAttachment, Tag
from server.core.attachments import AttachmentLimits, examine
from server.core.errors import InvalidAttachment
from server.core.protocol import ImagePart

_DETAILS: Final = re.compile(
    r"<details\s+type=\"(?P<type>\w+)\"[^>]*>\s*(?:<summary>.*?</summary>)?(?P<inner>.*?)</details>\n*",
    re.DOTALL,
)
_QUOTE: Final = re.compile(r"^> ?", re.MULTILINE)
_DATA_URL: Final = re.compile(r"data:image/[\w.+-]+;base64,")


class Message(msgspec.Struct):
    """A message; `model` and `modelIdx` say which column it is in."""

    role: str
    content: str | list[Any] | None = None
    id: str | None = None
    parentId: str | None = None  # noqa: N815 - its name in the export
    model: str | None = None
    modelIdx: int | None = None  # noqa: N815 - its name in the export
    timestamp: float | str | None = None
    files: list[Any] | None = None
    error: Any = None
    reasoning_content: str | None = None
    done: bool | None = None


class History(msgspec.Struct):
    """The tree of messages, and which was shown last."""

    messages: dict[str, Message]
    currentId: str | None = None  # noqa: N815 - its name in the export


class Chat(msgspec.Struct):
    """What a chat consists of; old exports have no `history`, only the way that was shown."""

    title: str | None = None
    history: History | None = None
    messages: list[Message] | None = None
    timestamp: float | str | None = None
    system: str | None = None
    tags: list[Any] | None = None


class Exported(msgspec.Struct):
    """A chat of the export."""

    chat: Chat
    title: str | None = None
    created_at: float | str | None = None
    updated_at: float | str | None = None
    pinned: bool | None = None
    meta: dict[str, Any] | None = None


def read_open_webui(exported: Exported, left_out: Counter[Kind], limits: AttachmentLimits) -> Talk:
    """Return a chat of the export; count what is left out of it."""
    chat = exported.chat
    messages, current = _messages(chat)
    columns: dict[tuple[str, int], Column] = {}
    pictures: dict[str, StoredAttachment] = {}
    said = [
        _said(name, message, columns, pictures, left_out, limits)
        for name, message in messages.items()
    ]
    if chat.system and chat.system.strip():
        columns = {
            key: msgspec.structs.replace(column, system=chat.system)
            for key, column in columns.items()
        }
    first = min((one.created for one in said if one.created), default=0.0)
    created = moment(exported.created_at, moment(chat.timestamp, first))
    return Talk(
        title=exported.title or chat.title or "",
        created=created,
        updated=moment(exported.updated_at, created),
        said=said,
        current=current,
        columns=list(columns.values()),
        pinned=bool(exported.pinned),
        tags=_tags(exported),
        attachments=list(pictures.values()),
    )


def _messages(chat: Chat) -> tuple[dict[str, Message], str | None]:
    if chat.history is not None and chat.history.messages:
        return chat.history.messages, chat.history.currentId
    messages: dict[str, Message] = {}
    before: str | None = None
    for number, message in enumerate(chat.messages or []):
        name = message.id or f"m{number}"
        if message.parentId is None:
            message.parentId = before
        messages[name] = message
        before = name
    return messages, before


def _said(
    name: str,
    message: Message,
    columns: dict[tuple[str, int], Column],
    pictures: dict[str, StoredAttachment],
    left_out: Counter[Kind],
    limits: AttachmentLimits,
) -> Said:
    said = Said(name, message.parentId, "other", created=moment(message.timestamp, 0.0) or None)
    if message.role == "system":
        left_out["instructions"] += 1
        return said
    if message.role not in {"user", "assistant"}:
        left_out["tools" if message.role == "tool" else "others"] += 1
        return said
    files = message.files or []
    text = message.content
    if isinstance(text, list):
        files = [*files, *(part for part in text if _picture_of(part))]
        text = "\n\n".join(
            part["text"] for part in text if isinstance(part, dict) and _is_text(part.get("text"))
        )
    said.text = text or ""
    if message.role == "user":
        said.role = "user"
        said.attached = _attached(files, pictures, left_out, limits)
        return said
    said.role = "assistant"
    said.text, said.reasoning = _divide(said.text, left_out)
    said.reasoning = said.reasoning or message.reasoning_content or ""
    said.model = message.model or UNKNOWN_MODEL
    key = (said.model, message.modelIdx or 0)
    if key not in columns:
        columns[key] = column_for(said.model, [*columns.values()])
    said.column = columns[key].id
    said.error = _error(message.error)
    if message.done is False and not said.error:
        said.finish_reason = "interrupted"
    left_out["pictures"] += len(files)
    return said


def _divide(text: str, left_out: Counter[Kind]) -> tuple[str, str]:
    """Return an answer's text and its thinking."""
    thoughts: list[str] = []

    def taken(found: re.Match[str]) -> str:
        if found["type"] == "reasoning":
            thoughts.append(_QUOTE.sub("", html.unescape(found["inner"])).strip())
        elif found["type"] in {"tool_calls", "code_interpreter"}:
            left_out["tools"] += 1
        else:
            return found[0]
        return ""

    answer = _DETAILS.sub(taken, text)
    return answer.strip() if answer != text else text, "\n\n".join(thoughts)


def _attached(
    files: Sequence[Any],
    pictures: dict[str, StoredAttachment],
    left_out: Counter[Kind],
    limits: AttachmentLimits,
) -> list[ImagePart]:
    parts: list[ImagePart] = []
    for file in files:
        url = _picture_of(file)
        if not url:
            left_out["files"] += 1
            continue
        try:
            found = examine(_bytes_of(url), _name_of(file), limits)
        except (binascii.Error, InvalidAttachment):
            left_out["pictures"] += 1
            continue
        pictures[found.id] = StoredAttachment(
            **msgspec.structs.asdict(found), data=url[url.index(",") + 1 :]
        )
        parts.append(ImagePart(found.id))
    return parts


def _picture_of(file: Any) -> str:
    """Return the address of a picture, or nothing if it is another file."""
    if not isinstance(file, dict):
        return ""
    url = file.get("image_url") if file.get("type") == "image_url" else file.get("url")
    if isinstance(url, dict):
        url = url.get("url")
    is_picture = file.get("type") in {"image", "image_url"} or (
        str(file.get("content_type", "")).startswith("image/")
    )
    return url if is_picture and isinstance(url, str) else ""


def _bytes_of(url: str) -> bytes:
    found = _DATA_URL.match(url)
    return base64.b64decode(url[found.end() :], validate=True) if found else b""


def _name_of(file: dict[str, Any]) -> str:
    name = file.get("name")
    return name if isinstance(name, str) else ""


def _error(error: Any) -> str:
    if isinstance(error, dict):
        error = error.get("content") or error.get("message") or error.get("detail")
    if isinstance(error, str):
        return error
    return "The model failed." if error else ""


def _tags(exported: Exported) -> list[str]:
    named = (exported.meta or {}).get("tags") or exported.chat.tags or []
    tags: list[str] = []
    for one in named if isinstance(named, list) else []:
        name = one.get("name") if isinstance(one, dict) else one
        try:
            tags.append(msgspec.convert(name, Tag))
        except msgspec.ValidationError:
            continue
    return list(dict.fromkeys(tags))[:20]


def _is_text(value: Any) -> bool:
    return isinstance(value, str)
