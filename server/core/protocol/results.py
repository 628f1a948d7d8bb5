"""The results of commands."""

from typing import Literal

import msgspec

from server.core.protocol.shared import PROTOCOL_VERSION, GenerationInfo, Model, StorageStatus


class ServerInfo(msgspec.Struct, frozen=True):
    """The name and version of the server."""

    name: str
    version: str


class Welcome(msgspec.Struct, frozen=True):
    """The session, whether it is the one asked for, and the state of models and generations.

    `max_frame_bytes` is how large a frame of the client may be.
    """

    server: ServerInfo
    session: str
    resumed: bool
    models: list[Model]
    generations: list[GenerationInfo]
    conversations: StorageStatus
    max_frame_bytes: int
    protocol: Literal[1] = PROTOCOL_VERSION


class Begun(msgspec.Struct, frozen=True, omit_defaults=True):
    """The ids of the generations, in the order of the targets; `answers` if they are stored."""

    generations: list[str]
    answers: list[str] | None = None


class Cancelled(msgspec.Struct, frozen=True):
    """The ids of the generations that were live and were cancelled."""

    cancelled: list[str]


class Changed(msgspec.Struct, frozen=True):
    """The model as it is now; later changes come as `model` events."""

    model: Model


class Subscribed(msgspec.Struct, frozen=True):
    """The name of the subscription, which the `log` events repeat."""

    subscription: str


class Nothing(msgspec.Struct, frozen=True):
    """An empty result."""
