"""The WebSocket: commands of one connection in, and what becomes due to it out.

Rules:

1. `FrameWriter` alone writes events to the socket: all that is due is one frame; while a slow
   peer takes nothing, text collects in the logs.
2. A frame that is no command closes the socket with 4400; a command that fails is answered.
3. Whatever ends the socket, the session goes on.
"""

import logging
from typing import Final

from aiohttp import WSMsgType, web

from server.core.errors import ServerFull, ShuttingDown
from server.core.protocol import BadFrame
from server.web.entry.gate import CALLER, GATE
from server.web.entry.visits import VISIT
from server.web.keys import ARCHIVE, DESK, FLEET, SERVERS, SESSIONS, SETTINGS, SOCKETS, TALLY
from server.web.sockets.commands import answer
from server.web.sockets.connection import Connection
from server.web.sockets.frames import FrameWriter
from server.web.sockets.socket import Socket

logger = logging.getLogger(__name__)

CLOSE_BAD_FRAME: Final = 4400
CLOSE_REVOKED: Final = 4401
CLOSE_FLOODING: Final = 4429


async def websocket(request: web.Request) -> Socket:
    """Serve `GET /ws`."""
    settings = request.app[SETTINGS].server
    sockets = request.app[SOCKETS]
    if request.app[DESK].is_closed:
        raise ShuttingDown("the server is about to stop")
    if len(sockets) >= settings.max_sockets:
        raise ServerFull(f"the server holds {settings.max_sockets} sockets, and no more")
    socket = Socket(heartbeat_seconds=settings.heartbeat, max_frame_bytes=settings.max_frame_bytes)
    await socket.prepare(request)
    request[VISIT].end = lambda: socket.close(
        code=CLOSE_REVOKED, message=b"the key was revoked, or has expired"
    )
    writer = FrameWriter(socket, sockets.pulse, timeout_seconds=settings.reader_timeout)
    connection = Connection(
        request.app[FLEET],
        request.app[SERVERS],
        request.app[SESSIONS],
        request[CALLER],
        request.app[GATE].quota,
        writer.wake,
        writer.set_pace,
        command_rate=settings.command_rate,
        tally=request.app[TALLY],
        archive=request.app.get(ARCHIVE),
    )
    writer.take_from(connection.outbox)
    sockets.add(socket)
    try:
        await _read(socket, connection)
    finally:
        sockets.discard(socket)
        connection.close()
        await writer.close()
    return socket


async def _read(socket: Socket, connection: Connection) -> None:
    async for message in socket:
        if message.type is not WSMsgType.TEXT:
            await socket.close(code=CLOSE_BAD_FRAME, message=b"frames are text")
            return
        try:
            connection.outbox.put(await answer(connection, message.data))
        except BadFrame as error:
            logger.info("a frame that is no command: %s", error)
            reason = b"a frame is a JSON object with a string `type`"
            await socket.close(code=CLOSE_BAD_FRAME, message=reason)
            return
        if connection.is_flooding:
            await socket.close(code=CLOSE_FLOODING, message=b"far too many commands")
            return
