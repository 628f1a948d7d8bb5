"""ChatGPT's `conversations.json`: a list of conversations, each a tree of messages in `mapping`.

One column has all answers, since one history led to them; an answer of another model than the
column's says so. Messages to and from tools, and what is only pointed to, are left out and counted.
"""

import re
from collections import Counter
from typing import Any, Final, Literal

import msgspec

from server.archive.foreign.message_tree import (
    UNKNOWN_MODEL,
    Kind,
    Said,
    Talk,
    column_for,
    moment,
)
from server.archive.shapes import Column

# What a part of a message is that only a pointer is exported of, by the end of its type.
_POINTERS: Final[tuple[tuple[str, Kind], ...]] = (
    ("image_asset_pointer", "pictures"),
    ("audio_transcription", "sounds"),
    ("audio_asset_pointer", "sounds"),
    ("video_container_asset_pointer", "sounds"),
)
# Signs around citations, which point to what is not in the export.
_CITATION: Final = re.compile("\ue200.*?\ue201|\u3010[^\u3011]{0,40}\u2020[^\u3011]{0,80}\u3011")
_ENDS: Final[dict[str, Literal["length", "cancelled"]]] = {
    "max_tokens": "length",
    "interrupted": "cancelled",
}


class Author(msgspec.Struct):
    """Who said a message."""

    role: str


class Thought(msgspec.Struct):
    """A step of what a model thought."""

    summary: str | None = None
    content: str | None = None


class Content(msgspec.Struct):
    """What was said: text, or parts."""

    content_type: str
    parts: list[Any] | None = None
    text: str | None = None
    thoughts: list[Thought] | None = None


class Message(msgspec.Struct):
    """A message; `recipient` is `all`, or the tool that it is for."""

    author: Author
    content: Content | None = None
    create_time: float | str | None = None
    recipient: str | None = None
    metadata: dict[str, Any] | None = None


class Node(msgspec.Struct):
    """A place in the tree; the first have no message."""

    parent: str | None = None
    message: Message | None = None


class Exported(msgspec.Struct):
    """A conversation of the export."""

    mapping: dict[str, Node]
    title: str | None = None
    create_time: float | str | None = None
    update_time: float | str | None = None
    current_node: str | None = None
    default_model_slug: str | None = None
    is_starred: bool | None = None


def read_chatgpt(exported: Exported, left_out: Counter[Kind]) -> Talk:
    """Return a conversation of the export; count what is left out of it."""
    said = [_said(name, node, left_out) for name, node in exported.mapping.items()]
    models = Counter(one.model for one in said if one.role == "assistant" and one.model)
    named = exported.default_model_slug
    usual = models.most_common(1)[0][0] if models else named or UNKNOWN_MODEL
    column: Column = column_for(usual, ())
    for one in said:
        one.column, one.model = column.id, one.model or usual
    created = moment(
        exported.create_time, min((one.created for one in said if one.created), default=0.0)
    )
    return Talk(
        title=exported.title or "",
        created=created,
        updated=moment(exported.update_time, created),
        said=said,
        current=exported.current_node,
        columns=[column] if any(one.role == "assistant" for one in said) else [],
        pinned=bool(exported.is_starred),
    )


def _said(name: str, node: Node, left_out: Counter[Kind]) -> Said:
    message = node.message
    said = Said(name, node.parent, "other")
    if message is None or message.content is None:
        return said
    metadata, role = message.metadata or {}, message.author.role
    said.created = moment(message.create_time, 0.0) or None
    model = metadata.get("model_slug")
    said.model = model if isinstance(model, str) else ""
    if role == "tool" or (message.recipient or "all") != "all":
        left_out["tools"] += 1
    elif role == "system" or metadata.get("is_visually_hidden_from_conversation") is True:
        if _text(message.content, Counter()).strip():
            left_out["instructions"] += 1
    elif role in {"user", "assistant"}:
        _take(said, message.content, left_out)
        if said.text or said.reasoning or role == "user":
            said.role = "user" if role == "user" else "assistant"
        _count_files(metadata, left_out)
        details = metadata.get("finish_details")
        end = details.get("type") if isinstance(details, dict) else None
        said.finish_reason = _ENDS.get(end, "stop") if isinstance(end, str) else "stop"
    else:
        left_out["others"] += 1
    return said


def _take(said: Said, content: Content, left_out: Counter[Kind]) -> None:
    kind = content.content_type
    if kind in {"text", "multimodal_text"}:
        said.text = _CITATION.sub("", _text(content, left_out))
    elif kind == "code":
        said.text = f"```\n{content.text or ''}\n```" if content.text else ""
    elif kind == "thoughts":
        steps = content.thoughts or []
        said.reasoning = "\n\n".join(
            "\n\n".join(filter(None, [step.summary and f"**{step.summary}**", step.content]))
            for step in steps
        )
    elif kind == "reasoning_recap":
        pass  # "Thought for 12 seconds"
    elif kind in {"user_editable_context", "model_editable_context"}:
        left_out["instructions"] += 1
    elif kind == "system_error":
        said.error = content.text or "The model failed."
        said.text = ""
    else:
        said.text = _text(content, left_out)
        if not said.text:
            left_out["others"] += 1


def _text(content: Content, left_out: Counter[Kind]) -> str:
    """Return the text of a message; count the parts of it that are no text."""
    texts: list[str] = []
    for part in content.parts or []:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict):
            kind = str(part.get("content_type", ""))
            if isinstance(part.get("text"), str):
                texts.append(part["text"])  # what was spoken is written, too
            left_out[next((one for end, one in _POINTERS if kind.endswith(end)), "others")] += 1
    if isinstance(content.text, str) and not texts:
        texts.append(content.text)
    return "\n\n".join(text for text in texts if text.strip())


def _count_files(metadata: dict[str, Any], left_out: Counter[Kind]) -> None:
    files = metadata.get("attachments")
    for file in files if isinstance(files, list) else []:
        kind = file.get("mime_type") if isinstance(file, dict) else None
        if not (isinstance(kind, str) and kind.startswith("image/")):
            left_out["files"] += 1  # a picture is among the parts, too
