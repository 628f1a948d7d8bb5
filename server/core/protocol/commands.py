"""What a client may say: one JSON object a frame, parsed into a typed command.

A frame that is no command at all ends the socket; one whose type or fields are wrong is
answered. Unknown fields are ignored, so that newer clients can speak to older servers.
"""

from typing import Annotated, Any, Final

import msgspec

from server.core.errors import InvalidCommand, UnknownType
from server.core.protocol.shared import Message, Record, Target

CommandId = Annotated[int, msgspec.Meta(ge=1)]
Cursor = Annotated[int, msgspec.Meta(ge=0)]


class Command(msgspec.Struct, frozen=True, tag_field="type"):
    """Have an id that the one answer to this command repeats."""

    id: CommandId


class Hello(Command, frozen=True, tag="hello"):
    """Open a session, or come back to one with what was received of each generation.

    `pace_ms` is how long a frame stays away from the one before it, for who looks no more often.
    """

    session: str | None = None
    cursors: dict[str, Cursor] = {}
    pace_ms: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 0


class Generate(Command, frozen=True, tag="generate"):
    """Ask every target the same thing; exactly one of `messages` and `prompt`.

    `fresh` answers are written anew where the same was answered before and the answer was kept.
    """

    targets: Annotated[list[Target], msgspec.Meta(min_length=1, max_length=64)]
    messages: list[Message] | None = None
    prompt: str | None = None
    parameters: dict[str, Any] = {}
    details: bool = False
    fresh: bool = False
    request_id: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] | None = None
    record: Record | None = None


class Cancel(Command, frozen=True, tag="cancel"):
    """Stop generations; all live ones of the session when none is named."""

    generations: list[str] | None = None


class Start(Command, frozen=True, tag="start"):
    """Start a model."""

    model: str


class Stop(Command, frozen=True, tag="stop"):
    """Stop a model."""

    model: str


class Use(Command, frozen=True, tag="use"):
    """Use a server that was found on this machine; it is kept in the settings from then on."""

    server: str


class Logs(Command, frozen=True, tag="logs"):
    """Read the last `tail` lines of a model server's log, and new ones if `follow`."""

    model: str
    tail: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 200
    follow: bool = True


class Unsubscribe(Command, frozen=True, tag="unsubscribe"):
    """End a subscription to a log."""

    subscription: str


class Ping(Command, frozen=True, tag="ping"):
    """Ask for a sign of life."""


COMMANDS: Final[dict[str, type[Command]]] = {
    "hello": Hello,
    "generate": Generate,
    "cancel": Cancel,
    "start": Start,
    "stop": Stop,
    "use": Use,
    "logs": Logs,
    "unsubscribe": Unsubscribe,
    "ping": Ping,
}


class _Envelope(msgspec.Struct):
    type: str
    id: Any = None


class BadFrame(ValueError):
    """The frame is not a JSON object with a string `type`: the socket closes with 4400."""


class BadCommand(Exception):
    """A well-formed frame holds a command that cannot be carried out: answered, not closed."""

    def __init__(self, command_id: int | None, error: InvalidCommand) -> None:
        super().__init__(str(error))
        self.command_id = command_id
        self.error = error


_envelope = msgspec.json.Decoder(_Envelope)
_commands = {name: msgspec.json.Decoder(struct) for name, struct in COMMANDS.items()}


def parse_command(frame: str | bytes) -> Command:
    """Return the command that `frame` holds; unknown fields are ignored.

    Raises `BadFrame` when the frame is no command at all, and `BadCommand`, with the
    command's id where it has a usable one, when type or fields are wrong.
    """
    try:
        envelope = _envelope.decode(frame)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise BadFrame(str(error)) from None
    has_id = type(envelope.id) is int and envelope.id >= 1
    command_id = envelope.id if has_id else None
    decoder = _commands.get(envelope.type)
    if decoder is None:
        raise BadCommand(command_id, UnknownType(f"unknown command type {envelope.type[:80]!r}"))
    try:
        command = decoder.decode(frame)
    except (msgspec.ValidationError, RecursionError) as error:
        raise BadCommand(command_id, InvalidCommand(str(error))) from None
    if isinstance(command, Generate) and (command.messages is None) == (command.prompt is None):
        raise BadCommand(command_id, InvalidCommand("give exactly one of `messages` and `prompt`"))
    return command
