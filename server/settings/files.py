"""The two files that settings are read from, as sections of plain text.

People write `settings.ini`. The page writes `servers.ini` beside it when an operator adds a server
or a model. If both have the same section, the one in `settings.ini` counts.
"""

import configparser
from pathlib import Path
from typing import Final

from server.settings.values import SettingsError

DEFAULT_SETTINGS: Final = Path(__file__).resolve().parents[2] / "settings.ini"
ADDED_FILE: Final = "servers.ini"

Sections = dict[str, dict[str, str]]


def added_file(path: Path) -> Path:
    """Return the path of the page's file, which lies beside the settings file at `path`."""
    return path.with_name(ADDED_FILE)


def read_sections(path: Path) -> Sections:
    """Return each section's keys as they are written.

    Raises `SettingsError` for a file that cannot be read, or has a section or a key twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError([f"{path}: cannot be read: {error}"]) from None
    return parse_sections(text, path)


def parse_sections(text: str, path: Path) -> Sections:
    """Return each section's keys in the text of the file at `path`; raises `SettingsError`."""
    file = configparser.ConfigParser(
        interpolation=None, default_section="", comment_prefixes=("#", ";"), delimiters=("=",)
    )
    try:
        file.read_string(text, source=str(path))
    except configparser.DuplicateSectionError as error:
        raise SettingsError([f"{path}:{error.lineno}: [{error.section}] is there twice"]) from None
    except configparser.DuplicateOptionError as error:
        raise SettingsError(
            [f"{path}:{error.lineno}: [{error.section}] {error.option}: the key is there twice"]
        ) from None
    except configparser.MissingSectionHeaderError as error:
        raise SettingsError([f"{path}: line {error.lineno} stands before any [SECTION]"]) from None
    except configparser.ParsingError as error:
        # Only the numbers of the lines: a line may hold a secret.
        numbers = ", ".join(str(number) for number, _ in error.errors)
        raise SettingsError(
            [f"{path}: line {numbers}: expected [SECTION] or KEY = VALUE"]
        ) from None
    return {section: dict(file[section]) for section in file.sections()}


def read_added(path: Path) -> Sections:
    """Return the sections of the page's file beside the settings file at `path`; empty without one.

    Raises `SettingsError`.
    """
    added = added_file(path)
    return read_sections(added) if added != path and added.exists() else {}
