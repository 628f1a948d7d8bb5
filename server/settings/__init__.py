"""Settings: `settings.ini` and the environment, as frozen dataclasses."""

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
    "AnswerSettings",
    "DockerSettings",
    "EngineSettings",
    "ModelSettings",
    "ServerSettings",
    "SessionSettings",
    "Settings",
    "SettingsError",
    "environment_name",
    "load",
]
