"""Find out whether a model server is there although nobody can tell how it is."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import urlsplit

_KNOCKS: Final = 2
_ANSWER_SECONDS: Final = 2.0
_OPEN_SECONDS: Final = 1.0
LISTENS_SECONDS: Final = _KNOCKS * _OPEN_SECONDS
"""How long `listens` takes at most."""
# An address that no server has: what it answers costs it nothing.
_REQUEST: Final = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


async def says_anything(url: str) -> bool:
    """Tell whether somebody answers over HTTP, whatever it is.

    An open port is not enough where a tunnel leads there: the machine behind it may be away.
    """
    return await _is_there(url, _is_answered, _ANSWER_SECONDS)


async def listens(url: str) -> bool:
    """Tell whether the port is open; a server may be too busy to say anything."""
    return await _is_there(url, _is_open, _OPEN_SECONDS)


async def _is_there(url: str, knock: Callable[[str, int], Awaitable[bool]], seconds: float) -> bool:
    where = urlsplit(url)
    for _ in range(_KNOCKS):
        try:
            async with asyncio.timeout(seconds):
                if await knock(where.hostname or "", where.port or 80):
                    return True
        except (OSError, TimeoutError):
            continue
    return False


async def _is_answered(host: str, port: int) -> bool:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(_REQUEST)
        return bool(await reader.read(1))
    finally:
        writer.close()


async def _is_open(host: str, port: int) -> bool:
    _, writer = await asyncio.open_connection(host, port)
    writer.close()
    return True
