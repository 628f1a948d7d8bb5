"""Settings: `settings.ini` and the environment, as frozen dataclasses."""

from server.settings.loading import environment_name, load
from server.settings.tables import (
    SECTIONS,
    EngineSettings,
    ModelSettings,
    ServerSettings,
    SessionSettings,
    Settings,
)
from server.settings.values import SettingsError

__all__ = [
    "SECTIONS",
    "EngineSettings",
    "ModelSettings",
    "ServerSettings",
    "SessionSettings",
    "Settings",
    "SettingsError",
    "environment_name",
    "load",
]
