"""Settings: `settings.ini` and the environment, as frozen dataclasses."""

from pathlib import Path
from typing import Final

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

DEFAULT_SETTINGS: Final = Path(__file__).resolve().parent.parent.parent / "settings.ini"

__all__ = [
    "DEFAULT_SETTINGS",
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
