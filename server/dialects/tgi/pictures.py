"""Pictures in the text that `/generate_stream` takes: Markdown with the picture in its address.

TGI reads `![](data:image/png;base64,…)` anywhere in a prompt of a model that sees. Its routes that
render and count would take the picture for text, so a name stands in its place until the prompt is
sent. Nobody can type a name: it has a number that is drawn when the process starts, and stays the
same so that a prompt that is asked again is the same text.
"""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from server.core.content import text_of
from server.core.errors import InvalidCommand
from server.core.protocol import Content, ImagePart, Message
from server.dialects.base import Prompt
from server.dialects.pictures import FetchPicture, Picture, in_turn

# Nothing in it that a template would write otherwise.
_NAME: Final = f"[picture {secrets.token_hex(16)} sha256:{{}}]"


def with_names(messages: Sequence[Message]) -> list[Message]:
    """Return messages of text alone, with a name in the place of each picture.

    Parts are joined without anything between them, as TGI does.
    """
    return [
        msgspec.structs.replace(message, content=_named(message.content)) for message in messages
    ]


def check_names(text: str, pictures: Sequence[str]) -> None:
    """Raise `InvalidCommand` unless a rendered prompt has each picture as often as is given."""
    for picture in dict.fromkeys(pictures):
        more = text.count(_NAME.format(picture)) - pictures.count(picture)
        if more:
            what = "repeats pictures" if more > 0 else "leaves pictures out"
            raise InvalidCommand(f"the model's chat template {what}")


async def with_pictures(prompt: Prompt, fetch: FetchPicture) -> object:
    """Return a rendered prompt's text as JSON, with each picture in the place of its name."""
    if not prompt.pictures:
        return prompt.content
    async with in_turn():
        pictures = {name: await fetch(name) for name in dict.fromkeys(prompt.pictures)}
        return await asyncio.to_thread(_replaced, str(prompt.content), pictures)


def _replaced(text: str, pictures: Mapping[str, Picture]) -> msgspec.Raw:
    for name, picture in pictures.items():
        text = text.replace(_NAME.format(name), f"![]({picture.data_url})")
    return msgspec.Raw(msgspec.json.encode(text))


def _named(content: Content) -> str:
    if isinstance(content, str):
        return content
    return "".join(
        _NAME.format(part.attachment) if isinstance(part, ImagePart) else text_of([part])
        for part in content
    )
