"""The attachments of a prompt: checked before anything starts, read when the model is asked.

Rules:

1. A command names attachments by their ids; they are looked up before anything starts.
2. Their bytes are read when it is the answer's turn, and not held while it waits or is written.
3. A text file becomes text, with its name. A model that does not see is asked without pictures only
   where that was allowed; messages of text alone are plain text for every server.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from server.archive.attachments import Attachments
from server.core.attachments import Attachment, AttachmentLimits, text_of_file
from server.core.content import attachment_parts, text_of, with_content
from server.core.errors import InvalidCommand, PromptTooLong
from server.core.protocol import ContentPart, FilePart, ImagePart, Message, Notice, TextPart
from server.dialects.pictures import Picture

_PLACE: Final = "[a picture was left out]"

Read = Callable[[str], Awaitable[bytes]]
"""Return the bytes of an attachment; raises `UnknownAttachment` or `StorageFailed`."""


async def _nothing(attachment: str) -> bytes:
    raise ValueError(f"the prompt has no attachment {attachment}")


@dataclass(frozen=True)
class PromptAttachments:
    """The attachments of a prompt by id, and how to read them."""

    files: Mapping[str, Attachment] = field(default_factory=dict)
    read: Read = field(default=_nothing, repr=False)

    async def fetch_picture(self, attachment: str) -> Picture:
        """Return a picture with its bytes; raises what `read` does."""
        return Picture(self.files[attachment].media_type, await self.read(attachment))

    def file_chars(self, messages: Sequence[Message]) -> int:
        """Return how many characters the text files of a conversation have at most."""
        return sum(
            self.files[part.attachment].bytes
            for message in messages
            for part in attachment_parts(message.content)
            if isinstance(part, FilePart)
        )

    def named(self, messages: Sequence[Message]) -> list[Message]:
        """Return messages in which every file has its name, as they are stored."""
        return [
            with_content(message, [self._named(part) for part in message.content])
            if not isinstance(message.content, str)
            else message
            for message in messages
        ]

    async def as_asked(
        self, messages: Sequence[Message], *, with_pictures: bool
    ) -> tuple[list[Message], list[Notice]]:
        """Return what a model is asked with, and a notice if pictures were left out.

        Raises what `read` does.
        """
        texts = {
            part.attachment: text_of_file(await self.read(part.attachment))
            for message in messages
            for part in attachment_parts(message.content)
            if isinstance(part, FilePart)
        }
        asked: list[Message] = []
        left_out = 0
        for message in messages:
            if isinstance(message.content, str):
                asked.append(message)
                continue
            parts: list[ContentPart] = []
            before = left_out
            for part in message.content:
                if isinstance(part, FilePart):
                    name = part.name or self.files[part.attachment].name
                    text = _framed(name, texts[part.attachment])
                    parts.append(TextPart(f"\n{text}" if parts else text))
                elif with_pictures or isinstance(part, TextPart):
                    parts.append(part)
                else:
                    left_out += 1
            if left_out > before and not text_of(parts).strip():
                # Many chat templates refuse a message of the user without text.
                parts = [TextPart(_PLACE)]
            asked.append(with_content(message, parts))
        return asked, [_left_out(left_out)] if left_out else []

    def _named(self, part: ContentPart) -> ContentPart:
        if not isinstance(part, FilePart) or part.name:
            return part
        return FilePart(part.attachment, self.files[part.attachment].name)


async def find_attachments(
    attachments: Attachments, owner: str, messages: Sequence[Message]
) -> PromptAttachments:
    """Find what messages name, and check it.

    Raises `UnknownAttachment`, `StorageFailed`, or what `check_attachments` does.
    """
    named = [part.attachment for message in messages for part in attachment_parts(message.content)]
    if not named:
        return PromptAttachments()
    files = await attachments.find(owner, named)
    check_attachments(messages, files, attachments.limits)
    return PromptAttachments(files, partial(attachments.read, owner))


def check_attachments(
    messages: Sequence[Message], files: Mapping[str, Attachment], limits: AttachmentLimits
) -> None:
    """Raise `InvalidCommand` for a part of the wrong kind, or `PromptTooLong` for too many bytes.

    `files` has every attachment that the messages name.
    """
    total = 0
    for number, message in enumerate(messages):
        for part in attachment_parts(message.content):
            file = files[part.attachment]
            place = f"at `$.messages[{number}].content`"
            if message.role != "user":
                raise InvalidCommand(f"attachments belong to messages of the user - {place}")
            if isinstance(part, ImagePart) != (file.kind == "image"):
                wanted = "image" if file.kind == "image" else "file"
                raise InvalidCommand(f"{file.name} is a part of type `{wanted}` - {place}")
            total += file.bytes
    if total > limits.prompt_bytes:
        raise PromptTooLong(
            f"the prompt's attachments have {total:,} bytes; {limits.prompt_bytes:,} are taken",
            hint="leave some out, or raise `max_prompt_size` in [attachments]",
        )


def _framed(name: str, text: str) -> str:
    """Return a file's text, so that its name, beginning and end can be told."""
    shown = name.replace('"', "'")
    return f'<file name="{shown}">\n{text.rstrip()}\n</file>\n'


def _left_out(count: int) -> Notice:
    what = "a picture was" if count == 1 else f"{count} pictures were"
    return Notice("picture_left_out", f"{what} left out: the model takes none", {"pictures": count})
