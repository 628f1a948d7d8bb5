"""`GET /ws`: a client's commands in, events out.

Rules:

1. Only `FrameWriter` writes events to the socket: all that are due are one frame; while a slow
   peer reads nothing, text collects in the logs.
2. A frame that is no command closes the socket with 4400; a command that fails is answered with an
   error.
3. However the socket ends, the session goes on.
"""

import logging
from typing import Final

from aiohttp import WSMsgType, web

from server.core.errors import InvalidCommand, ServerFull, ShuttingDown
from server.core.protocol import BadFrame
from server.web.entry.active_requests import ACTIVE_REQUEST
from server.web.entry.gate import CALLER, GATE
from server.web.keys import (
    ADDED_SERVERS,
    ARCHIVE,
    ATTACHMENTS,
    FLEET,
    GENERATIONS,
    REQUEST_COUNTERS,
    RUNS,
    SESSIONS,
    SETTINGS,
    SOCKETS,
)
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
    if request.app[GENERATIONS].is_closed:
        raise ShuttingDown("the server is about to stop")
    if len(sockets) >= settings.max_sockets:
        raise ServerFull(f"the server holds {settings.max_sockets} sockets, and no more")
    socket = Socket(heartbeat_seconds=settings.heartbeat, max_frame_bytes=settings.max_frame_bytes)
    try:
        await socket.prepare(request)
    except web.HTTPBadRequest as error:
        raise InvalidCommand(
            "this address is a WebSocket, and the request is no handshake of one",
            hint="connect to it with `ws://` or `wss://`; docs/PROTOCOL.md says what is sent",
            details={"reason": " ".join((error.text or "").split())},
        ) from error
    request[ACTIVE_REQUEST].end = lambda: socket.close(
        code=CLOSE_REVOKED, message=b"the key was revoked, or has expired"
    )
    writer = FrameWriter(socket, sockets.scheduler, timeout_seconds=settings.reader_timeout)
    connection = Connection(
        request.app[FLEET],
        request.app[ADDED_SERVERS],
        request.app[SESSIONS],
        request[CALLER],
        request.app[GATE].quota,
        writer.wake,
        writer.set_pace,
        command_rate=settings.command_rate,
        max_frame_bytes=settings.max_frame_bytes,
        counters=request.app[REQUEST_COUNTERS],
        attachments=request.app[ATTACHMENTS],
        archive=request.app.get(ARCHIVE),
        runs=request.app.get(RUNS),
    )
    writer.take_from(connection.outbox)
    sockets.add(socket)
    try:
        await _read(socket, connection, writer)
    finally:
        sockets.discard(socket)
        connection.close()
        await writer.close()
    return socket


async def _read(socket: Socket, connection: Connection, writer: FrameWriter) -> None:
    async for message in socket:
        if message.type is not WSMsgType.TEXT:
            writer.write()
            await socket.close(code=CLOSE_BAD_FRAME, message=b"frames are text")
            return
        try:
            connection.outbox.put(await answer(connection, message.data))
        except BadFrame as error:
            logger.info("a frame that is no command: %s", error)
            # What was answered before tells the client which frame it was.
            writer.write()
            reason = b"a frame is a JSON object with a string `type`"
            await socket.close(code=CLOSE_BAD_FRAME, message=reason)
            return
        if connection.is_flooding:
            await socket.close(code=CLOSE_FLOODING, message=b"far too many commands")
            return
