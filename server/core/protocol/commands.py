"""The commands of clients: one JSON object per frame, parsed into a typed command.

The class of a command declares everything about it: its type on the wire (the tag), its fields, its
result, and the role it needs. A new command is a class here and a handler in
`server/web/sockets/commands.py`.

A frame that is no command at all ends the socket; one whose type or fields are wrong is answered
with an error. Unknown fields are ignored, so that newer clients can speak to older servers.
"""

import re
from functools import cache
from typing import Annotated, Any, ClassVar, Final, Literal

import msgspec

from server.core.errors import InvalidCommand, UnknownType
from server.core.json_halves import half_problem, read_with_halves
from server.core.protocol.results import (
    Begun,
    Cancelled,
    Changed,
    Nothing,
    Subscribed,
    Welcome,
)
from server.core.protocol.shared import Key, Message, Record, Target, Trim
from server.core.tool_rules import ResponseFormat, Tool, ToolChoice

CommandId = Annotated[int, msgspec.Meta(ge=1)]
Cursor = Annotated[int, msgspec.Meta(ge=0)]


Role = Literal["user", "operator"]


class Command(msgspec.Struct, frozen=True, tag_field="type"):
    """Have an id that the one answer to this command repeats."""

    role: ClassVar[Role] = "operator"
    """The role it needs; without a declaration it is for operators only."""
    result: ClassVar[type[msgspec.Struct]] = Nothing

    id: CommandId


class ModelCommand(Command, frozen=True):
    """Name the model that the command is about; it has to be one that the caller sees."""

    model: str


class Hello(Command, frozen=True, tag="hello"):
    """Open a session, or come back to one with what was received of each generation.

    `pace_ms` is the least time between two frames, for clients that do not show more. `kinds` are
    the kinds of text besides `answer` that the client knows; others come as text of the answer.
    """

    role = "user"
    result = Welcome

    session: str | None = None
    cursors: dict[str, Cursor] = {}
    pace_ms: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 0
    kinds: Annotated[list[str], msgspec.Meta(max_length=16)] = []


class Generate(Command, frozen=True, tag="generate"):
    """Ask every target the same thing; exactly one of `messages` and `prompt`.

    `tools`, `tool_choice` and `response_format` are as in OpenAI's API. With `fresh` the answers
    are generated anew even where the same answers are cached; `trim` has the oldest turns of
    `messages` left out where a model's context cannot hold them all.
    """

    role = "user"
    result = Begun

    targets: Annotated[list[Target], msgspec.Meta(min_length=1, max_length=64)]
    messages: list[Message] | None = None
    prompt: str | None = None
    parameters: dict[str, Any] = {}
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    response_format: ResponseFormat | None = None
    details: bool = False
    fresh: bool = False
    trim: Trim | None = None
    request_id: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] | None = None
    record: Record | None = None


class Cancel(Command, frozen=True, tag="cancel"):
    """Stop generations; all live ones of the session when none is named."""

    role = "user"
    result = Cancelled

    generations: list[str] | None = None


class Start(ModelCommand, frozen=True, tag="start"):
    """Start a model."""

    result = Changed


class Stop(ModelCommand, frozen=True, tag="stop"):
    """Stop a model."""

    result = Changed


class Restart(ModelCommand, frozen=True, tag="restart"):
    """Restart a model's servers with today's settings, one after the other."""

    result = Changed


class Use(Command, frozen=True, tag="use"):
    """Use a server that was found on this machine, now and after a restart."""

    server: str


class Logs(ModelCommand, frozen=True, tag="logs"):
    """Read the last `tail` lines of a model server's log, and new ones if `follow`."""

    result = Subscribed

    tail: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 200
    follow: bool = True


class FollowRuns(Command, frozen=True, tag="follow_runs"):
    """Follow these runs in place of those before: all that the caller may see without `runs`."""

    role = "user"

    runs: Annotated[list[Key], msgspec.Meta(max_length=64)] | None = None


class Unsubscribe(Command, frozen=True, tag="unsubscribe"):
    """End a subscription to a log."""

    role = "user"

    subscription: str


