"""Servers that an operator takes into use in the page, written to a file of their own.

Rules:

1. Who writes here reached the page, and not this machine: an entry names no file, no environment
   variable, no command and no image.
2. The file is written whole, to a file beside it that then takes its place, for its owner only:
   whoever reads finds the old entries or the new ones. Writers wait for each other.
3. What is there stays as it is. A file that cannot be read is never written over.
"""

import contextlib
import dataclasses
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from server.settings.checks import upstream_problems, with_defaults
from server.settings.files import Sections, added_file, parse_sections, read_added
from server.settings.names import RULES, is_upstream_name
from server.settings.references import look_up
from server.settings.secrets import is_reference
from server.settings.upstreams import UpstreamSettings
from server.settings.values import SettingsError, format_value, parse_value

_MODE: Final = 0o600
_HEAD: Final = """\
# Servers that were taken into use in Sidestream's page, which writes this file.
# A section of the same name in settings.ini goes before the one here.
"""
# Those that name a place on this machine.
_REFUSED_KEYS: Final = frozenset({"ca_file"})
ADDED_KEYS: Final = frozenset(
    declared.name for declared in dataclasses.fields(UpstreamSettings)
) - frozenset(_REFUSED_KEYS)
"""The keys that an entry made in the page may have."""


def added_problems(kind: str, written: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Give what an entry in the page's file may not say, by key."""
    if kind != "upstream":
        yield kind, "only [upstream NAME] can be added in the page"
        return
    for key, text in written.items():
        if key in _REFUSED_KEYS:
            yield key, "cannot be set in the page; put the server into settings.ini"
        if key == "api_key" and is_reference(text.strip()):
            yield key, "env: and file: are for settings.ini only"
        if key == "headers" and any(map(is_reference, _header_values(text))):
            yield key, "env: and file: are for settings.ini only"


def add_upstream(path: Path, name: str, values: Mapping[str, Any]) -> None:
    """Write a server into the page's file beside the settings file at `path`.

    An entry of the same name is replaced. `values` have the types of `UpstreamSettings`, or are
    texts as in the file. Raises `SettingsError` for what cannot be used or written.
    """
    written = {key: _as_text(value).strip() for key, value in values.items()}
    problems = [f"[upstream {name}] {key}: {said}" for key, said in _entry_problems(written)]
    if not is_upstream_name(name):
        problems.insert(0, f"[upstream …] has {RULES['upstream']}, found {name[:80]!r}")
    if problems:
        raise SettingsError(problems)
    section = f"upstream {name}"
    if parse_sections(_render({section: written}), path) != {section: written}:
        # Such as a line of a prompt that would be read as a comment.
        raise SettingsError([f"[{section}] has a text that cannot be written into a file"])

    def add(entries: Sections) -> None:
        _drop(entries, name)
        entries[section] = written

    _change(path, add)


def remove_upstream(path: Path, name: str) -> bool:
    """Take a server out of the page's file; tell whether it was there. Raises `SettingsError`."""
    removed = False

    def remove(entries: Sections) -> None:
        nonlocal removed
        removed = _drop(entries, name)

    if added_file(path).exists():
        _change(path, remove)
    return removed


def added_upstreams(path: Path) -> dict[str, dict[str, str]]:
    """Return the servers in the page's file as they are written, by name.

    Raises `SettingsError` for a file that cannot be read.
    """
    parts = [(section.partition(" "), keys) for section, keys in read_added(path).items()]
    return {name.strip(): keys for (kind, _, name), keys in parts if kind == "upstream"}


def _entry_problems(written: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    declared = {one.name: one for one in dataclasses.fields(UpstreamSettings)}
    found = list(added_problems("upstream", written))
    values: dict[str, Any] = {}
    for key, text in written.items():
        if key not in declared:
            found.append((key, f"unknown key; expected one of {', '.join(sorted(ADDED_KEYS))}"))
            continue
        try:
            values[key] = parse_value(declared[key], text)
        except ValueError as error:
            found.append((key, str(error)))
    if not found:
        found += look_up(values, folder=Path(), environment={}, overridden={})
    if not found:
        found += upstream_problems(with_defaults(UpstreamSettings(**values)))
    yield from found


def _change(path: Path, edit: Any) -> None:
    file = added_file(path)
    try:
        with _alone_in(file.parent) as folder:
            entries = read_added(path)
            edit(entries)
            _write(file, _render(entries))
            os.fsync(folder)
    except OSError as error:
        raise SettingsError([f"{file}: cannot be written: {error.strerror}"]) from None


def _render(entries: Sections) -> str:
    parts = [_HEAD]
    for section, keys in entries.items():
        # A line that is indented goes on with the value before it.
        lines = [f"{key} = {value}".replace("\n", "\n  ").rstrip() for key, value in keys.items()]
        parts.append("\n".join([f"[{section}]", *lines, ""]))
    return "\n".join(parts)


def _write(file: Path, text: str) -> None:
    new = file.with_name(f"{file.name}.new")
    # One that was left behind by a writer that was killed.
    new.unlink(missing_ok=True)
    with open(new, "xb", opener=_private) as output:
        output.write(text.encode())
        output.flush()
        os.fsync(output.fileno())
    new.replace(file)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, _MODE)


@contextlib.contextmanager
def _alone_in(directory: Path) -> Iterator[int]:
    folder = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield folder
    finally:
        os.close(folder)


def _drop(entries: Sections, name: str) -> bool:
    sections = [one for one in entries if one.casefold() == f"upstream {name}".casefold()]
    for section in sections:
        del entries[section]
    return bool(sections)


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else format_value(value)


def _header_values(text: str) -> list[str]:
    try:
        headers = json.loads(text)
    except ValueError:
        return []  # Told where the value is parsed.
    return (
        [value for value in headers.values() if isinstance(value, str)]
        if (isinstance(headers, dict))
        else []
    )
