"""Settings: `settings.ini` and the environment, as frozen dataclasses."""
