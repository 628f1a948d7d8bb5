"""What each command does: one handler per type, one table, no socket in sight.

A handler returns the command's result, or raises an error of our tree, which is the answer.
"""

import logging
from collections.abc import Callable
from typing import Any, Final

from server import __version__
from server.chat.relay import error_info
from server.core.errors import SidestreamError
from server.core.protocol import (
    PROTOCOL_VERSION,
    BadCommand,
    BadFrame,
    Cancel,
    Command,
    Error,
    Event,
    Generate,
    Hello,
    Logs,
    Ping,
    Result,
    Start,
    Stop,
    Unsubscribe,
    parse_command,
)
from server.web.connection import Connection

logger = logging.getLogger(__name__)


def answer(connection: Connection, frame: str | bytes) -> Event:
    """Carry out the command in `frame` and return its one answer.

    Raises `BadFrame` when the frame is no command at all.
    """
    command_id: int | None = None
    try:
        try:
            command = parse_command(frame)
        except BadCommand as bad:
            command_id = bad.command_id
            connection.check_rate()
            raise bad.error from None
        command_id = command.id
        connection.check_rate()
        return Result(command.id, HANDLERS[type(command)](connection, command))
    except BadFrame:
        raise
    except SidestreamError as error:
        return Error(error_info(error), command_id)
    except Exception:
        logger.exception("command %s broke", command_id)
        return Error(error_info(SidestreamError("internal error")), command_id)


def _hello(connection: Connection, command: Hello) -> dict[str, Any]:
    was_resumed = connection.open_session(command.session, command.cursors)
    session = connection.session
    return {
        "protocol": PROTOCOL_VERSION,
        "server": {"name": "sidestream", "version": __version__},
        "session": session.id,
        "resumed": was_resumed,
        "models": connection.fleet.snapshots(),
        "generations": session.infos(),
    }


def _generate(connection: Connection, command: Generate) -> dict[str, Any]:
    return {"generations": connection.session.generate(command)}


def _cancel(connection: Connection, command: Cancel) -> dict[str, Any]:
    return {"cancelled": connection.session.cancel(command.generations)}


def _start(connection: Connection, command: Start) -> dict[str, Any]:
    return {"model": connection.fleet.start(command.model)}


def _stop(connection: Connection, command: Stop) -> dict[str, Any]:
    return {"model": connection.fleet.stop(command.model)}


def _logs(connection: Connection, command: Logs) -> dict[str, Any]:
    book = connection.fleet.log(command.model)
    name = connection.subscribe_to_log(book, tail=command.tail, follow=command.follow)
    return {"subscription": name}


def _unsubscribe(connection: Connection, command: Unsubscribe) -> dict[str, Any]:
    connection.unsubscribe_from_log(command.subscription)
    return {}


def _ping(connection: Connection, command: Ping) -> dict[str, Any]:
    return {}


HANDLERS: Final[dict[type[Command], Callable[[Connection, Any], dict[str, Any]]]] = {
    Hello: _hello,
    Generate: _generate,
    Cancel: _cancel,
    Start: _start,
    Stop: _stop,
    Logs: _logs,
    Unsubscribe: _unsubscribe,
    Ping: _ping,
}
