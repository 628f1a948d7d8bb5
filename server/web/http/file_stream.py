"""A response that is sent as it is made, such as a file to save: it may be larger than memory.

Rules:

1. The head is sent with the first piece. Until then an error can still be an HTTP status; after it,
   a file that cannot be completed breaks off, which is all that can tell.
2. A client that reads nothing for a minute is gone, and so is one that is slower than
   `MIN_BYTES_PER_SECOND` on the whole: what it holds up costs others.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Final

from aiohttp import web

from server.core.errors import SidestreamError
from server.web.bodies import file_headers
from server.web.http.event_stream import SEND_TIMEOUT_SECONDS

logger = logging.getLogger(__name__)

MIN_BYTES_PER_SECOND: Final = 16 * 1024


async def send_file(
    request: web.Request, pieces: AsyncGenerator[bytes], content_type: str, name: str
) -> web.StreamResponse:
    """Send a file to save; raises and does what `send_pieces` does."""
    return await send_pieces(request, pieces, file_headers(content_type, name))


async def send_pieces(
    request: web.Request, pieces: AsyncGenerator[bytes], headers: Mapping[str, str]
) -> web.StreamResponse:
    """Send a response piece by piece; raises what the first piece raises.

    Cancelled, or left by the client, it closes `pieces`.
    """
    response = web.StreamResponse(headers=headers)
    async with aclosing(pieces):
        first = await anext(pieces, b"")
        try:
            await _Sending(request, response).send(first, pieces)
        except SidestreamError as error:
            logger.warning("the response to %s breaks off: %s", request.path, error)
        except TimeoutError:
            logger.warning("the response to %s breaks off: its reader is too slow", request.path)
        except ConnectionError:
            logger.debug("who asked for %s is gone", request.path)
        else:
            return response
    if request.transport is not None:
        request.transport.abort()
    return response


class _Sending:
    def __init__(self, request: web.Request, response: web.StreamResponse) -> None:
        self._request = request
        self._response = response
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._sent = 0

    async def send(self, first: bytes, pieces: AsyncGenerator[bytes]) -> None:
        """Send all; raises `TimeoutError` where the client is slow, `ConnectionError` once gone."""
        await self._response.prepare(self._request)
        if self._request.method == "HEAD":
            await self._response.write_eof()
            return
        await self._write(first)
        async for piece in pieces:
            await self._write(piece)
        await self._response.write_eof()

    async def _write(self, piece: bytes) -> None:
        late = self._began + SEND_TIMEOUT_SECONDS + self._sent / MIN_BYTES_PER_SECOND
        silent = self._loop.time() + SEND_TIMEOUT_SECONDS
        async with asyncio.timeout_at(min(late, silent)):
            await self._response.write(piece)
        self._sent += len(piece)
