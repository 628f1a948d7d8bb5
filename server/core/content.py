"""A message's content: text alone, or parts, which are text and attachments."""

from collections.abc import Sequence

import msgspec

from server.core.protocol import Content, FilePart, ImagePart, Message, TextPart


def text_of(content: Content) -> str:
    """Return the text of a content, its parts joined as they are; pictures and files have none."""
    if isinstance(content, str):
        return content
    return "".join(part.text for part in content if isinstance(part, TextPart))


def attachment_parts(content: Content) -> list[ImagePart | FilePart]:
    """Return the parts of a content that are attachments, in order."""
    if isinstance(content, str):
        return []
    return [part for part in content if not isinstance(part, TextPart)]


def pictures_in(content: Sequence[Message] | str) -> list[str]:
    """Return the ids of the pictures in a prompt, in order, each as often as it is there."""
    if isinstance(content, str):
        return []
    parts = (part for message in content for part in attachment_parts(message.content))
    return [part.attachment for part in parts if isinstance(part, ImagePart)]


def with_content(message: Message, content: Content) -> Message:
    """Return a message with another content, joined to one text where it has nothing else."""
    if not isinstance(content, str) and all(isinstance(part, TextPart) for part in content):
        content = text_of(content)
    return msgspec.structs.replace(message, content=content)
