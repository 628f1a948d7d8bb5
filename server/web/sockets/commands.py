"""What each command does: one handler per command, no socket in sight.

A handler returns the command's result, or raises an error of our tree, which becomes the answer.
Fields, result and role of a command are declared with its class in `server.core.protocol.commands`.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from server import __version__
from server.core.errors import SidestreamError
from server.core.protocol import (
    BadCommand,
    BadFrame,
    Begun,
    Cancel,
    Cancelled,
    Changed,
    Command,
    Error,
    ErrorInfo,
    Event,
    FollowRuns,
    Generate,
    Hello,
    Logs,
    Nothing,
    Ping,
    Restart,
    Result,
    ServerInfo,
    Start,
    Stop,
    Subscribed,
    Unsubscribe,
    Use,
    Welcome,
    parse_command,
)
from server.web.sockets.connection import Connection

logger = logging.getLogger(__name__)


async def answer(connection: Connection, frame: str | bytes) -> Event:
    """Carry out the command in `frame` and return its one answer.

    Raises `BadFrame` when the frame is no command at all.
    """
    command_id: int | None = None
    kind = "invalid"
    try:
        try:
            command = parse_command(frame)
        except BadCommand as bad:
            command_id = bad.command_id
            connection.check_rate()
            raise bad.error from None
        command_id, kind = command.id, str(command.__struct_config__.tag)
        connection.check_rate()
        connection.admit(command, kind)
        result = await HANDLERS[type(command)](connection, command)
        connection.counters.count_command(kind, "ok")
        return Result(command.id, result)
    except BadFrame:
        raise
    except SidestreamError as error:
        problem = error
    except Exception:
        logger.exception("command %s broke", command_id)
        problem = SidestreamError("internal error")
    connection.counters.count_command(kind, problem.code)
    return Error(ErrorInfo.of(problem), command_id)


async def _hello(connection: Connection, command: Hello) -> Welcome:
    was_resumed = connection.open_session(command.session, command.cursors)
    connection.set_pace(command.pace_ms / 1000)
    connection.outbox.kinds = frozenset(command.kinds)
    session = connection.session
    return Welcome(
        server=ServerInfo("sidestream", __version__),
        session=session.id,
        resumed=was_resumed,
        models=connection.models(),
        generations=session.infos(),
        conversations=connection.storage,
        max_frame_bytes=connection.max_frame_bytes,
    )


async def _generate(connection: Connection, command: Generate) -> Begun:
    connection.session.check_length(command)
    if command.request_id is not None and (known := await connection.find_repeated(command)):
        return Begun(connection.session.repeat(command.request_id, known), [a.id for a in known])
    attachments = await connection.find_attachments(command)
    if command.record is None:
        return Begun(connection.generate(command, None, attachments))
    destination = await connection.find_destination(command.record, command)
    ids = connection.generate(command, destination, attachments)
    return Begun(ids, connection.session.stored_as(ids))


async def _cancel(connection: Connection, command: Cancel) -> Cancelled:
    return Cancelled(connection.session.cancel(command.generations))


async def _start(connection: Connection, command: Start) -> Changed:
    return Changed(connection.fleet.start(command.model))


async def _stop(connection: Connection, command: Stop) -> Changed:
    return Changed(connection.fleet.stop(command.model))


async def _restart(connection: Connection, command: Restart) -> Changed:
    return Changed(connection.fleet.restart(command.model))


async def _use(connection: Connection, command: Use) -> Nothing:
    await connection.servers.use(command.server)
    return Nothing()


async def _logs(connection: Connection, command: Logs) -> Subscribed:
    book = connection.fleet.log(command.model)
    return Subscribed(connection.subscribe_to_log(book, tail=command.tail, follow=command.follow))


async def _unsubscribe(connection: Connection, command: Unsubscribe) -> Nothing:
    connection.unsubscribe_from_log(command.subscription)
    return Nothing()


async def _follow_runs(connection: Connection, command: FollowRuns) -> Nothing:
    await connection.follow_runs(command)
    return Nothing()


async def _ping(connection: Connection, command: Ping) -> Nothing:
    return Nothing()


HANDLERS: Final[dict[type[Command], Callable[[Connection, Any], Awaitable[msgspec.Struct]]]] = {
    Hello: _hello,
    Generate: _generate,
    Cancel: _cancel,
    Start: _start,
    Stop: _stop,
    Restart: _restart,
    Use: _use,
    Logs: _logs,
    Unsubscribe: _unsubscribe,
    FollowRuns: _follow_runs,
    Ping: _ping,
}
