"""What a command that was carried out is answered with."""

from typing import Final, Literal

import msgspec

from server.core.protocol.commands import (
    Cancel,
    Command,
    Generate,
    Hello,
    Logs,
    Ping,
    Start,
    Stop,
    Unsubscribe,
    Use,
)
from server.core.protocol.shared import PROTOCOL_VERSION, GenerationInfo, Keeping, Model


class ServerInfo(msgspec.Struct, frozen=True):
    """Who answers."""

    name: str
    version: str


class Welcome(msgspec.Struct, frozen=True):
    """The session entered, whether it is the one asked for, and how everything stands."""

    server: ServerInfo
    session: str
    resumed: bool
    models: list[Model]
    generations: list[GenerationInfo]
    conversations: Keeping
    protocol: Literal[1] = PROTOCOL_VERSION


class Begun(msgspec.Struct, frozen=True, omit_defaults=True):
    """The generations asked for, in the order of the targets, and the answers if they are kept."""

    generations: list[str]
    answers: list[str] | None = None


class Cancelled(msgspec.Struct, frozen=True):
    """The generations that were live and are not any more."""

    cancelled: list[str]


class Changed(msgspec.Struct, frozen=True):
    """The model as it is now; what follows comes as `model` events."""

    model: Model


class Subscribed(msgspec.Struct, frozen=True):
    """The name under which a log's lines come."""

    subscription: str


class Nothing(msgspec.Struct, frozen=True):
    """There is no more to say."""


RESULTS: Final[dict[type[Command], type[msgspec.Struct]]] = {
    Hello: Welcome,
    Generate: Begun,
    Cancel: Cancelled,
    Start: Changed,
    Stop: Changed,
    Use: Nothing,
    Logs: Subscribed,
    Unsubscribe: Nothing,
    Ping: Nothing,
}
