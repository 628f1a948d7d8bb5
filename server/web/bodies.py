"""Bodies and queries of HTTP requests, validated by types, and JSON responses.

Unknown fields are ignored, so that newer clients can speak to older servers. A JSON body without
the JSON content type is refused: forms of foreign pages can send all other types.
"""

import asyncio
import re
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar
from urllib.parse import quote

import msgspec
from aiohttp import web

from server.core.errors import InvalidCommand
from server.core.json_bodies import decode_body
from server.web.failures import TooLarge
from server.web.keys import SETTINGS

T = TypeVar("T")

_JSON_TYPE: Final = re.compile(r"application/([\w.!#$&^-]+\+)?json", re.IGNORECASE)
# Nobody means a number with more digits, and Python parses them slowly.
_MAX_QUERY_CHARS: Final = 200
_FRAME_HINT: Final = "`max_frame_bytes` in [server] says how large it may be"


class WrongContentType(InvalidCommand):
    """The body has another content type than it needs."""

    status = 415


class TooSlow(InvalidCommand):
    """The body did not arrive in time."""

    status = 408


@dataclass(frozen=True)
class Query(Generic[T]):
    """One parameter of a request's query."""

    name: str
    type: Any
    default: T
    about: str

    def read(self, request: web.Request) -> T:
        """Return the parameter's value; raises `InvalidCommand` when it is of another type."""
        text = request.query.get(self.name)
        if text is None:
            return self.default
        try:
            if len(text) > _MAX_QUERY_CHARS:
                raise ValueError("it is too long")
            value: T = msgspec.convert(text, self.type, strict=False)
        except ValueError as error:
            raise InvalidCommand(f"`{self.name}` in the query: {error}") from None
        return value


async def read_body(request: web.Request, shape: type[T], *, more_bytes: int = 0) -> T:
    """Read the body as `shape`; it may have `more_bytes` beside `max_frame_bytes`.

    Raises `WrongContentType`, what `read_bytes` does, and `InvalidCommand` when it is not JSON of
    that shape.
    """
    return decode_body(await read_json_bytes(request, more_bytes=more_bytes), shape)


async def read_json_bytes(request: web.Request, *, more_bytes: int = 0) -> bytes:
    """Read the body of a request that says it is JSON; raises what `read_body` does before it."""
    check_is_json(request)
    most = request.app[SETTINGS].server.max_frame_bytes + more_bytes
    return await read_bytes(request, most, hint=_FRAME_HINT)


async def read_bytes(
    request: web.Request, max_bytes: int, *, too_large: str = "the body is too large", hint: str
) -> bytes:
    """Return the body; it has `request_timeout` to arrive, and as much again per `max_frame_bytes`.

    Raises `TooSlow`, `TooLarge`, or `InvalidCommand` when its compression is broken.
    """
    if (request.content_length or 0) > max_bytes:
        raise TooLarge(too_large, hint=hint)
    settings = request.app[SETTINGS]
    seconds, began = settings.access.request_timeout, asyncio.get_running_loop().time()
    body = bytearray()
    try:
        async with asyncio.timeout_at(began + seconds) as patience:
            async for part in request.content.iter_any():
                body += part
                if len(body) > max_bytes:
                    raise TooLarge(too_large, hint=hint)
                earned = len(body) / settings.server.max_frame_bytes
                patience.reschedule(began + seconds * (1 + earned))
    except TimeoutError:
        raise TooSlow("the body did not arrive in time") from None
    except web.RequestPayloadError:
        raise InvalidCommand("the body cannot be read: it is not compressed as it says") from None
    return bytes(body)


def check_is_json(request: web.Request) -> None:
    """Raise `WrongContentType` unless the content type is JSON."""
    if not _JSON_TYPE.fullmatch(request.headers.get("Content-Type", "").partition(";")[0].strip()):
        raise WrongContentType(
            "the body has to be JSON", hint="send the header `Content-Type: application/json`"
        )


def json_response(body: object, *, status: int = 200) -> web.Response:
    """Answer with JSON."""
    return web.Response(
        body=msgspec.json.encode(body), status=status, content_type="application/json"
    )


def file_response(body: bytes, content_type: str, name: str) -> web.Response:
    """Answer with a file to save."""
    return web.Response(body=body, headers=file_headers(content_type, name))


def file_headers(content_type: str, name: str) -> dict[str, str]:
    """Return the headers of a file to save."""
    return {
        "Content-Type": content_type,
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
    }
