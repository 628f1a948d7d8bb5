"""What each command does: one handler per type, one table, no socket in sight.

A handler returns the command's result, or raises an error of our tree, which is the answer.
"""

import logging
from collections.abc import Callable
from typing import Any, Final

import msgspec

from server import __version__
from server.chat.relay import error_info
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
    Event,
    Generate,
    Hello,
    Logs,
    Nothing,
    Ping,
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
from server.web.sockets.keeping import generate_kept

logger = logging.getLogger(__name__)


async def answer(connection: Connection, frame: str | bytes) -> Event:
    """Carry out the command in `frame` and return its one answer.

    Only `use`, and a `generate` whose answers are kept, wait for anything. Raises `BadFrame` when
    the frame is no command at all.
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
        command_id, kind = command.id, type(command).__name__.lower()
        connection.check_rate()
        connection.check_command(kind)
        if isinstance(command, Generate) and command.record is not None:
            done: Any = await generate_kept(connection, command, command.record)
        elif isinstance(command, Use):
            done = await _use(connection, command)
        else:
            done = HANDLERS[type(command)](connection, command)
        connection.tally.count_command(kind, "ok")
        return Result(command.id, done)
    except BadFrame:
        raise
    except SidestreamError as error:
        problem = error
    except Exception:
        logger.exception("command %s broke", command_id)
        problem = SidestreamError("internal error")
    connection.tally.count_command(kind, problem.code)
    return Error(error_info(problem), command_id)


def _hello(connection: Connection, command: Hello) -> Welcome:
    was_resumed = connection.open_session(command.session, command.cursors)
    connection.set_pace(command.pace_ms / 1000)
    session = connection.session
    return Welcome(
        server=ServerInfo("sidestream", __version__),
        session=session.id,
        resumed=was_resumed,
        models=connection.models(),
        generations=session.infos(),
        conversations=connection.keeping,
    )


def _generate(connection: Connection, command: Generate) -> Begun:
    return Begun(connection.generate(command))


def _cancel(connection: Connection, command: Cancel) -> Cancelled:
    return Cancelled(connection.session.cancel(command.generations))


def _start(connection: Connection, command: Start) -> Changed:
    connection.check_model(command.model)
    return Changed(connection.fleet.start(command.model))


def _stop(connection: Connection, command: Stop) -> Changed:
    connection.check_model(command.model)
    return Changed(connection.fleet.stop(command.model))


async def _use(connection: Connection, command: Use) -> Nothing:
    await connection.servers.use(command.server)
    return Nothing()


def _logs(connection: Connection, command: Logs) -> Subscribed:
    connection.check_model(command.model)
    book = connection.fleet.log(command.model)
    return Subscribed(connection.subscribe_to_log(book, tail=command.tail, follow=command.follow))


def _unsubscribe(connection: Connection, command: Unsubscribe) -> Nothing:
    connection.unsubscribe_from_log(command.subscription)
    return Nothing()


def _ping(connection: Connection, command: Ping) -> Nothing:
    return Nothing()


HANDLERS: Final[dict[type[Command], Callable[[Connection, Any], msgspec.Struct]]] = {
    Hello: _hello,
    Generate: _generate,
    Cancel: _cancel,
    Start: _start,
    Stop: _stop,
    Logs: _logs,
    Unsubscribe: _unsubscribe,
    Ping: _ping,
}
