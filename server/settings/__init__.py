"""Settings: `settings.ini` and the environment, as frozen dataclasses."""

from pathlib import Path
from typing import Final

from server.settings.access import AccessSettings, Network, networks_of
from server.settings.added import add_upstream, added_upstreams, remove_upstream
from server.settings.addresses import Address, is_this_machine, resolve_address
from server.settings.checks import ASKED_RUNNERS
from server.settings.commands import command_words, with_port
from server.settings.conversations import ConversationSettings
from server.settings.loading import environment_name, load
from server.settings.models import ModelSettings
from server.settings.remote import RemoteSettings
from server.settings.secrets import Secret
from server.settings.tables import (
    NAMED_SECTIONS,
    SECTIONS,
    AnswerSettings,
    DockerSettings,
    EngineSettings,
    ServerSettings,
    SessionSettings,
    Settings,
)
from server.settings.upstreams import DiscoverySettings, UpstreamSettings
from server.settings.values import SettingsError

DEFAULT_SETTINGS: Final = Path(__file__).resolve().parent.parent.parent / "settings.ini"

__all__ = [
    "ASKED_RUNNERS",
    "DEFAULT_SETTINGS",
    "NAMED_SECTIONS",
    "SECTIONS",
    "AccessSettings",
    "Address",
    "AnswerSettings",
    "ConversationSettings",
    "DiscoverySettings",
    "DockerSettings",
    "EngineSettings",
    "ModelSettings",
    "Network",
    "RemoteSettings",
    "Secret",
    "ServerSettings",
    "SessionSettings",
    "Settings",
    "SettingsError",
    "UpstreamSettings",
    "add_upstream",
    "added_upstreams",
    "command_words",
    "environment_name",
    "is_this_machine",
    "load",
    "networks_of",
    "remove_upstream",
    "resolve_address",
    "with_port",
]
