"""Settings: `settings.ini` and the environment, as frozen dataclasses."""

from server.settings.access import AccessSettings, Network, networks_of
from server.settings.conversations import ConversationSettings
from server.settings.loading import environment_name, load
from server.settings.models import ModelSettings
from server.settings.tables import (
    SECTIONS,
    AnswerSettings,
    DockerSettings,
    EngineSettings,
    ServerSettings,
    SessionSettings,
    Settings,
)
from server.settings.values import SettingsError

__all__ = [
    "SECTIONS",
    "AccessSettings",
    "AnswerSettings",
    "ConversationSettings",
    "DockerSettings",
    "EngineSettings",
    "ModelSettings",
    "Network",
    "ServerSettings",
    "SessionSettings",
    "Settings",
    "SettingsError",
    "environment_name",
    "load",
    "networks_of",
]
