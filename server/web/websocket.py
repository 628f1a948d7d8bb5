"""The WebSocket: frames in and out of one connection.

Rules:

1. Exactly one task writes to the socket. It asks the outbox for everything that is due and
   sends it as one frame; while a send waits for a slow peer, text collects in the logs.
2. A frame that is no command closes the socket with 4400; a command that fails is answered.
3. Whatever ends the socket, the session goes on.
"""

import asyncio
import logging
from typing import Final

from aiohttp import WSCloseCode, WSMsgType, web

from server.core.errors import ServerFull, ShuttingDown
from server.core.protocol import BadFrame, encode
from server.web.commands import answer
from server.web.connection import Connection
from server.web.guard import check_origin
from server.web.keys import DESK, FLEET, SESSIONS, SETTINGS, SOCKETS
from server.web.socket import Socket

logger = logging.getLogger(__name__)

CLOSE_BAD_FRAME: Final = 4400
CLOSE_TOO_SLOW: Final = 4408
CLOSE_FLOODING: Final = 4429


async def websocket(request: web.Request) -> Socket:
    """Serve `GET /ws`."""
    check_origin(request)
    settings = request.app[SETTINGS].server
    sockets = request.app[SOCKETS]
    if request.app[DESK].is_closed:
        raise ShuttingDown("the server is about to stop")
    if len(sockets) >= settings.max_sockets:
        raise ServerFull(f"the server holds {settings.max_sockets} sockets, and no more")
    socket = Socket(heartbeat_seconds=settings.heartbeat, max_frame_bytes=settings.max_frame_bytes)
    await socket.prepare(request)
    due = asyncio.Event()
    connection = Connection(
        request.app[FLEET],
        request.app[SESSIONS],
        "local",
        due.set,
        command_rate=settings.command_rate,
    )
    sockets.add(socket)
    writer = asyncio.create_task(
        _write(socket, connection, due, timeout_seconds=settings.reader_timeout),
        name="websocket writer",
    )
    try:
        await _read(socket, connection)
    finally:
        sockets.discard(socket)
        writer.cancel()
        connection.close()
        await asyncio.wait([writer])
    return socket


async def _read(socket: Socket, connection: Connection) -> None:
    async for message in socket:
        if message.type is not WSMsgType.TEXT:
            await socket.close(code=CLOSE_BAD_FRAME, message=b"frames are text")
            return
        try:
            connection.outbox.put(answer(connection, message.data))
        except BadFrame as error:
            logger.info("a frame that is no command: %s", error)
            reason = b"a frame is a JSON object with a string `type`"
            await socket.close(code=CLOSE_BAD_FRAME, message=reason)
            return
        if connection.is_flooding:
            await socket.close(code=CLOSE_FLOODING, message=b"far too many commands")
            return


async def _write(
    socket: Socket,
    connection: Connection,
    due: asyncio.Event,
    *,
    timeout_seconds: float,
) -> None:
    while True:
        await due.wait()
        due.clear()
        while events := connection.outbox.take():
            try:
                async with asyncio.timeout(timeout_seconds):
                    await socket.send(encode(events))
            except TimeoutError:
                await socket.close(code=CLOSE_TOO_SLOW, message=b"the peer stopped reading")
                return
            except ConnectionError:
                # The reader sees the same end and closes the connection.
                return
            except Exception:
                # A socket that is open and silent for ever would be worse.
                logger.exception("a frame cannot be written")
                await socket.close(code=WSCloseCode.INTERNAL_ERROR, message=b"internal error")
                return