class Ping(Command, frozen=True, tag="ping"):
    """Check that the connection works."""

    role = "user"


COMMANDS: Final[dict[str, type[Command]]] = {
    str(command.__struct_config__.tag): command
    for command in (
        Hello,
        Generate,
        Cancel,
        Start,
        Stop,
        Restart,
        Use,
        Logs,
        Unsubscribe,
        FollowRuns,
        Ping,
    )
}


class _Envelope(msgspec.Struct):
    type: str
    id: Any = None


class BadFrame(ValueError):
    """The frame is not a JSON object with a string `type`: the socket closes with 4400."""


class BadCommand(Exception):
    """The type or the fields of a command are wrong: it is answered, the socket stays open."""

    def __init__(self, command_id: int | None, error: InvalidCommand) -> None:
        super().__init__(str(error))
        self.command_id = command_id
        self.error = error


_envelope = msgspec.json.Decoder(_Envelope)
_BEGINNING: Final = 200
_COMMAND_BEGINS: Final = re.compile(r'\s*\{\s*"id"\s*:\s*([1-9]\d{0,15})\s*,\s*"type"\s*:\s*"')


@cache
def _decoder(command: type[Command]) -> msgspec.json.Decoder[Command]:
    return msgspec.json.Decoder(command)


def parse_command(frame: str | bytes) -> Command:
    """Return the command that `frame` holds; unknown fields are ignored.

    Raises `BadFrame` when the frame is no command at all, and `BadCommand`, with the
    command's id where it has a usable one, when type or fields are wrong.
    """
    try:
        envelope = _envelope.decode(frame)
    except RecursionError:
        raise _too_deep(frame) from None
    except (msgspec.DecodeError, UnicodeError) as error:
        raise _unreadable(frame, error) from None
    command_id = _usable_id(envelope.id)
    kind = COMMANDS.get(envelope.type)
    if kind is None:
        raise BadCommand(command_id, UnknownType(f"unknown command type {envelope.type[:80]!r}"))
    try:
        command = _decoder(kind).decode(frame)
    except (msgspec.ValidationError, RecursionError) as error:
        raise BadCommand(command_id, InvalidCommand(str(error))) from None
    if isinstance(command, Generate) and (problem := _contradiction(command)):
        raise BadCommand(command_id, InvalidCommand(problem))
    return command


def _usable_id(told: object) -> int | None:
    return told if type(told) is int and told >= 1 else None


def _unreadable(frame: str | bytes, error: Exception) -> BadFrame | BadCommand:
    """Tell a command with a text that cannot be taken, as half a character, from no command.

    If it closed the socket, clients would connect again and repeat it.
    """
    try:
        read = read_with_halves(frame)
    except (ValueError, RecursionError):
        return BadFrame(str(error))
    if not isinstance(read, dict) or not isinstance(read.get("type"), str):
        return BadFrame(str(error))
    words = half_problem(frame) or str(error)
    return BadCommand(_usable_id(read.get("id")), InvalidCommand(words))


def _too_deep(frame: str | bytes) -> BadFrame | BadCommand:
    """Return the error for a frame that cannot be read whole; its beginning tells a command."""
    text = frame if isinstance(frame, str) else frame[:_BEGINNING].decode(errors="replace")
    found = _COMMAND_BEGINS.match(text)
    if found is None:
        return BadFrame("the frame is nested too deeply")
    return BadCommand(int(found[1]), InvalidCommand("the command is nested too deeply"))


def _contradiction(command: Generate) -> str:
    if (command.messages is None) == (command.prompt is None):
        return "give exactly one of `messages` and `prompt`"
    if command.response_format is not None and "grammar" in command.parameters:
        return "give `response_format` or the parameter `grammar`, which mean the same"
    for name, kind in (("tools", list[Tool]), ("tool_choice", ToolChoice)):
        told = getattr(command, name)
        if told is not None and name in command.parameters:
            try:
                is_same = msgspec.convert(command.parameters[name], kind) == told
            except msgspec.ValidationError:
                is_same = False
            if not is_same:
                return f"give `{name}` or the parameter `{name}`: they differ"
    return ""
