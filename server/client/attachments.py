"""Attachments: a picture or a text file is put once over HTTP, and named in messages."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Final, Literal

import aiohttp

from server.client.messages import CONNECTION_CLOSED, SidestreamError, WireValue

# An upload of the largest file over a slow line.
_TIMEOUT: Final = aiohttp.ClientTimeout(total=300)


@dataclass(frozen=True)
class Attachment(WireValue):
    """A picture or a text file that the server has; width and height are in pixels."""

    id: str
    media_type: str = ""
    kind: Literal["image", "text"] = "image"
    bytes: int = 0
    name: str = ""
    width: int | None = None
    height: int | None = None

    @property
    def part(self) -> dict[str, Any]:
        """Return the part of a message that names it."""
        return {"type": "image" if self.kind == "image" else "file", "attachment": self.id}


async def put(
    url: str, file: bytes | str | PathLike[str], name: str, headers: Mapping[str, str] | None
) -> Attachment:
    """Put a file, given by its bytes or its path; `url` is that of the WebSocket.

    Raises `SidestreamError`, or `OSError` for a path that cannot be read.
    """
    data = file
    if not isinstance(data, bytes):
        path = Path(data)
        name = name or path.name
        data = await asyncio.to_thread(path.read_bytes)
    address = "http" + url.removeprefix("ws").rpartition("/")[0] + "/attachments"
    try:
        async with (
            aiohttp.ClientSession(headers=headers, timeout=_TIMEOUT) as http,
            http.put(address, params={"name": name}, data=data) as response,
        ):
            body = await response.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise SidestreamError(CONNECTION_CLOSED, f"the file was not put: {error}") from None
    if not isinstance(body, dict) or "id" not in body:
        told = body.get("error", {}) if isinstance(body, dict) else {}
        raise SidestreamError.from_wire(told)
    return Attachment.from_wire(body)


def with_parts(question: Any, attachments: Iterable[Attachment]) -> list[dict[str, Any]]:
    """Return a user's message of text and attachments."""
    text = [{"type": "text", "text": question}] if question else []
    return [{"role": "user", "content": [*text, *(one.part for one in attachments)]}]
