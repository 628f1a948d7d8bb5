"""Pictures of a prompt: fetched when a request is written, in the words of each dialect.

Rule: a request's body names pictures by their ids until the moment it is sent, so that nobody holds
their bytes while an answer waits or is written. They are written in a thread, as JSON, since large
ones would hold up the event loop.
"""

import asyncio
import base64
import functools
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from server.core.errors import CannotSee
from server.core.protocol import ImagePart, TextPart

MOST_WRITTEN: Final = 2
"""So many prompts' pictures are written at once: each takes several times their size meanwhile."""

# In the order of their words: llama.cpp, Ollama, gateways like this one, vLLM, OpenAI, routers.
_VISION_REFUSALS: Final = re.compile(
    r"image input is not supported|not support multimodal|missing data required for image input"
    r"|takes no pictures|not a multimodal model|at most 0 image"
    r"|image_url is only supported by certain models"
    r"|(?:does|do) not support (?:vision|images?\b)|no endpoints found that support image",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Picture:
    """A picture's bytes, and what they are, such as `image/png`."""

    media_type: str
    data: bytes

    @property
    def base64(self) -> str:
        """Return the bytes as base64."""
        return base64.b64encode(self.data).decode("ascii")

    @property
    def data_url(self) -> str:
        """Return the picture as a URL that holds it."""
        return f"data:{self.media_type};base64,{self.base64}"


FetchPicture = Callable[[str], Awaitable[Picture]]
"""Return the picture of an id; raises `UnknownAttachment` or `StorageFailed`."""


def vision_refusal(words: str) -> CannotSee | None:
    """Return the error that a server's words about pictures mean, None if they are about else."""
    if not _VISION_REFUSALS.search(words):
        return None
    return CannotSee(f"the model server refuses pictures: {words}", hint="ask another model")


async def no_pictures(attachment: str) -> Picture:
    """Raise `ValueError`: the prompt has no pictures."""
    raise ValueError(f"nobody has the picture {attachment}")


async def insert_pictures(
    body: Mapping[str, Any], fetch: FetchPicture, write: "WriteMessage"
) -> dict[str, Any]:
    """Return a body whose messages have their pictures, as `write` says, in JSON."""
    messages = body.get("messages")
    names = _names(messages) if isinstance(messages, list) else []
    if not names:
        return dict(body)
    async with in_turn():
        pictures = {name: await fetch(name) for name in dict.fromkeys(names)}
        told = await asyncio.to_thread(_encode, messages or (), pictures, write)
    return {**body, "messages": told}


def in_turn() -> asyncio.Semaphore:
    """Return what to hold while pictures are fetched and written."""
    return _turns(asyncio.get_running_loop())


@functools.lru_cache(maxsize=1)
def _turns(_: asyncio.AbstractEventLoop) -> asyncio.Semaphore:
    return asyncio.Semaphore(MOST_WRITTEN)


def _encode(
    messages: Iterable[dict[str, Any]], pictures: Mapping[str, Picture], write: "WriteMessage"
) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode([write(message, pictures) for message in messages]))


WriteMessage = Callable[[dict[str, Any], Mapping[str, Picture]], dict[str, Any]]
"""Write a message with its pictures, which are given by id."""


def as_openai(message: dict[str, Any], pictures: Mapping[str, Picture]) -> dict[str, Any]:
    """Write parts as OpenAI's."""
    if not isinstance(message["content"], list):
        return message
    return {**message, "content": [_openai(part, pictures) for part in message["content"]]}


def as_ollama(message: dict[str, Any], pictures: Mapping[str, Picture]) -> dict[str, Any]:
    """Write text, and pictures beside it, as Ollama takes them."""
    content = message["content"]
    if not isinstance(content, list):
        return message
    return {
        **message,
        "content": "".join(part.text for part in content if isinstance(part, TextPart)),
        "images": [pictures[name].base64 for name in _named(content)],
    }


def _openai(part: TextPart | ImagePart, pictures: Mapping[str, Picture]) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    return {"type": "image_url", "image_url": {"url": pictures[part.attachment].data_url}}


def _names(messages: Iterable[Mapping[str, Any]]) -> list[str]:
    contents = (message["content"] for message in messages)
    return [name for c in contents if isinstance(c, list) for name in _named(c)]


def _named(content: Iterable[object]) -> list[str]:
    return [part.attachment for part in content if isinstance(part, ImagePart)]
